import type { GrpcHandler } from './grpc-server.ts';
import { encodeMessage } from './protobuf.ts';

const STAT = 0;
const REQUEST = 1;
const DATA = 2;
const FINISH = 3;
const CHUNK_BYTES = 256 * 1024;

/**
 * Gives a daemon one file as a directory of its own: the Dockerfile, which then needs no place in the context.
 *
 * @see tonistiigi/fsutil, types/wire.proto; moby/buildkit, session/filesync
 */
export function serveFile(directory: string, name: string, content: Uint8Array): GrpcHandler {
  return async function* (messages, headers) {
    if (headers['dir-name'] !== directory) throw new Error('not a directory of this build');
    // Permissions 0644, owned by root, without a time.
    const stat = [
      [1, name],
      [2, 0o644],
      [5, content.byteLength],
    ] as const;
    yield packet(STAT, [2, stat]);
    yield packet(STAT);
    // Not `for await`: leaving it would reset the call, and the daemon waits for its orderly end.
    const asked = messages[Symbol.asyncIterator]();
    for (let next = await asked.next(); next.done !== true; next = await asked.next()) {
      const message = next.value;
      const type = message[0] === 0x08 ? message[1] : undefined;
      if (type === REQUEST) {
        for (let at = 0; at < content.byteLength; at += CHUNK_BYTES) {
          yield packet(DATA, [4, content.subarray(at, at + CHUNK_BYTES)]);
        }
        yield packet(DATA);
      } else if (type === FINISH) {
        yield packet(FINISH);
        return;
      } else if (type !== undefined) return;
    }
  };
}

type Field = readonly [field: number, value: Parameters<typeof encodeMessage>[0] | Uint8Array];

function packet(type: number, field?: Field): Buffer {
  return encodeMessage([
    ...(type === STAT ? [] : [[1, type] as const]),
    ...(field === undefined ? [] : [field]),
  ]);
}
