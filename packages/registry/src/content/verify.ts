import { Digester, digestAlgorithm } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { Descriptor } from '../oci/types.ts';

/**
 * Passes a stream on while hashing it. The last chunk is withheld until size and digest agree with the descriptor.
 *
 * @throws {@link RegistryError} `SIZE_MISMATCH`, `DIGEST_MISMATCH`
 */
export async function* verified(
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
