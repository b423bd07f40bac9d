import { invalidArchive } from './tar-header.ts';

const MAGIC = 0xfd2fb528;
/** Sixteen magics mark frames that carry no data; zstd:chunked keeps its index in them. */
const SKIPPABLE_MAGIC = 0x184d2a50;

type State = 'magic' | 'skippable' | 'descriptor' | 'header' | 'block' | 'body' | 'last-body' | 'trailer';

/**
 * Finds where zstd frames end, without decoding. Node's decoder drops what follows a frame within one write,
 * so each frame must end a write of its own.
 *
 * @see RFC 8878, section 3.1
 */
export class ZstdFrames {
  /** Data frames begun so far. */
  frames = 0;
  readonly #field: Buffer = Buffer.alloc(18);
  #filled = 0;
  /** Bytes wanted of the field being read, or of a body being passed over. */
  #wanted = 4;
  #state: State = 'magic';
  #checksum = false;

  /**
   * Cuts bytes where frames end.
   *
   * @throws {@link RegistryError} `INVALID_LAYER` for bytes that begin no frame.
   */
  *split(bytes: Buffer): Generator<Buffer> {
    let start = 0;
    for (let at = 0; at < bytes.length; ) {
      const used = Math.min(this.#wanted, bytes.length - at);
      if (!this.#passesOver()) this.#filled += bytes.copy(this.#field, this.#filled, at, at + used);
      this.#wanted -= used;
      at += used;
      if (this.#wanted === 0 && this.#advance()) {
        yield bytes.subarray(start, at);
        start = at;
      }
    }
    if (start < bytes.length) yield bytes.subarray(start);
  }

  #passesOver(): boolean {
    return this.#state === 'body' || this.#state === 'last-body' || this.#state === 'trailer';
  }

  /** Acts on what was read; true when a frame has ended. */
  #advance(): boolean {
    const field = this.#field;
    this.#filled = 0;
    switch (this.#state) {
      case 'magic':
        return this.#startFrame(field.readUInt32LE(0));
      case 'skippable':
        return this.#expect('trailer', field.readUInt32LE(0));
      case 'descriptor':
        this.#checksum = (field[0]! & 0x04) !== 0;
        return this.#expect('header', headerBytes(field[0]!));
      case 'header':
      case 'body':
        return this.#expect('block', 3);
      case 'block': {
        const header = field.readUIntLE(0, 3);
        const repeated = ((header >> 1) & 3) === 1;
        return this.#expect(header & 1 ? 'last-body' : 'body', repeated ? 1 : header >> 3);
      }
      case 'last-body':
        return this.#expect('trailer', this.#checksum ? 4 : 0);
      case 'trailer':
        this.#expect('magic', 4);
        return true;
    }
  }

  #startFrame(magic: number): boolean {
    if ((magic & 0xfffffff0) === SKIPPABLE_MAGIC) return this.#expect('skippable', 4);
    if (magic !== MAGIC) throw invalidArchive('bytes that are no zstd frame follow');
    this.frames += 1;
    return this.#expect('descriptor', 1);
  }

  /** Waits for the next part; one of no bytes is complete at once. */
  #expect(state: State, bytes: number): boolean {
    this.#state = state;
    this.#wanted = bytes;
    return bytes === 0 && this.#advance();
  }
}

/** Bytes of a frame header after its descriptor: window, dictionary id and content size. */
function headerBytes(descriptor: number): number {
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  const window = singleSegment ? 0 : 1;
  const dictionary = [0, 1, 2, 4][descriptor & 3]!;
  const size = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  return window + dictionary + size;
}
