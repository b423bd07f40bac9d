import { createServer, request as httpRequest } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

/** A proxy in this process that resolves every name to loopback. */
export interface TestProxy extends AsyncDisposable {
  readonly url: string;
  /** What was asked of it, oldest first: `CONNECT registry.corp:443`, `GET http://registry.corp/v2/`. */
  readonly requests: readonly string[];
}

/** Options of {@link startProxy}. */
export interface TestProxyOptions {
  /** Wants these, and answers 407 without. */
  readonly username?: string;
  readonly password?: string;
}

/** Starts an HTTP proxy on loopback: it tunnels CONNECT and forwards http, to 127.0.0.1 whatever name is asked for. */
export async function startProxy(options: TestProxyOptions = {}): Promise<TestProxy> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const { username, password } = options;
  const expected =
    username === undefined ? undefined : `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const admits = (given: string | undefined) => expected === undefined || given === expected;
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (!admits(request.headers['proxy-authorization'])) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic realm="proxy"' }).end();
      return;
    }
    const url = new URL(request.url ?? '/', 'http://none');
    const { 'proxy-authorization': _own, ...headers } = request.headers;
    const { method } = request;
    const path = `${url.pathname}${url.search}`;
    const onward = httpRequest(
      { host: '127.0.0.1', port: url.port || 80, path, method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.once('error', () => response.destroy());
    request.pipe(onward);
  });
  server.on('connect', (request, client: Socket) => {
    requests.push(`CONNECT ${request.url}`);
    client.on('error', () => client.destroy());
    if (!admits(request.headers['proxy-authorization'])) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const port = Number(/:(\d+)$/.exec(request.url ?? '')?.[1]);
    const onward = connect({ host: '127.0.0.1', port }, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      onward.pipe(client).pipe(onward);
    });
    sockets.add(onward);
    onward.on('error', () => client.destroy());
    onward.on('close', () => client.destroy());
    client.on('close', () => onward.destroy());
  });
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
