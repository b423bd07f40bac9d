import { pipeline, Readable } from 'node:stream';
import { extract } from 'tar-stream';

/** Shorter ones are in any large file by chance. */
const MIN_BYTES = 8;

/** Looks for texts in bytes that come in pieces. */
export class SecretSearch {
  readonly #secrets: readonly Buffer[];
  /** What of the end of a piece may be the beginning of a secret. */
  readonly #overlap: number;

  /** @param secrets - those of less than 8 bytes are left out */
  constructor(secrets: readonly string[]) {
    this.#secrets = secrets.map((text) => Buffer.from(text)).filter(({ length }) => length >= MIN_BYTES);
    this.#overlap = Math.max(0, ...this.#secrets.map(({ length }) => length - 1));
  }

  get isEmpty(): boolean {
    return this.#secrets.length === 0;
  }

  isIn(bytes: Buffer): boolean {
    return this.#secrets.some((secret) => bytes.includes(secret));
  }

  /** A text without what it says of the secrets. */
  redact(text: string): string {
    return this.#secrets.reduce((told, secret) => told.replaceAll(secret.toString(), '***'), text);
  }

  /** Tells of each piece whether a secret ends in it. */
  stream(): (piece: Buffer) => boolean {
    let end = Buffer.alloc(0);
    return (piece) => {
      const seam = Buffer.concat([end, piece.subarray(0, this.#overlap)]);
      const found = this.isIn(seam) || this.isIn(piece);
      const kept = piece.length >= this.#overlap ? piece : Buffer.concat([end, piece]);
      end = Buffer.from(kept.subarray(Math.max(0, kept.length - this.#overlap)));
      return found;
    };
  }
}

/** Path of the first entry of an archive that holds a secret, in its content or in what is said of it; undefined when none is found. */
export async function findInTar(
  archive: AsyncIterable<Buffer>,
  search: SecretSearch,
): Promise<string | undefined> {
  const entries = pipeline(Readable.from(archive, { objectMode: false }), extract(), () => {});
  try {
    for await (const entry of entries) {
      const { name, linkname, pax } = entry.header;
      let found = search.isIn(Buffer.from([name, linkname, ...Object.values(pax ?? {})].join('\n')));
      const isIn = search.stream();
      for await (const piece of entry as AsyncIterable<Buffer>) found = isIn(piece) || found;
      if (found) return search.redact(`/${name.replace(/^\.?\//, '')}`);
    }
  } catch {
    // That it is somewhere in the archive is known; an archive nobody can read does not change that.
  }
  return undefined;
}
