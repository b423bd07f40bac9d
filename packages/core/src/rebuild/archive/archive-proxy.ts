import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CoreError } from '../../errors.ts';
import { MaterialStore } from './material-store.ts';
import { Recorder } from './recorder.ts';
import { rulesOf } from './rules.ts';
import type { ArchiveProxy, ArchiveProxyOptions } from './types.ts';

/**
 * Starts a proxy between builds and package archives: it sends questions for an archive that moved to where it is now,
 * refuses whatever it was not told to allow, and records what it passed on by digest. The Dockerfile stays as it is, and
 * signatures on the archive's indexes are checked by the build as ever.
 *
 * Give its URL to a builder as `proxy: { http: proxy.url }`. It reads plain HTTP only: what a build fetches by HTTPS goes
 * through a tunnel nobody can look into, and is refused. A build that ignores the proxy is not held by it: give it a network
 * that leads nowhere else.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for a beginning that is no http(s) URL, and for a folder that cannot be used
 */
export async function startArchiveProxy(options: ArchiveProxyOptions = {}): Promise<ArchiveProxy> {
  if (options.offline === true && options.directory === undefined) {
    throw new CoreError('INVALID_OPTIONS', 'offline needs a directory to answer from');
  }
  const rules = rulesOf(options);
  const store = options.directory === undefined ? undefined : await MaterialStore.open(options.directory);
  const recorder = new Recorder(rules, options, store);
  const server = createServer((question, answer) => {
    recorder.answer(question, answer).catch(() => answer.destroy());
  });
  server.on('connect', (question: IncomingMessage, socket) => {
    recorder.refuse(`https://${question.url ?? ''}`, 'a tunnel cannot be recorded');
    socket.on('error', () => {});
    socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
  });
  const { address = '127.0.0.1', port = 0 } = options;
  await listen(server, port, address);
  const bound = (server.address() as AddressInfo).port;
  const host = address.includes(':') ? `[${address}]` : address;
  const close = async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await recorder.close();
  };
  return {
    url: `http://${host}:${bound}`,
    materials: recorder.materials,
    refused: recorder.refused,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function listen(server: Server, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new CoreError('INVALID_OPTIONS', `the proxy cannot listen on ${address}:${port}: ${error.message}`),
      ),
    );
    server.listen(port, address, resolve);
  });
}
