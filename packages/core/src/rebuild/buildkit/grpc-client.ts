import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type Http2Session,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import { frame, unframe } from './frames.ts';

/** What a server answered when it did not do what it was asked. @see grpc, statuscodes.md */
export class GrpcFailure extends Error {
  readonly status: number;
  /** What else it said: a `google.rpc.Status`. */
  readonly details: Buffer;

  constructor(status: number, message: string, details: Buffer = Buffer.alloc(0)) {
    super(message);
    this.details = details;
    this.name = 'GrpcFailure';
    this.status = status;
  }
}

/**
 * The most Node.js (24.21) takes before it ends the whole connection. BuildKit puts the Dockerfile into the headers of a
 * failure; told of the limit, it ends no more than the call.
 */
const MAX_HEADERS_BYTES = 65_535;

/** Headers beside a call; a list is sent as one header for each item. */
export type GrpcMetadata = Readonly<Record<string, string | string[]>>;

interface CallOptions {
  readonly signal?: AbortSignal;
  readonly metadata?: GrpcMetadata;
}

/** A call under way. */
export interface GrpcCall {
  /** Ends with {@link GrpcFailure} when the server's status is not OK. */
  readonly messages: AsyncIterable<Buffer>;
  send(message: Uint8Array): Promise<void>;
  /** Nothing more will be sent. */
  finish(): void;
  cancel(): void;
}

/** gRPC over one connection somebody else opened: a socket, TLS, or an HTTP connection that was upgraded. */
export class GrpcClient {
  readonly #session: ClientHttp2Session;

  constructor(connection: Duplex) {
    this.#session = connect('http://buildkit', {
      createConnection: () => connection,
      settings: { initialWindowSize: 1024 * 1024, maxHeaderListSize: MAX_HEADERS_BYTES },
    });
    // Every call in flight is told by itself.
    this.#session.on('error', () => {});
  }

  /** Asks once, is answered once. */
  async ask(path: string, message: Uint8Array, options: CallOptions = {}): Promise<Buffer> {
    const call = this.call(path, options);
    await call.send(message);
    call.finish();
    let answer: Buffer | undefined;
    for await (const each of call.messages) answer ??= each;
    return answer ?? Buffer.alloc(0);
  }

  /** Begins a call with any number of messages either way. */
  call(path: string, { signal, metadata }: CallOptions = {}): GrpcCall {
    signal?.throwIfAborted();
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...metadata,
    });
    const cancel = () => stream.close(constants.NGHTTP2_CANCEL);
    signal?.addEventListener('abort', cancel, { once: true });
    stream.once('close', () => signal?.removeEventListener('abort', cancel));
    // Told to whoever reads the messages.
    stream.on('error', () => {});
    return {
      messages: answers(stream, signal),
      send: (message) => write(stream, frame(message)),
      finish: () => stream.end(),
      cancel,
    };
  }

  close(): void {
    destroyLater(this.#session);
  }
}

/**
 * Ends a session once it has taken what its connection had received before: Node.js (24.21) hands that over on the next tick,
 * and throws where nobody can catch it when the session is gone by then.
 */
export function destroyLater(session: Http2Session): void {
  setImmediate(() => session.destroy());
}

async function* answers(stream: ClientHttp2Stream, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  let status: number | undefined;
  let told = '';
  let details = '';
  const read = (headers: Readonly<Record<string, unknown>>) => {
    if (headers['grpc-status'] !== undefined) {
      status = Number(headers['grpc-status']);
      told = percentDecoded(String(headers['grpc-message'] ?? ''));
      details = String(headers['grpc-status-details-bin'] ?? '');
    } else if (headers[':status'] !== undefined && headers[':status'] !== 200) {
      status = 2;
      told = `HTTP ${String(headers[':status'])}`;
    }
  };
  stream.on('response', read);
  stream.on('trailers', read);
  try {
    yield* unframe(stream);
  } catch (error) {
    signal?.throwIfAborted();
    if (status === undefined) throw error;
  } finally {
    if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
  }
  signal?.throwIfAborted();
  if (status === undefined) throw new GrpcFailure(14, 'the connection ended before the answer did');
  if (status !== 0) throw new GrpcFailure(status, told, Buffer.from(details, 'base64'));
}

/** @see grpc, PROTOCOL-HTTP2.md, "Percent-Encoded" */
function percentDecoded(text: string): string {
  return Buffer.from(
    text
      .slice(0, 65_536)
      .replaceAll(/%([0-9a-fA-F]{2})/g, (_whole, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      ),
    'latin1',
  ).toString('utf8');
}

function write(stream: ClientHttp2Stream, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, (error) => (error === null || error === undefined ? resolve() : reject(error)));
  });
}
