import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Answer, deliver, errorAnswer } from './answer.ts';
import { INSIDE } from './faults/fault.ts';
import { type Fault, Mischief } from './faults/mischief.ts';
import { RegistryStore } from './registry-store.ts';
import { type BearerOptions, TokenServer } from './token-server.ts';

/** A registry in this process. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:<port>`, usable as the registry of a reference. */
  readonly host: string;
  readonly url: string;
  /** What was asked, oldest first: `GET /v2/...`. */
  readonly requests: readonly string[];
  /** Values of `Authorization` that were shown, oldest first. */
  readonly authorizations: readonly string[];
  /** Replaces a stored blob's bytes without renaming it: content that does not match its digest. */
  corruptBlob(digest: string, bytes: Uint8Array): void;
  /** Misbehaves in these ways from now on, and in no others. */
  misbehave(...faults: readonly Fault[]): void;
  close(): Promise<void>;
}

/** Options of {@link startRegistry}. */
export interface TestRegistryOptions {
  /** Wants Basic authentication with these credentials. */
  readonly basic?: { readonly username: string; readonly password: string };
  /** Wants a bearer token, which its own token server gives, anonymously or for credentials. */
  readonly bearer?: BearerOptions;
  /** Serves the referrers API. @defaultValue true */
  readonly referrers?: boolean;
  /** Most tags or repositories of one page. @defaultValue 1000 */
  readonly pageSize?: number;
  /** Misbehaves in these ways. */
  readonly faults?: readonly Fault[];
  /** Origin that faults lead to: `http://127.0.0.1:<port>`. @defaultValue a loopback address where nobody listens */
  readonly elsewhere?: string;
  /** Speaks TLS with this certificate; wants a client certificate of `clientCa` when that is given. PEM. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  /** Loopback address to listen on. @defaultValue 127.0.0.1 */
  readonly address?: string;
  /** Answers before the registry does; return true when answered. For faults of your own. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;
}

const MAX_BODY_BYTES = 1024 * 1024 * 1024;

/**
 * Starts an OCI 1.1 registry on loopback that keeps everything in memory: manifests, blobs, uploads in one piece or in
 * chunks, mounts, tag pages, referrers, deletion, authentication; and, asked to, misbehaves. For tests and demonstrations.
 *
 * @see OCI distribution-spec
 */
export async function startRegistry(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const store = new RegistryStore({
    referrers: options.referrers !== false,
    pageSize: options.pageSize ?? 1000,
  });
  const requests: string[] = [];
  const authorizations: string[] = [];
  const answerTo = (request: IncomingMessage, response: ServerResponse) => {
    requests.push(`${request.method} ${request.url}`);
    if (request.headers.authorization !== undefined) authorizations.push(request.headers.authorization);
    respond(request, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    });
  };
  const server = options.tls === undefined ? createServer(answerTo) : tlsServer(options.tls, answerTo);
  const address = options.address ?? '127.0.0.1';
  await listen(server, address);
  const url = `${options.tls === undefined ? 'http' : 'https'}://${address}:${(server.address() as AddressInfo).port}`;
  const tokens = new TokenServer(url, options.bearer);
  const places = { url, elsewhere: options.elsewhere ?? INSIDE };
  let mischief = new Mischief(options.faults ?? [], places);

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if ((await options.intercept?.(request, response)) === true) return;
    const target = new URL(request.url ?? '/', url);
    const wanted = {
      method: request.method ?? 'GET',
      path: decodeURIComponent(target.pathname),
      query: target.searchParams,
      headers: request.headers,
      body: await readAll(request),
    };
    const early = mischief.before(wanted);
    if (early !== undefined) return deliver(response, early);
    const honest = tokens.answer(wanted) ?? refusal(request) ?? store.answer(wanted);
    return deliver(response, mischief.after(wanted, honest));
  }

  function refusal(request: IncomingMessage): Answer | undefined {
    const challenge = tokens.challenge(request) ?? basicChallenge(request, options.basic);
    if (challenge === undefined) return undefined;
    const { headers, ...answer } = errorAnswer(401, 'UNAUTHORIZED');
    return { ...answer, headers: { ...headers, 'www-authenticate': challenge } };
  }

  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    host: new URL(url).host,
    url,
    requests,
    authorizations,
    corruptBlob: (digest, bytes) => void store.blobs.set(digest, bytes),
    misbehave: (...faults) => {
      mischief = new Mischief(faults, places);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function tlsServer(
  { cert, key, clientCa }: NonNullable<TestRegistryOptions['tls']>,
  answerTo: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const client = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  return createTlsServer({ cert, key, ...client }, answerTo);
}

function basicChallenge(request: IncomingMessage, basic: TestRegistryOptions['basic']): string | undefined {
  if (basic === undefined) return undefined;
  const expected = Buffer.from(`${basic.username}:${basic.password}`).toString('base64');
  return request.headers.authorization === `Basic ${expected}` ? undefined : 'Basic realm="test registry"';
}

function listen(server: Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, address, resolve);
  });
}

async function readAll(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) throw new Error(`a body of more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}
