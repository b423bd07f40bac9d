import { Digester, digestAlgorithm } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { Descriptor } from '../oci/types.ts';

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
): AsyncIterable<Uint8Array> {
  const chunks = VerifiedStream.untouched(stream, descriptor) ?? hashed(stream, descriptor, subject);
  return new VerifiedStream(chunks, descriptor);
}

/**
 * A stream that ends only when its bytes are those its descriptor names. Only code that has hashed them makes one: the
 * class is no part of the package's interface, and its private members cannot be imitated by another object.
 */
export class VerifiedStream implements AsyncIterable<Uint8Array> {
  readonly #chunks: AsyncGenerator<Uint8Array, void, undefined>;
  readonly #descriptor: Descriptor;
  #touched = false;

  constructor(chunks: AsyncGenerator<Uint8Array, void, undefined>, descriptor: Descriptor) {
    this.#chunks = chunks;
    this.#descriptor = descriptor;
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    this.#touched = true;
    return this.#chunks;
  }

  /** The chunks of a stream that is verified against this descriptor and of which nobody has read a part. */
  static untouched(
    stream: AsyncIterable<Uint8Array>,
    { digest, size }: Descriptor,
  ): AsyncGenerator<Uint8Array, void, undefined> | undefined {
    if (!(#chunks in stream) || stream.#touched) return undefined;
    if (stream.#descriptor.digest !== digest || stream.#descriptor.size !== size) return undefined;
    stream.#touched = true;
    return stream.#chunks;
  }
}

async function* hashed(
  stream: AsyncIterable<Uint8Array>,
  descriptor: Descriptor,
  subject: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const digester = new Digester(digestAlgorithm(descriptor.digest));
  let withheld: Uint8Array | undefined;
  for await (const chunk of stream) {
    digester.update(chunk);
    if (digester.size > descriptor.size) throw sizeMismatch(subject, descriptor.size, 'more');
    if (withheld !== undefined) yield withheld;
    withheld = chunk;
  }
  if (digester.size < descriptor.size) throw sizeMismatch(subject, descriptor.size, String(digester.size));
  const received = digester.digest();
  if (received !== descriptor.digest) throw digestMismatch(subject, descriptor.digest, received);
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
