import { Digester, digestAlgorithm } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { Descriptor } from '../oci/types.ts';

/** Takes the memory of a chunk back, to put other bytes there. */
type Release = (chunk: Uint8Array) => void;

/** Options of {@link verified}. */
interface VerifyOptions {
  /** Adds to the error for wrong bytes whose they are. */
  readonly blame?: (error: RegistryError) => RegistryError;
  /** What to do with chunks when they are of no more use. */
  readonly release?: Release;
}

/**
 * Passes a stream on while hashing it; the last chunk is withheld until size and digest agree with the descriptor. A
 * stream that is verified against the same descriptor already is not hashed again.
 *
 * @throws {@link RegistryError} `SIZE_MISMATCH`, `DIGEST_MISMATCH`
 */
export function verified(
  stream: AsyncIterable<Uint8Array>,
  descriptor: Descriptor,
  subject: string,
  options: VerifyOptions = {},
): VerifiedStream {
  return (
    VerifiedStream.untouched(stream, descriptor) ??
    new VerifiedStream(hashed(stream, descriptor, subject, options.blame), descriptor, options.release)
  );
}

/**
 * A stream that ends only when its bytes are those its descriptor names. Only code that has hashed them makes one: the
 * class is no part of the package's interface, and its private members cannot be imitated by another object.
 */
export class VerifiedStream implements AsyncIterable<Uint8Array> {
  readonly #chunks: AsyncGenerator<Uint8Array, void, undefined>;
  readonly #descriptor: Descriptor;
  readonly #release: Release | undefined;
  #touched = false;

  constructor(
    chunks: AsyncGenerator<Uint8Array, void, undefined>,
    descriptor: Descriptor,
    release?: Release,
  ) {
    this.#chunks = chunks;
    this.#descriptor = descriptor;
    this.#release = release;
  }

  /** @throws {@link RegistryError} `UNSUPPORTED` the second time: an empty reading would look like the end of the bytes */
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#touched) {
      throw new RegistryError('UNSUPPORTED', `the stream of ${this.#descriptor.digest} was read already`, {
        hint: 'Open the blob again to read it again.',
      });
    }
    this.#touched = true;
    return this.#chunks;
  }

  /**
   * Gives back a chunk of a stream that {@link verified} or `untouched` returned: nobody else has seen it. Call once for a
   * chunk, when nothing will look at its bytes again.
   */
  static release(stream: VerifiedStream, chunk: Uint8Array): void {
    stream.#release?.(chunk);
  }

  /** The same stream, which tells how many bytes of it were read; a verified one stays verified. */
  static watched(
    stream: AsyncIterable<Uint8Array>,
    descriptor: Descriptor,
    tell: (bytes: number) => void,
  ): AsyncIterable<Uint8Array> {
    const own = VerifiedStream.untouched(stream, descriptor);
    if (own === undefined) return counted(stream, tell);
    return new VerifiedStream(counted(own, tell), descriptor, own.#release);
  }

  /** A stream that is verified against this descriptor and of which nobody has read a part, in new hands. */
  static untouched(stream: AsyncIterable<Uint8Array>, descriptor: Descriptor): VerifiedStream | undefined {
    const { digest, size } = descriptor;
    if (!(#chunks in stream) || stream.#touched) return undefined;
    if (stream.#descriptor.digest !== digest || stream.#descriptor.size !== size) return undefined;
    stream.#touched = true;
    return new VerifiedStream(stream.#chunks, descriptor, stream.#release);
  }
}

/** Passes chunks on, telling of each how many bytes there were with it. */
async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  tell: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.byteLength;
    tell(bytes);
    yield chunk;
  }
}

async function* hashed(
  stream: AsyncIterable<Uint8Array>,
  descriptor: Descriptor,
  subject: string,
  blame: (error: RegistryError) => RegistryError = (error) => error,
): AsyncGenerator<Uint8Array, void, undefined> {
  const digester = new Digester(digestAlgorithm(descriptor.digest));
  let withheld: Uint8Array | undefined;
  for await (const chunk of stream) {
    digester.update(chunk);
    if (digester.size > descriptor.size) throw blame(sizeMismatch(subject, descriptor.size, 'more'));
    if (withheld !== undefined) yield withheld;
    withheld = chunk;
  }
  if (digester.size < descriptor.size) {
    throw blame(sizeMismatch(subject, descriptor.size, String(digester.size)));
  }
  const received = digester.digest();
  if (received !== descriptor.digest) throw blame(digestMismatch(subject, descriptor.digest, received));
  if (withheld !== undefined) yield withheld;
}

/** The error for content that is not what its digest says. */
export function digestMismatch(subject: string, expected: string, received: string): RegistryError {
  return new RegistryError('DIGEST_MISMATCH', `${subject}: expected ${expected}, received ${received}`, {
    hint: 'It is other content than was asked for. Do not use it.',
    details: { expected, received },
  });
}

function sizeMismatch(subject: string, expected: number, received: string): RegistryError {
  return new RegistryError('SIZE_MISMATCH', `${subject}: expected ${expected} bytes, received ${received}`);
}
