import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import { serveContext } from './context-upload.ts';
import { serveFile } from './file-sync.ts';
import type { GrpcCall, GrpcClient } from './grpc-client.ts';
import { type GrpcHandler, serveGrpc } from './grpc-server.ts';
import { encodeMessage, fieldsOf } from './protobuf.ts';

const HEALTH = '/grpc.health.v1.Health/Check';
const CREDENTIALS = '/moby.filesync.v1.Auth/Credentials';
const UPLOAD = '/moby.upload.v1.Upload/Pull';
const FILES = '/moby.filesync.v1.FileSync/DiffCopy';
/** Name of the directory that holds the Dockerfile. */
export const DOCKERFILE_DIRECTORY = 'dockerfile';

/** What a build may ask of us. */
export interface SessionServices {
  /** The context, as a tar. */
  readonly context: () => AsyncIterable<Uint8Array>;
  /** The Dockerfile, which the daemon finds as `Dockerfile` of the directory {@link DOCKERFILE_DIRECTORY}. */
  readonly dockerfile: string;
  /** User and password for a registry, or undefined. */
  readonly credentials: (
    host: string,
  ) => Promise<{ readonly username: string; readonly secret: string } | undefined>;
}

/** A session: the way back from the daemon to us. */
export interface BuildkitSession {
  readonly id: string;
  /** Address of the context inside the build. */
  readonly contextUrl: string;
  close(): void;
}

/**
 * Opens a session with a daemon: a call whose messages are the bytes of a second HTTP/2 connection, on which we are the server.
 *
 * @see moby/buildkit, session/session.go
 */
export function openSession(
  client: GrpcClient,
  services: SessionServices,
  signal?: AbortSignal,
): BuildkitSession {
  const id = randomBytes(16).toString('hex');
  const upload = randomBytes(16).toString('hex');
  const handlers: Readonly<Record<string, GrpcHandler>> = {
    async *[HEALTH]() {
      yield encodeMessage([[1, 1]]);
    },
    async *[CREDENTIALS](messages) {
      for await (const message of messages) {
        const host = new Map(fieldsOf(message)).get(1)?.toString('utf8') ?? '';
        const found = await services.credentials(host);
        yield encodeMessage(
          found === undefined
            ? []
            : [
                [1, found.username],
                [2, found.secret],
              ],
        );
        return;
      }
    },
    [FILES]: serveFile(DOCKERFILE_DIRECTORY, 'Dockerfile', Buffer.from(services.dockerfile)),
    [UPLOAD]: serveContext(upload, services.context),
  };
  const call = client.call('/moby.buildkit.v1.Control/Session', {
    signal,
    metadata: {
      'x-docker-expose-session-uuid': id,
      'x-docker-expose-session-name': 'imagevet',
      'x-docker-expose-session-sharedkey': '',
      'x-docker-expose-session-grpc-method': Object.keys(handlers),
    },
  });
  const tunnel = new Tunnel(call);
  const server = serveGrpc(tunnel, handlers);
  return {
    id,
    contextUrl: `http://buildkit-session/${upload}`,
    close: () => {
      server.close();
      tunnel.destroy();
      call.cancel();
    },
  };
}

/** A connection inside a call. */
class Tunnel extends Duplex {
  readonly #call: GrpcCall;
  readonly #messages: AsyncIterator<Buffer>;

  constructor(call: GrpcCall) {
    super();
    this.#call = call;
    this.#messages = call.messages[Symbol.asyncIterator]();
    this.on('error', () => {});
  }

  override _read(): void {
    this.#messages.next().then(
      ({ done, value }) => {
        const bytes = done === true ? null : (new Map(fieldsOf(value)).get(1) ?? Buffer.alloc(0));
        // An empty chunk would be taken for "nothing yet", and nothing more would be read.
        if (bytes !== null && bytes.length === 0) this._read();
        else this.push(bytes);
      },
      (error: Error) => this.destroy(error),
    );
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.#call.send(encodeMessage([[1, chunk]])).then(() => done(), done);
  }

  override _final(done: (error?: Error) => void): void {
    this.#call.finish();
    done();
  }
}
