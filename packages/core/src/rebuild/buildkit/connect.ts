import { request } from 'node:http';
import { connect as connectSocket, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { CoreError } from '../../errors.ts';
import type { EngineTls } from '../engine/engine.ts';

/** Where a BuildKit daemon is: on its own, or inside a Docker Engine. */
export interface BuildkitAddress {
  /** `unix:///run/buildkit/buildkitd.sock`, or `tcp://host:1234`. */
  readonly address: string;
  readonly tls?: EngineTls;
  /** True when a Docker Engine listens there, which hands the connection on to the BuildKit inside it. @defaultValue false */
  readonly engine?: boolean;
}

const TIMEOUT_MS = 15_000;

/** Opens a connection that speaks HTTP/2. @throws CoreError `ENGINE_UNREACHABLE`, `INVALID_OPTIONS` */
export async function openBuildkit(where: BuildkitAddress, signal?: AbortSignal): Promise<Duplex> {
  signal?.throwIfAborted();
  const { address } = where;
  try {
    const socket = await opened(dial(where), signal);
    return where.engine === true ? await upgraded(socket, signal) : socket;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof CoreError) throw error;
    throw new CoreError(
      'ENGINE_UNREACHABLE',
      `no BuildKit answers at ${address}: ${(error as Error).message}`,
      {
        cause: error,
        hint: 'Start buildkitd there, or name another address.',
      },
    );
  }
}

function dial({ address, tls, engine }: BuildkitAddress): Socket {
  const url = URL.parse(address);
  if (url?.protocol === 'unix:' && url.host === '' && url.pathname.length > 1)
    return connectSocket(decodeURIComponent(url.pathname));
  if (url?.protocol === 'tcp:' && url.hostname !== '' && url.port !== '' && url.username === '') {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const port = Number(url.port);
    const ALPNProtocols = engine === true ? ['http/1.1'] : ['h2'];
    return tls === undefined
      ? connectSocket({ host, port })
      : connectTls({ host, port, ...tls, ALPNProtocols, ...(isIP(host) === 0 ? { servername: host } : {}) });
  }
  throw new CoreError('INVALID_OPTIONS', `${JSON.stringify(address)} is no address of a BuildKit daemon`, {
    hint: 'Write unix:///path/to/socket or tcp://host:port.',
  });
}

function opened(socket: Socket, signal: AbortSignal | undefined): Promise<Socket> {
  const secure = 'encrypted' in socket && socket.encrypted === true;
  return settled(socket, signal, (resolve) =>
    socket.once(secure ? 'secureConnect' : 'connect', () => resolve(socket)),
  );
}

/** Asks a Docker Engine for the BuildKit inside it. @see Docker Engine API, `POST /grpc` */
function upgraded(socket: Socket, signal: AbortSignal | undefined): Promise<Duplex> {
  return settled<Duplex>(socket, signal, (resolve, reject) => {
    const asking = request({
      method: 'POST',
      path: '/grpc',
      host: 'engine',
      headers: { connection: 'Upgrade', upgrade: 'h2c' },
      createConnection: () => socket,
    });
    asking.once('upgrade', (_response, connection, head: Buffer) => {
      if (head.length > 0) connection.unshift(head);
      resolve(connection);
    });
    asking.once('response', ({ statusCode }) => {
      reject(new Error(`the engine answered ${statusCode} to POST /grpc, and has no BuildKit to offer`));
    });
    asking.once('error', reject);
    asking.end();
  });
}

function settled<T>(
  socket: Socket,
  signal: AbortSignal | undefined,
  wait: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
  const aborted = () => reject(signal?.reason);
  signal?.addEventListener('abort', aborted, { once: true });
  socket.once('error', reject);
  wait(resolve, reject);
  return promise
    .catch((error: unknown) => {
      socket.destroy();
      throw error;
    })
    .finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      socket.off('error', reject);
    });
}
