import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Agent, request as send } from 'undici';
import type { NotaryServer } from '../notary/client.ts';
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
  const agent = new Agent({ connect: upstreamCa === undefined ? {} : { ca: upstreamCa } });
  const state: Pick<NotaryProxy, 'intercept' | 'block'> = { intercept: undefined, block: undefined };
  const requests: string[] = [];
  const listener: RequestListener = (request, response) => {
    const { method = 'GET', url: path = '/' } = request;
    requests.push(`${method} ${path}`);
    const blocked = state.block?.({ method, path });
    void (blocked === undefined ? forward(request, `${upstream}${path}`, agent) : Promise.resolve(blocked))
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
      await agent.close();
    },
  });
}

async function forward(request: IncomingMessage, url: string, dispatcher: Agent): Promise<NotaryReply> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const type = request.headers['content-type'];
  const { authorization } = request.headers;
  const reply = await send(url, {
    method: (request.method ?? 'GET') as 'GET',
    headers: {
      ...(type === undefined ? {} : { 'content-type': type }),
      ...(authorization === undefined ? {} : { authorization }),
    },
    body: body.length === 0 && request.method !== 'POST' ? null : body,
    dispatcher,
  });
  const kept = ['content-type', 'www-authenticate', 'cache-control', 'last-modified'].flatMap((name) => {
    const value = reply.headers[name];
    return value === undefined ? [] : [[name, `${value}`]];
  });
  return {
    status: reply.statusCode,
    body: Buffer.from(await reply.body.arrayBuffer()),
    headers: Object.fromEntries(kept),
  };
}

function answer(response: ServerResponse, { status, body, headers }: NotaryReply): void {
  response.writeHead(status, { ...headers, 'content-length': body.byteLength });
  response.end(body);
}
