import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { NotaryServer } from '../notary/client.ts';
import { createTransport, type Transport } from '../notary/transport.ts';
import type { NotaryIntercept, NotaryReply } from './notary.ts';
import { createServerCertificate } from './server-certificate.ts';

/** A notary server seen through somebody who stands between. */
export interface NotaryProxy {
  readonly url: string;
  /** `127.0.0.1:<port>` */
  readonly host: string;
  /** PEM of the certificate to trust, with TLS. */
  readonly ca?: string;
  /** What clients take as `server`. */
  readonly server: NotaryServer;
  /** `GET /v2/…` of every request so far. */
  readonly requests: readonly string[];
  /** Changes replies on their way; set to `undefined` to be honest again. */
  intercept: NotaryIntercept | undefined;
  /** Answers in the server's place, so that a request never reaches it; `undefined` lets it pass. */
  block:
    | ((request: { readonly method: string; readonly path: string }) => NotaryReply | undefined)
    | undefined;
  close(): Promise<void>;
}

/** Starts a proxy on loopback that passes requests to a notary server and may change the replies. */
export async function startNotaryProxy(options: {
  readonly server: NotaryServer;
  /** Serves TLS with a certificate of its own. @defaultValue false */
  readonly tls?: boolean;
}): Promise<NotaryProxy> {
  const certificate = options.tls === true ? await createServerCertificate() : undefined;
  const { url: upstream, ca: upstreamCa } = options.server;
  const transport = createTransport({ ca: upstreamCa });
  const state: Pick<NotaryProxy, 'intercept' | 'block'> = { intercept: undefined, block: undefined };
  const requests: string[] = [];
  const listener: RequestListener = (request, response) => {
    const { method = 'GET', url: path = '/' } = request;
    requests.push(`${method} ${path}`);
    const blocked = state.block?.({ method, path });
    void (
      blocked === undefined
        ? forward(request, new URL(`${upstream}${path}`), transport)
        : Promise.resolve(blocked)
    )
      .then((reply) => state.intercept?.({ method, path }, reply) ?? reply)
      .catch((): NotaryReply => ({ status: 502, body: Buffer.from('no answer from the notary') }))
      .then((reply) => answer(response, reply));
  };
  const server = certificate === undefined ? createServer(listener) : createTlsServer(certificate, listener);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const url = `${certificate === undefined ? 'http' : 'https'}://${host}`;
  const own = certificate === undefined ? {} : { ca: certificate.cert };
  return Object.assign(state, {
    url,
    host,
    ...own,
    server: { url, ...own },
    requests,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      transport.close();
    },
  });
}

async function forward(request: IncomingMessage, url: URL, transport: Transport): Promise<NotaryReply> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const type = request.headers['content-type'];
  const { authorization } = request.headers;
  const reply = await transport.send(url, {
    method: request.method ?? 'GET',
    headers: {
      ...(type === undefined ? {} : { 'content-type': type }),
      ...(authorization === undefined ? {} : { authorization }),
    },
    body: body.length === 0 && request.method !== 'POST' ? undefined : body,
    signal: AbortSignal.timeout(30_000),
  });
  const kept = ['content-type', 'www-authenticate', 'cache-control', 'last-modified'].flatMap((name) => {
    const value = reply.headers[name];
    return value === undefined ? [] : [[name, `${value}`]];
  });
  const parts: Uint8Array[] = [];
  for await (const part of reply.body) parts.push(part);
  return {
    status: reply.status,
    body: Buffer.concat(parts),
    headers: Object.fromEntries(kept),
  };
}

function answer(response: ServerResponse, { status, body, headers }: NotaryReply): void {
  response.writeHead(status, { ...headers, 'content-length': body.byteLength });
  response.end(body);
}
