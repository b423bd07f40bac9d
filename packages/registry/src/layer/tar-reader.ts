import { type LayerLimits, limitExceeded } from './limits.ts';
import { type PaxRecords, parsePax } from './pax.ts';
import { BLOCK_BYTES, decodeHeader, invalidArchive, isZeroBlock, type TarHeader } from './tar-header.ts';
import { decodeText } from './tar-text.ts';
import type { LayerAnomalyKind } from './types.ts';

/** One entry's header with its extension headers applied. */
export interface TarEntry extends TarHeader {
  readonly xattrs?: Record<string, string>;
}

/** What a {@link TarReader} tells as it reads. */
export interface TarHandler {
  /** An entry begins; exactly `entry.size` bytes of content follow. */
  onEntry(entry: TarEntry): void;
  /** The next piece of the entry's content; the bytes are valid during the call. */
  onContent(bytes: Buffer): void;
  onAnomaly(kind: LayerAnomalyKind, name: string): void;
}

/**
 * Reads a tar archive as it is pushed: ustar, GNU long names, PAX, base-256 numbers. Where readers disagree it
 * reads as container engines do (Go's archive/tar) and reports an anomaly; what they refuse it refuses.
 */
export class TarReader {
  readonly #handler: TarHandler;
  readonly #limits: LayerLimits;
  readonly #carry: Buffer = Buffer.alloc(BLOCK_BYTES);
  #carried = 0;
  #state: 'header' | 'content' | 'extension' | 'padding' | 'end' = 'header';
  /** Bytes still to come of the content or extension, and of the zeros that fill its last block. */
  #remaining = 0;
  #padding = 0;
  #zeroBlocks = 0;
  #dataAfterEnd = false;
  #extension: { readonly flag: string; readonly body: Buffer } | undefined;
  #pax: PaxRecords | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;

  constructor(handler: TarHandler, limits: LayerLimits) {
    this.#handler = handler;
    this.#limits = limits;
  }

  /** @throws {@link RegistryError} `INVALID_LAYER`, `UNSUPPORTED` or `LIMIT_EXCEEDED` */
  push(bytes: Uint8Array): void {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < chunk.length; ) at += this.#read(chunk, at);
  }

  /** @throws {@link RegistryError} `INVALID_LAYER` when the archive stops inside an entry. */
  end(): void {
    if (this.#state === 'end') return;
    if (this.#state !== 'header' || this.#carried > 0) throw invalidArchive('it is truncated');
    if (this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined) {
      throw invalidArchive('an extension header has no entry');
    }
    this.#handler.onAnomaly('missing-end-of-archive', '');
  }

  /** Reads on from a position of a chunk; returns how many bytes it used. */
  #read(chunk: Buffer, at: number): number {
    const available = chunk.length - at;
    switch (this.#state) {
      case 'header':
        return this.#collectHeader(chunk, at, available);
      case 'content': {
        const used = Math.min(this.#remaining, available);
        this.#handler.onContent(chunk.subarray(at, at + used));
        this.#remaining -= used;
        if (this.#remaining === 0) this.#endBody();
        return used;
      }
      case 'extension': {
        const used = Math.min(this.#remaining, available);
        const { body } = this.#extension!;
        chunk.copy(body, body.length - this.#remaining, at, at + used);
        this.#remaining -= used;
        if (this.#remaining === 0) this.#endExtension();
        return used;
      }
      case 'padding': {
        const used = Math.min(this.#padding, available);
        this.#padding -= used;
        if (this.#padding === 0) this.#state = 'header';
        return used;
      }
      case 'end':
        this.#checkAfterEnd(chunk, at);
        return available;
    }
  }

  #collectHeader(chunk: Buffer, at: number, available: number): number {
    if (this.#carried === 0 && available >= BLOCK_BYTES) {
      this.#readHeader(chunk, at);
      return BLOCK_BYTES;
    }
    const used = Math.min(BLOCK_BYTES - this.#carried, available);
    chunk.copy(this.#carry, this.#carried, at, at + used);
    this.#carried += used;
    if (this.#carried === BLOCK_BYTES) {
      this.#carried = 0;
      this.#readHeader(this.#carry, 0);
    }
    return used;
  }

  #readHeader(block: Buffer, at: number): void {
    if (block[at] === 0 && isZeroBlock(block, at)) {
      this.#zeroBlocks += 1;
      if (this.#zeroBlocks === 2) this.#state = 'end';
      return;
    }
    if (this.#zeroBlocks > 0) throw invalidArchive('an entry follows a single zero block');
    const header = decodeHeader(block, at);
    if (header.flag === 'x' || header.flag === 'L' || header.flag === 'K' || header.flag === 'g') {
      this.#startExtension(header);
    } else {
      this.#startEntry(header);
    }
  }

  #startExtension({ flag, size }: TarHeader): void {
    const limit = this.#limits.maxHeaderBytes;
    if (size > limit) throw limitExceeded('size of an extension header', size, limit);
    this.#extension = { flag, body: Buffer.alloc(size) };
    this.#startBody(size, 'extension');
    if (size === 0) this.#endExtension();
  }

  #endExtension(): void {
    const { flag, body } = this.#extension!;
    this.#extension = undefined;
    // Engines ignore global headers; other readers let them rename what follows.
    if (flag === 'g') this.#handler.onAnomaly('global-pax-header', '');
    else if (flag === 'L') this.#longName = decodeText(body, 0, body.length);
    else if (flag === 'K') this.#longLink = decodeText(body, 0, body.length);
    else this.#pax = parsePax(body);
    this.#endBody();
  }

  #startEntry(header: TarHeader): void {
    const { path, linkPath, sparse, ...pax } = this.#pax ?? {};
    if (sparse || header.flag === 'S') throw invalidArchive('it holds a sparse file', 'UNSUPPORTED');
    const entry: TarEntry = {
      ...header,
      ...pax,
      name: this.#longName ?? path ?? header.name,
      linkName: this.#longLink ?? linkPath ?? header.linkName,
    };
    if (differ(this.#longName, path) || differ(this.#longLink, linkPath)) {
      this.#handler.onAnomaly('conflicting-names', entry.name);
    }
    this.#pax = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
    // Only files have content, whatever the header says.
    if (entry.flag !== '0' && entry.size > 0) {
      this.#handler.onAnomaly('size-without-content', entry.name);
      entry.size = 0;
    }
    this.#handler.onEntry(entry);
    if (entry.size > 0) this.#startBody(entry.size, 'content');
  }

  #startBody(size: number, state: 'content' | 'extension'): void {
    this.#state = state;
    this.#remaining = size;
    this.#padding = (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
  }

  #endBody(): void {
    this.#state = this.#padding > 0 ? 'padding' : 'header';
  }

  #checkAfterEnd(chunk: Buffer, at: number): void {
    if (this.#dataAfterEnd) return;
    for (let index = at; index < chunk.length; index += 1) {
      if (chunk[index] === 0) continue;
      this.#dataAfterEnd = true;
      this.#handler.onAnomaly('data-after-archive', '');
      return;
    }
  }
}

function differ(one: string | undefined, other: string | undefined): boolean {
  return one !== undefined && other !== undefined && one !== other;
}
