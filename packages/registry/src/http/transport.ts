import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, type Dispatcher, request } from 'undici';
import { RegistryError } from '../errors.ts';
import type { OperationOptions } from '../options.ts';
import { guardedLookup, isInternalHost, refuseEgress } from './egress.ts';
import { redactUrl } from './redaction.ts';

/** How patient and how bold the transport is. */
export interface TransportOptions {
  /** Tries of one idempotent request. @defaultValue 4 */
  readonly attempts?: number;
  /** First delay between tries, in milliseconds; doubled each time, with full jitter. @defaultValue 250 */
  readonly baseDelayMs?: number;
  /** Longest delay, also of a `Retry-After`, in milliseconds. @defaultValue 30000 */
  readonly maxDelayMs?: number;
  /** Time to the response headers, in milliseconds. @defaultValue 30000 */
  readonly headersTimeoutMs?: number;
  /** Time without a byte of the body, in milliseconds. @defaultValue 60000 */
  readonly bodyTimeoutMs?: number;
  /** PEM certificates to trust besides the built-in ones' place. */
  readonly ca?: string;
  /** @defaultValue imagevet */
  readonly userAgent?: string;
}

/** One request. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
  /** Sent to the first origin only, never after a redirect to another. */
  readonly authorization?: string;
}

/** A response whose body must be read or dumped. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: AsyncIterable<Uint8Array>;
  /** Throws the body away. */
  dump(): Promise<void>;
  /** The URL that answered, after redirects. */
  readonly url: URL;
}

const RETRIED_STATUS: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504, 522]);
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 5;

/** Sends requests: retries what is idempotent, follows redirects by hand, keeps credentials at their origin. */
export class Transport {
  readonly #options: Required<Omit<TransportOptions, 'ca'>>;
  readonly #direct: Agent;
  readonly #guarded: Agent;

  constructor(options: TransportOptions = {}) {
    this.#options = {
      attempts: options.attempts ?? 4,
      baseDelayMs: options.baseDelayMs ?? 250,
      maxDelayMs: options.maxDelayMs ?? 30_000,
      headersTimeoutMs: options.headersTimeoutMs ?? 30_000,
      bodyTimeoutMs: options.bodyTimeoutMs ?? 60_000,
      userAgent: options.userAgent ?? 'imagevet',
    };
    const tls = options.ca === undefined ? {} : { ca: options.ca };
    this.#direct = new Agent({ connect: tls });
    this.#guarded = new Agent({ connect: { ...tls, lookup: guardedLookup } });
  }

  /** Sends a request; any status is a response. @throws RegistryError `UNREACHABLE`, `TIMEOUT`, `REDIRECT_REFUSED`, `EGRESS_REFUSED` */
  async send(wanted: HttpRequest, options: OperationOptions = {}): Promise<HttpResponse> {
    const replayable = wanted.body === undefined || wanted.body instanceof Uint8Array;
    const idempotent = wanted.method !== 'POST' && wanted.method !== 'PATCH' && replayable;
    const attempts = idempotent ? this.#options.attempts : 1;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const response = await this.#follow(wanted, options);
        if (!RETRIED_STATUS.has(response.status) || attempt >= attempts) return response;
        const delay = retryAfterMs(response.headers['retry-after']) ?? this.#jitter(attempt);
        if (delay > this.#options.maxDelayMs) return response;
        await response.dump();
        await sleep(delay, undefined, { signal: options.signal });
      } catch (error) {
        if (options.signal?.aborted === true) throw options.signal.reason;
        const failure = explain(error, wanted);
        if (attempt >= attempts || !isTransient(failure)) throw failure;
        await pause(this.#jitter(attempt), options.signal);
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#direct.destroy(), this.#guarded.destroy()]);
  }

  async #follow(wanted: HttpRequest, options: OperationOptions): Promise<HttpResponse> {
    const home = isInternalHost(wanted.url.hostname);
    let { url } = wanted;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
      const foreign = url.origin !== wanted.url.origin;
      if (foreign && !home && isInternalHost(url.hostname)) throw refuseEgress(url.hostname);
      const headers: Record<string, string> = {
        'user-agent': this.#options.userAgent,
        // Bytes must arrive as they are stored, or no digest would fit.
        'accept-encoding': 'identity',
        ...wanted.headers,
      };
      if (!foreign && wanted.authorization !== undefined) headers.authorization = wanted.authorization;
      const response = await this.#request(
        url,
        wanted,
        headers,
        foreign && !home ? this.#guarded : this.#direct,
        options,
      );
      const location = response.headers.location;
      if (!REDIRECTS.has(response.status) || typeof location !== 'string' || !isSafe(wanted.method))
        return response;
      await response.dump();
      url = nextUrl(location, url);
    }
    throw new RegistryError(
      'REDIRECT_REFUSED',
      `more than ${MAX_REDIRECTS} redirects from ${redactUrl(wanted.url)}`,
    );
  }

  async #request(
    url: URL,
    wanted: HttpRequest,
    headers: Record<string, string>,
    dispatcher: Dispatcher,
    options: OperationOptions,
  ): Promise<HttpResponse> {
    const response = await request(url, {
      method: wanted.method,
      headers,
      body: wanted.body as Dispatcher.DispatchOptions['body'],
      dispatcher,
      signal: options.signal,
      headersTimeout: this.#options.headersTimeoutMs,
      bodyTimeout: this.#options.bodyTimeoutMs,
    });
    return {
      status: response.statusCode,
      headers: response.headers,
      body: response.body,
      dump: async () => {
        await response.body.dump({ limit: 256 * 1024 }).catch(() => {});
      },
      url,
    };
  }

  #jitter(attempt: number): number {
    const ceiling = Math.min(this.#options.maxDelayMs, this.#options.baseDelayMs * 2 ** (attempt - 1));
    return Math.random() * ceiling;
  }
}

/** Reads a small body. @throws RegistryError `LIMIT_EXCEEDED` */
export async function readBody(response: HttpResponse, maxBytes: number, what: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.byteLength;
    if (size > maxBytes) {
      await response.dump();
      throw new RegistryError('LIMIT_EXCEEDED', `${what} is larger than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function isSafe(method: HttpRequest['method']): boolean {
  return method === 'GET' || method === 'HEAD';
}

function nextUrl(location: string, from: URL): URL {
  const next = URL.parse(location, from.href);
  if (next === null || (next.protocol !== 'https:' && next.protocol !== 'http:')) {
    throw new RegistryError('REDIRECT_REFUSED', `${redactUrl(from)} redirects to something that is not http`);
  }
  if (from.protocol === 'https:' && next.protocol === 'http:') {
    throw new RegistryError(
      'REDIRECT_REFUSED',
      `${redactUrl(from)} redirects from https to http at ${next.host}`,
    );
  }
  if (next.username !== '' || next.password !== '') {
    throw new RegistryError('REDIRECT_REFUSED', `${redactUrl(from)} redirects to a URL with credentials`);
  }
  return next;
}

/** Seconds or an HTTP date. @see RFC 9110, section 10.2.3 */
function retryAfterMs(header: string | string[] | undefined): number | undefined {
  if (typeof header !== 'string') return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(delayMs, undefined, { signal });
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : error;
  }
}

function isTransient(error: RegistryError): boolean {
  return error.code === 'UNREACHABLE' || error.code === 'TIMEOUT';
}

/** The transport's own errors become ours; what was refused stays refused. */
function explain(error: unknown, wanted: HttpRequest): RegistryError {
  if (error instanceof RegistryError) return error;
  const cause = error as NodeJS.ErrnoException;
  if (cause.cause instanceof RegistryError) return cause.cause;
  const what = `${wanted.method} ${redactUrl(wanted.url)}`;
  if (
    cause.code === 'UND_ERR_HEADERS_TIMEOUT' ||
    cause.code === 'UND_ERR_BODY_TIMEOUT' ||
    cause.code === 'UND_ERR_CONNECT_TIMEOUT'
  ) {
    return new RegistryError('TIMEOUT', `${what}: no answer in time`, { cause });
  }
  return new RegistryError('UNREACHABLE', `${what}: ${cause.code ?? cause.message}`, {
    cause,
    hint: `Check that ${wanted.url.host} is right and can be reached from here.`,
  });
}
