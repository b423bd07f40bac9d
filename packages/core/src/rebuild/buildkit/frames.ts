import { CoreError } from '../../errors.ts';

/** Largest message taken from a peer: 16 MiB, as BuildKit's own. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** A message with its prefix. Never compressed. @see grpc, PROTOCOL-HTTP2.md, "Length-Prefixed-Message" */
export function frame(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** The messages in a stream of bytes. @throws CoreError `ENGINE_REFUSED` for one that is compressed or too large */
export async function* unframe(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    held = held.length === 0 ? Buffer.from(chunk) : Buffer.concat([held, chunk]);
    while (held.length >= 5) {
      const length = held.readUInt32BE(1);
      if (held[0] !== 0 || length > MAX_MESSAGE_BYTES) {
        throw new CoreError('ENGINE_REFUSED', `a gRPC message of ${length} bytes cannot be read`, {
          hint: 'Is there a BuildKit daemon behind this address?',
        });
      }
      if (held.length < 5 + length) break;
      yield held.subarray(5, 5 + length);
      held = held.subarray(5 + length);
    }
  }
}
