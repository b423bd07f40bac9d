import type { GrpcHandler } from './grpc-server.ts';
import { encodeMessage } from './protobuf.ts';

/** Bytes of context in one message. */
const CHUNK_BYTES = 256 * 1024;

/**
 * Gives a daemon the context at an address only this build knows.
 *
 * @see moby/buildkit, session/upload
 */
export function serveContext(address: string, context: () => AsyncIterable<Uint8Array>): GrpcHandler {
  return async function* (_messages, headers) {
    // Whoever knows another address than the one of this build gets nothing.
    if (headers.urlpath !== `/${address}`) throw new Error('not the context of this build');
    for await (const chunk of context()) {
      for (let at = 0; at < chunk.length; at += CHUNK_BYTES)
        yield encodeMessage([[1, chunk.subarray(at, at + CHUNK_BYTES)]]);
    }
  };
}
