import { type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { frame, unframe } from './frames.ts';
import { destroyLater } from './grpc-client.ts';

/** Answers a call: what it is asked, and with which headers. */
export type GrpcHandler = (
  messages: AsyncIterable<Buffer>,
  headers: IncomingHttpHeaders,
) => AsyncIterable<Uint8Array>;

const UNIMPLEMENTED = '12';
const UNKNOWN = '2';

/** Serves gRPC on one connection: BuildKit calls its client back for the context and for credentials. */
export function serveGrpc(
  connection: Duplex,
  handlers: Readonly<Record<string, GrpcHandler>>,
): { close(): void } {
  const session = performServerHandshake(connection, { settings: { initialWindowSize: 1024 * 1024 } });
  session.on('error', () => {});
  session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => {});
    const path = String(headers[':path']);
    const handler = Object.hasOwn(handlers, path) ? handlers[path] : undefined;
    if (handler === undefined) {
      const refusal = { 'grpc-status': UNIMPLEMENTED, 'grpc-message': 'unimplemented' };
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...refusal }, { endStream: true });
      return;
    }
    void answer(stream, handler, headers);
  });
  return { close: () => destroyLater(session) };
}

async function answer(
  stream: ServerHttp2Stream,
  handler: GrpcHandler,
  headers: IncomingHttpHeaders,
): Promise<void> {
  let status = '0';
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  try {
    // A handler that has read what it needs must not take the answer's stream along.
    for await (const message of handler(unframe(stream.iterator({ destroyOnReturn: false })), headers)) {
      if (stream.destroyed) return;
      if (!stream.write(frame(message))) await drained(stream);
    }
  } catch {
    // What went wrong here is told to the caller of the build, not to the daemon.
    status = UNKNOWN;
  }
  stream.end();
  stream.resume();
}

function drained(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      stream.off('drain', go);
      stream.off('close', go);
      resolve();
    };
    stream.once('drain', go);
    stream.once('close', go);
  });
}
