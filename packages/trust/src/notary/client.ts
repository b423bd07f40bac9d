import type { OperationOptions } from '@imagevet/registry';
import type { Dispatcher } from 'undici';
import { TrustError } from '../errors.ts';
import { checkCollectionName, checkRoleName } from '../metadata/names.ts';
import type { PublicKey } from '../metadata/types.ts';
import { BearerTokens } from './bearer-tokens.ts';
import type { NotaryCredentials, NotaryCredentialsProvider } from './credentials.ts';
import { Exchange, type NotaryAnswer } from './exchange.ts';
import type { MetadataSelector, MetadataSource } from './metadata-source.ts';
import { encodeMultipart, type PublishPart } from './multipart.ts';
import { refusal } from './refusal.ts';

/** Where a notary server is and how to talk to it. */
export interface NotaryServer {
  /** `https://notary.example.com`; plain http never carries credentials except to this machine. */
  readonly url: string;
  /** PEM certificates trusted beside the system's. */
  readonly ca?: string;
  /** Client certificate, PEM. */
  readonly clientCertificate?: { readonly cert: string; readonly key: string };
  readonly credentials?: NotaryCredentials | NotaryCredentialsProvider;
  /** Hosts of token services that may be given the credentials, beside the server's own host. */
  readonly tokenHosts?: readonly string[];
  /** Time limit of one request, its body included. @defaultValue 30 000 */
  readonly timeoutMs?: number;
  /** Sends the requests; replaces `ca` and `clientCertificate`. The caller closes it. */
  readonly dispatcher?: Dispatcher;
}

/** An entry of a server's list of changes. */
export interface NotaryChange {
  readonly id: string;
  readonly collection: string;
  readonly version: number;
  readonly sha256: string;
  readonly category: string;
  readonly createdAt: string;
}

const DEFAULT_MAX_BYTES = 16 * 1024 * 1024;
const MAX_KEY_BYTES = 256 * 1024;

/**
 * Speaks the HTTP protocol of a notary server. It moves bytes: what it returns is not verified.
 *
 * @see notary docs/reference/server-api.md
 */
export class NotaryClient implements MetadataSource {
  readonly url: string;
  readonly #exchange: Exchange;
  readonly #tokens: BearerTokens;

  /**
   * @throws {@link TrustError} `INVALID_OPTIONS` when the URL is not http or https, or carries credentials.
   */
  constructor(server: NotaryServer) {
    this.url = checkUrl(server.url);
    this.#exchange = new Exchange(server);
    this.#tokens = new BearerTokens({
      url: this.url,
      credentials: server.credentials,
      tokenHosts: server.tokenHosts ?? [],
      exchange: this.#exchange,
    });
  }

  /**
   * Fetches a metadata file.
   *
   * @returns its bytes, or `undefined` when the server has none
   * @throws {@link TrustError} `UNREACHABLE`, `TIMEOUT`, `AUTH_REQUIRED`, `DENIED`, `LIMIT_EXCEEDED`
   */
  async fetchMetadata(
    collection: string,
    role: string,
    selector: MetadataSelector = {},
  ): Promise<Uint8Array | undefined> {
    const { version, sha256, maxBytes = DEFAULT_MAX_BYTES, signal } = selector;
    checkRoleName(role);
    const name =
      version !== undefined
        ? `${version}.${role}.json`
        : sha256 !== undefined
          ? `${role}.${sha256}.json`
          : `${role}.json`;
    const answer = await this.#call('GET', collection, `tuf/${name}`, 'pull', { maxBytes, signal });
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw refusal(`read ${role} of ${collection}`, answer);
    // A login page or a captive portal answers 200 too.
    const first = Buffer.from(answer.body.subarray(0, 64)).toString('latin1').trimStart();
    if (!first.startsWith('{')) {
      throw new TrustError('UNREACHABLE', `read ${role} of ${collection}: the answer is not metadata`, {
        hint: 'Something else than a notary server answers at this address: a proxy or a login page.',
        details: { status: answer.status, contentType: answer.contentType },
      });
    }
    return answer.body;
  }

  /** Fetches the public key the server signs `snapshot` or `timestamp` with; it makes one when it has none. */
  async fetchServerKey(
    collection: string,
    role: 'snapshot' | 'timestamp',
    options: OperationOptions = {},
  ): Promise<PublicKey> {
    return this.#key('GET', collection, role, 'push,pull', options);
  }

  /** Makes the server create a new key, which counts once a published root names it. */
  async createServerKey(
    collection: string,
    role: 'snapshot' | 'timestamp',
    options: OperationOptions = {},
  ): Promise<PublicKey> {
    return this.#key('POST', collection, role, '*', options);
  }

  /**
   * Publishes files, all or none of them.
   *
   * @throws {@link TrustError} `VERSION_CONFLICT` when a newer version is there, `SERVER_REFUSED` with the server's
   *   reason, and what {@link fetchMetadata} throws.
   */
  async publish(
    collection: string,
    parts: readonly PublishPart[],
    options: OperationOptions = {},
  ): Promise<void> {
    for (const { role } of parts) checkRoleName(role);
    const { contentType, body } = encodeMultipart(parts);
    const answer = await this.#call('POST', collection, 'tuf/', 'push,pull', {
      ...options,
      contentType,
      body,
    });
    if (answer.status !== 200) throw refusal(`publish ${collection}`, answer);
  }

  /**
   * Deletes all trust data of a collection.
   *
   * @remarks notary-server 0.7 with its memory store also deletes collections whose name starts with this one.
   */
  async deleteCollection(collection: string, options: OperationOptions = {}): Promise<void> {
    const answer = await this.#call('DELETE', collection, 'tuf/', '*', options);
    if (answer.status !== 200) throw refusal(`delete ${collection}`, answer);
  }

  /** Lists what was published to a collection, oldest first. */
  async *changes(collection: string, options: OperationOptions = {}): AsyncIterable<NotaryChange> {
    const page = 100;
    for (let last = '0'; ; ) {
      const path = `changefeed?records=${page}&change_id=${last}`;
      const answer = await this.#call('GET', collection, path, 'pull', options);
      if (answer.status === 404) return;
      if (answer.status !== 200) throw refusal(`read changes of ${collection}`, answer);
      const records = readChanges(collection, answer.body);
      yield* records;
      const next = records.at(-1)?.id;
      if (records.length < page || next === undefined || next === last) return;
      last = next;
    }
  }

  /** Closes connections this client opened. */
  async close(): Promise<void> {
    await this.#exchange.close();
  }

  async #key(
    method: 'GET' | 'POST',
    collection: string,
    role: string,
    actions: string,
    options: OperationOptions,
  ): Promise<PublicKey> {
    const answer = await this.#call(method, collection, `tuf/${role}.key`, actions, {
      ...options,
      maxBytes: MAX_KEY_BYTES,
    });
    if (answer.status !== 200) throw refusal(`fetch ${role} key of ${collection}`, answer);
    const value = parseJson(answer.body) as { keytype?: unknown; keyval?: { public?: unknown } } | undefined;
    if (typeof value?.keytype !== 'string' || typeof value.keyval?.public !== 'string') {
      throw new TrustError('MALFORMED', `fetch ${role} key of ${collection}: the answer is not a key`);
    }
    return { keytype: value.keytype, keyval: { private: null, public: value.keyval.public } };
  }

  async #call(
    method: 'GET' | 'POST' | 'DELETE',
    collection: string,
    path: string,
    actions: string,
    options: OperationOptions & { maxBytes?: number; body?: Buffer; contentType?: string },
  ): Promise<NotaryAnswer> {
    const { signal, maxBytes = DEFAULT_MAX_BYTES, body, contentType } = options;
    const url = `${this.url}/v2/${checkCollectionName(collection)}/_trust/${path}`;
    const scope = `repository:${collection}:${actions}`;
    const send = async (authorization: string | undefined): Promise<NotaryAnswer> =>
      this.#exchange.send(url, {
        method,
        maxBytes,
        signal,
        body,
        headers: {
          // A proxy may hold a current file for minutes; files by hash or version never change.
          ...(/\.[0-9a-f]{64}\.json$/.test(path) ? {} : { 'cache-control': 'no-cache' }),
          ...(contentType === undefined ? {} : { 'content-type': contentType }),
          ...(authorization === undefined ? {} : { authorization }),
        },
      });
    const answer = await send(await this.#tokens.known(scope));
    if (answer.status !== 401) return answer;
    const authorization = await this.#tokens.obtain(scope, collection, answer.challenge, signal);
    return authorization === undefined ? answer : send(authorization);
  }
}

function readChanges(collection: string, body: Uint8Array): NotaryChange[] {
  const records = (parseJson(body) as { records?: unknown } | undefined)?.records;
  if (!Array.isArray(records)) throw new TrustError('MALFORMED', `read changes of ${collection}: not a list`);
  return records.map((record: Record<string, unknown>) => ({
    id: String(record.ID),
    collection: String(record.GUN),
    version: Number(record.Version),
    sha256: String(record.SHA256),
    category: String(record.Category),
    createdAt: String(record.CreatedAt),
  }));
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8'));
  } catch {
    return undefined;
  }
}

function checkUrl(text: string): string {
  const url = URL.parse(text);
  const usable = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
  if (!usable || url.search !== '' || url.hash !== '') {
    throw new TrustError(
      'INVALID_OPTIONS',
      'notary server: the URL must be http or https, without user or query',
    );
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}
