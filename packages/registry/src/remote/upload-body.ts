import type { BlobSource } from '../content/interfaces.ts';
import { VerifiedStream } from '../content/verify.ts';

/** A connection asks for more when it holds less than 64 KiB of what it was given; this leaves it some. */
const HELD_BYTES = 256 * 1024;

/**
 * The bytes of a blob to send. Of a stream that nobody else reads, what lies further back than a connection holds is
 * given back, to be received into again; the registry hashes what arrives.
 */
export async function* uploadBody(blob: BlobSource): AsyncGenerator<Uint8Array, void, undefined> {
  const opened = blob.open();
  const stream = VerifiedStream.untouched(opened, blob.descriptor);
  if (stream === undefined) {
    yield* opened;
    return;
  }
  const held: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    yield chunk;
    held.push(chunk);
    size += chunk.byteLength;
    while (size - held[0]!.byteLength >= HELD_BYTES) {
      const sent = held.shift()!;
      size -= sent.byteLength;
      VerifiedStream.release(stream, sent);
    }
  }
}
