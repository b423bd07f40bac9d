import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { isBaseRole, isDelegationName } from '../metadata/names.ts';
import type { NotaryServer } from '../notary/client.ts';
import { decodeMultipart } from './multipart-reader.ts';
import { acceptPublish, PublishRefusal, renewTimestamp } from './notary-publish.ts';
import { NotaryStore } from './notary-store.ts';
import { createServerCertificate } from './server-certificate.ts';

/** How the in-process notary behaves. */
export interface StartNotaryOptions {
  /** Serves TLS with a certificate of its own; docker wants TLS. @defaultValue false */
  readonly tls?: boolean;
  /** @defaultValue a free port */
  readonly port?: number;
  readonly now?: () => Date;
  /** @defaultValue 14 days, as notary-server */
  readonly timestampLifetimeMs?: number;
  /** Kind of the server's own keys: `ed25519` as with a local signer, `ecdsa-p256` as with notary-signer. */
  readonly serverKeys?: 'ed25519' | 'ecdsa-p256';
}

/** A reply before it is sent. */
export interface NotaryReply {
  readonly status: number;
  readonly body: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Changes replies on their way out; what it returns is sent. */
export type NotaryIntercept = (
  request: { readonly method: string; readonly path: string },
  reply: NotaryReply,
) => NotaryReply | Promise<NotaryReply>;

/** A running in-process notary. */
export interface RunningNotary {
  readonly url: string;
  /** `127.0.0.1:<port>` */
  readonly host: string;
  /** PEM of the certificate to trust, with TLS. */
  readonly ca?: string;
  /** What clients take as `server`. */
  readonly server: NotaryServer;
  readonly store: NotaryStore;
  /** `GET /v2/…` of every request so far. */
  readonly requests: readonly string[];
  /** Changes replies; set to `undefined` to be honest again. */
  intercept: NotaryIntercept | undefined;
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 64 * 1024 * 1024;
const DAY_MS = 86_400_000;

/**
 * Starts a notary server in this process, on loopback and in memory. It speaks the protocol of notary-server 0.7 with two
 * differences: it refuses files it would have to write differently instead of breaking the collection, and deleting a
 * collection deletes no other one.
 */
export async function startNotary(options: StartNotaryOptions = {}): Promise<RunningNotary> {
  const certificate = options.tls === true ? await createServerCertificate() : undefined;
  const store = new NotaryStore(options.serverKeys ?? 'ed25519');
  const requests: string[] = [];
  const notary: { intercept: NotaryIntercept | undefined } = { intercept: undefined };
  const service = new NotaryService(store, options);
  const listener: RequestListener = (request, response) => {
    const { method = 'GET', url = '/' } = request;
    requests.push(`${method} ${url}`);
    void service
      .answer(request)
      .then((reply) => notary.intercept?.({ method, path: url }, reply) ?? reply)
      .catch((error: unknown) => failure(500, 'UNKNOWN', String(error)))
      .then((reply) => send(response, reply));
  };
  const server = certificate === undefined ? createServer(listener) : createTlsServer(certificate, listener);
  await listen(server, options.port ?? 0);
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const url = `${certificate === undefined ? 'http' : 'https'}://${host}`;
  const ca = certificate?.cert;
  return Object.assign(notary, {
    url,
    host,
    ...(ca === undefined ? {} : { ca }),
    server: { url, ...(ca === undefined ? {} : { ca }) },
    store,
    requests,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
}

class NotaryService {
  readonly #store: NotaryStore;
  readonly #now: () => Date;
  readonly #timestampLifetimeMs: number;
  /** Ends with the last write that was begun. */
  #writing: Promise<void> = Promise.resolve();

  constructor(store: NotaryStore, options: StartNotaryOptions) {
    this.#store = store;
    this.#now = options.now ?? (() => new Date());
    this.#timestampLifetimeMs = options.timestampLifetimeMs ?? 14 * DAY_MS;
  }

  async answer(request: IncomingMessage): Promise<NotaryReply> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const { method = 'GET' } = request;
    if (pathname === '/v2/' || pathname === '/_notary_server/health') return reply(200, '{}');
    const match = /^\/v2\/([^*]+)\/_trust\/(tuf\/(.*)|changefeed)$/.exec(decodeURIComponent(pathname));
    if (match === null) return failure(404, 'METADATA_NOT_FOUND');
    const [, collection = '', route, name = ''] = match;
    if (route === 'changefeed') return this.#changes(collection, searchParams);
    if (method === 'POST' && name === '') return this.#publish(collection, request);
    if (method === 'DELETE' && name === '') {
      this.#store.delete(collection);
      return reply(200, '');
    }
    const key = /^(snapshot|timestamp)\.key$/.exec(name)?.[1] as 'snapshot' | 'timestamp' | undefined;
    if (key !== undefined) return this.#key(method, collection, key);
    return method === 'GET' ? this.#read(collection, name) : failure(405, 'METADATA_NOT_FOUND');
  }

  #key(method: string, collection: string, role: 'snapshot' | 'timestamp'): NotaryReply {
    const keypair =
      method === 'POST' ? this.#store.createKey(collection, role) : this.#store.offeredKey(collection, role);
    const { keytype, keyval } = keypair.publicKey;
    // Go prints the public half first here; ids are computed on the sorted form.
    return reply(200, JSON.stringify({ keytype, keyval: { public: keyval.public, private: null } }));
  }

  async #read(collection: string, name: string): Promise<NotaryReply> {
    const match = /^(?:0*([1-9]\d{0,9})\.)?([a-z0-9_/-]+?)(?:\.([0-9a-f]{64}))?\.json$/.exec(name);
    const [, version, role = '', sha256] = match ?? [];
    if (match === null || !(isBaseRole(role) || isDelegationName(role)))
      return failure(404, 'METADATA_NOT_FOUND');
    // A timestamp that somebody spoiled cannot be renewed, and is served as it is.
    const wantsNewest = role === 'timestamp' && version === undefined && sha256 === undefined;
    if (wantsNewest) await this.#renew(collection).catch(() => undefined);
    const wantsRenewed = (role === 'timestamp' || role === 'snapshot') && version === undefined;
    if (wantsRenewed && sha256 === undefined && this.#cannotRenewSnapshot(collection))
      return failure(500, 'UNKNOWN');
    const files = this.#store.versions(collection, role);
    const file =
      version !== undefined
        ? files.find((stored) => stored.version === Number(version))
        : sha256 !== undefined
          ? files.find((stored) => stored.sha256 === sha256)
          : files.at(-1);
    if (file === undefined) return failure(404, 'METADATA_NOT_FOUND');
    return {
      status: 200,
      body: file.bytes,
      headers: {
        'content-type': 'text/plain; charset=utf-8',
        'cache-control': 'max-age=0, no-cache, no-store',
        'last-modified': file.storedAt.toUTCString().replace('GMT', 'UTC'),
      },
    };
  }

  // notary-server would sign an expired snapshot again, and fails over one whose key the publisher holds.
  #cannotRenewSnapshot(collection: string): boolean {
    const [snapshot, root] = [
      readable(() => this.#store.current(collection, 'snapshot')),
      readable(() => this.#store.current(collection, 'root')),
    ];
    if (snapshot === undefined || root === undefined) return false;
    const { keyids } = root.signed.roles.snapshot;
    const held = keyids?.some((id) => this.#store.keyById(collection, 'snapshot', id) !== undefined);
    return held !== true && Date.parse(snapshot.signed.expires) <= this.#now().getTime();
  }

  async #renew(collection: string): Promise<void> {
    const timestamp = this.#store.current(collection, 'timestamp');
    const now = this.#now();
    if (timestamp === undefined || Date.parse(timestamp.signed.expires) > now.getTime()) return;
    const options = { now, timestampLifetimeMs: this.#timestampLifetimeMs };
    await this.#alone(() => renewTimestamp(this.#store, collection, options));
  }

  // What one publish was compared with must still be there when it is stored.
  async #alone(write: () => Promise<void>): Promise<void> {
    const turn = this.#writing.then(write);
    this.#writing = turn.catch(() => {});
    return turn;
  }

  async #publish(collection: string, request: IncomingMessage): Promise<NotaryReply> {
    const body = await readBody(request);
    const parts =
      body === undefined ? undefined : decodeMultipart(request.headers['content-type'] ?? '', body);
    if (parts === undefined) return failure(400, 'MALFORMED_UPLOAD');
    const unknown = parts.find(({ role }) => !isBaseRole(role) && !isDelegationName(role));
    if (unknown !== undefined) return failure(400, 'INVALID_ROLE', unknown.role);
    try {
      const options = { now: this.#now(), timestampLifetimeMs: this.#timestampLifetimeMs };
      await this.#alone(() => acceptPublish(this.#store, collection, parts, options));
      return reply(200, '');
    } catch (error) {
      if (error instanceof PublishRefusal) return failure(400, error.code, error.detail);
      throw error;
    }
  }

  #changes(collection: string, parameters: URLSearchParams): NotaryReply {
    const after = Number(parameters.get('change_id') ?? 0);
    const limit = Number(parameters.get('records') ?? Number.NaN);
    if (!Number.isSafeInteger(limit) || limit < 0) return failure(400, 'INVALID_PARAMETERS');
    const records = this.#store
      .versions(collection, 'timestamp')
      .map((file, index) => ({
        ID: String(index + 1),
        CreatedAt: file.storedAt.toISOString(),
        GUN: collection,
        Version: file.version,
        SHA256: file.sha256,
        Category: 'update',
      }))
      .slice(after, after + (limit === 0 ? 100 : limit));
    return reply(200, JSON.stringify({ count: records.length, records }));
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let received = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    received += chunk.length;
    if (received > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const MESSAGES: Readonly<Record<string, string>> = {
  METADATA_NOT_FOUND: 'You have requested metadata that does not exist.',
  INVALID_UPDATE: 'Update sent by the client is invalid.',
  VERSION: 'A newer version of metadata is already available.',
  MALFORMED_JSON: 'JSON sent by the client could not be parsed by the server',
  MALFORMED_UPLOAD: 'The body of your request is malformed.',
  INVALID_ROLE: 'The role you are attempting to operate on is invalid.',
  UNKNOWN: 'unknown error',
};

function failure(status: number, code: string, detail?: unknown): NotaryReply {
  return reply(
    status,
    `${JSON.stringify({ errors: [{ code, message: MESSAGES[code] ?? code, detail }] })}\n`,
  );
}

function reply(status: number, body: string): NotaryReply {
  return { status, body: Buffer.from(body), headers: { 'content-type': 'application/json; charset=utf-8' } };
}

function send(response: ServerResponse, { status, body, headers }: NotaryReply): void {
  response.writeHead(status, { ...headers, 'content-length': body.byteLength });
  response.end(body);
}

async function listen(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}

/** What somebody may have spoiled; `undefined` when they did. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
