import type { Dispatcher } from 'undici';
import { request } from 'undici';
import { RegistryError } from '../errors.ts';
import type { OperationOptions } from '../options.ts';
import { bounded, brisk, decoded, explained, type MinimumThroughput } from './body.ts';
import { Connections, type EndpointTls, type TlsOptions } from './connections.ts';
import { refuseEgress } from './egress.ts';
import { explain, isTransient } from './failures.ts';
import { Pace, type PaceOptions } from './pace.ts';
import type { ProxyOptions } from './proxy.ts';
import { redactUrl } from './redaction.ts';
import { nextUrl, REDIRECTS } from './redirects.ts';
import { type HttpRequest, type HttpResponse, readBody } from './request.ts';
import { jitterMs, pause, RETRIED_STATUS, retryAfterMs } from './retry.ts';

/** How patient and how bold the transport is. */
export interface TransportOptions extends TlsOptions, PaceOptions {
  /** Whom to trust at an origin for which a request says nothing. */
  readonly tlsAt?: (url: URL) => EndpointTls | undefined;
  /**
   * Proxies by scheme. A proxy resolves names itself, so of a URL that content named only what can be known here is
   * judged: literal addresses, and names that lead into this network from here.
   *
   * @defaultValue none; the environment is not read
   */
  readonly proxy?: ProxyOptions;
  /** Sends nothing: every request fails with `OFFLINE` before a name is looked up. @defaultValue false */
  readonly offline?: boolean;
  /** Tries of one idempotent request, and of any that is answered 429. @defaultValue 4 */
  readonly attempts?: number;
  /** First delay between tries, in milliseconds; doubled each time, with full jitter. @defaultValue 250 */
  readonly baseDelayMs?: number;
  /** Longest delay, also of a `Retry-After`, in milliseconds. @defaultValue 30000 */
  readonly maxDelayMs?: number;
  /** Time to the response headers, in milliseconds; whoever takes a blob in gets longer. @defaultValue 30000 */
  readonly headersTimeoutMs?: number;
  /** Time without a byte of the body, in milliseconds. @defaultValue 60000 */
  readonly bodyTimeoutMs?: number;
  /** Ends a body that comes more slowly than this; a blob is then resumed, a few times. @defaultValue none */
  readonly minimumThroughput?: MinimumThroughput;
  /** @defaultValue imagevet */
  readonly userAgent?: string;
  /**
   * Which addresses a redirect, token realm or upload location of a public registry may not lead to.
   *
   * @defaultValue loopback, private, link-local and reserved addresses
   */
  readonly isInternalAddress?: (address: string) => boolean;
}

const MAX_REDIRECTS = 5;

/** Options without a default. */
type Unset = 'offline' | 'isInternalAddress' | 'tlsAt' | 'proxy' | 'minimumThroughput';

/** Sends requests: retries what is idempotent, follows redirects by hand, keeps credentials at their origin. */
export class Transport {
  readonly #options: Required<Omit<TransportOptions, keyof TlsOptions | keyof PaceOptions | Unset>>;
  readonly #connections: Connections;
  readonly #pace: Pace;
  readonly #minimumThroughput: MinimumThroughput | undefined;
  readonly #tlsAt: TransportOptions['tlsAt'];
  readonly #offline: boolean;
  /** When a host that answered 429 wants to be asked again, by origin. */
  readonly #notBefore = new Map<string, number>();

  readonly #mayBeInternal: (origin: string) => boolean;

  /** `mayBeInternal` tells of an origin that is asked directly whether it may be in the caller's own network. */
  constructor(options: TransportOptions = {}, mayBeInternal: (origin: string) => boolean = () => true) {
    this.#mayBeInternal = mayBeInternal;
    this.#options = {
      attempts: options.attempts ?? 4,
      baseDelayMs: options.baseDelayMs ?? 250,
      maxDelayMs: options.maxDelayMs ?? 30_000,
      headersTimeoutMs: options.headersTimeoutMs ?? 30_000,
      bodyTimeoutMs: options.bodyTimeoutMs ?? 60_000,
      userAgent: options.userAgent ?? 'imagevet',
    };
    this.#pace = new Pace(options);
    this.#minimumThroughput = options.minimumThroughput;
    this.#tlsAt = options.tlsAt;
    this.#offline = options.offline === true;
    this.#connections = new Connections(options, options.isInternalAddress, options.proxy);
  }

  /**
   * Sends a request; any status is a response.
   *
   * @throws {@link RegistryError} `UNREACHABLE`, `TIMEOUT`, `REDIRECT_REFUSED`, `EGRESS_REFUSED`, `LIMIT_EXCEEDED`,
   * `PROTOCOL_ERROR`, `OFFLINE`
   */
  async send(wanted: HttpRequest, options: OperationOptions = {}): Promise<HttpResponse> {
    if (this.#offline) {
      const message = `asking ${wanted.url.host}: nothing is asked offline`;
      throw new RegistryError('OFFLINE', message);
    }
    const { maxDelayMs, baseDelayMs } = this.#options;
    const attempts = wanted.attempts ?? this.#options.attempts;
    const repeatable = isRepeatable(wanted);
    for (let attempt = 1; ; attempt += 1) {
      let delay: number;
      try {
        await pause((this.#notBefore.get(wanted.url.origin) ?? 0) - Date.now(), options.signal);
        const response = await this.#paced(wanted, options);
        if (!RETRIED_STATUS.has(response.status) || (!repeatable && response.status !== 429)) return response;
        const asked = retryAfterMs(response.headers['retry-after']);
        delay = asked ?? jitterMs(attempt, baseDelayMs, maxDelayMs);
        if (attempt >= attempts || delay > maxDelayMs) return response;
        await response.dump();
        if (asked !== undefined) this.#notBefore.set(wanted.url.origin, Date.now() + asked);
      } catch (error) {
        options.signal?.throwIfAborted();
        const failure = explain(error, wanted);
        if (attempt >= attempts || !repeatable || !isTransient(failure)) throw failure;
        delay = jitterMs(attempt, baseDelayMs, maxDelayMs);
      }
      await pause(delay, options.signal);
    }
  }

  /** Takes bytes of a body back, to receive others in their place; only who holds them alone may give them. */
  release(bytes: Uint8Array): void {
    this.#connections.release(bytes);
  }

  /** Ends every connection. */
  close(): Promise<void> {
    return this.#connections.close();
  }

  /** An upload reads while it is sent, perhaps from the same host, so it may not keep others from their turn. */
  #paced(wanted: HttpRequest, options: OperationOptions): Promise<HttpResponse> {
    const attempt = () => this.#attempt(wanted, options);
    return typeof wanted.body === 'function'
      ? attempt()
      : this.#pace.run(wanted.url.origin, attempt, options.signal);
  }

  async #attempt(wanted: HttpRequest, options: OperationOptions): Promise<HttpResponse> {
    const response = await this.#follow(wanted, options);
    if (wanted.maxBodyBytes === undefined || response.status !== 200) return response;
    const bytes = await readBody(response, wanted.maxBodyBytes, redactUrl(wanted.url));
    return { ...response, body: bounded(bytes) };
  }

  async #follow(wanted: HttpRequest, options: OperationOptions): Promise<HttpResponse> {
    const { namedBy = wanted.url } = wanted;
    const redirected = wanted.method === 'GET' || wanted.method === 'HEAD';
    const maxRedirects = redirected ? (wanted.maxRedirects ?? MAX_REDIRECTS) : 0;
    let { url } = wanted;
    let own = true;
    for (let hop = 0; ; hop += 1) {
      own &&= url.origin === wanted.url.origin;
      const response = await this.#request(url, namedBy, own, wanted, options);
      const { location } = response.headers;
      if (!REDIRECTS.has(response.status) || typeof location !== 'string' || !redirected) return response;
      await response.dump();
      if (hop >= maxRedirects) throw tooManyRedirects(wanted.url, maxRedirects);
      url = nextUrl(location, url);
    }
  }

  async #request(
    url: URL,
    namedBy: URL,
    own: boolean,
    wanted: HttpRequest,
    options: OperationOptions,
  ): Promise<HttpResponse> {
    const foreign = url.origin !== namedBy.origin;
    const guarded = foreign
      ? !this.#connections.isInside(namedBy.hostname)
      : !this.#mayBeInternal(url.origin);
    if (guarded && this.#connections.isInternalLiteral(url.hostname)) throw refuseEgress(url.hostname);
    if (guarded) await this.#connections.judge(url);
    const response = await request(url, {
      method: wanted.method,
      headers: {
        'user-agent': this.#options.userAgent,
        // Bytes must arrive as they are stored, or no digest would fit.
        'accept-encoding': 'identity',
        ...(own ? wanted.ownHeaders : {}),
        ...wanted.headers,
        ...(own && wanted.authorization !== undefined ? { authorization: wanted.authorization } : {}),
      },
      body: openBody(wanted.body),
      dispatcher: this.#connections.dispatcher(
        url,
        guarded,
        (url.origin === wanted.url.origin ? wanted.tls : undefined) ?? this.#tlsAt?.(url),
      ),
      signal: options.signal,
      headersTimeout: this.#options.headersTimeoutMs + (wanted.patienceMs ?? 0),
      bodyTimeout: this.#options.bodyTimeoutMs,
    });
    const dump = () => response.body.dump({ limit: 256 * 1024 }).catch(() => {});
    const least = this.#minimumThroughput;
    const told = explained(response.body, wanted, options.signal);
    const body = least === undefined ? told : brisk(told, least, redactUrl(url));
    const { 'content-encoding': encoding, ...headers } = response.headers;
    const base = { status: response.statusCode, dump, url };
    if (encoding === undefined || encoding === 'identity' || encoding === '') {
      return { ...base, headers, body, decoded: false };
    }
    // RFC 9110, 8.4: the length is that of the encoded form.
    const { 'content-length': _encodedLength, ...rest } = headers;
    return { ...base, headers: rest, body: decoded(body, encoding, redactUrl(url)), decoded: true };
  }
}

function isRepeatable(wanted: HttpRequest): boolean {
  return wanted.method !== 'POST' && wanted.method !== 'PATCH' && typeof wanted.body !== 'function';
}

function openBody(body: HttpRequest['body']): Dispatcher.DispatchOptions['body'] {
  return (typeof body === 'function' ? body() : body) as Dispatcher.DispatchOptions['body'];
}

function tooManyRedirects(url: URL, limit: number): RegistryError {
  return new RegistryError('REDIRECT_REFUSED', `${redactUrl(url)}: more than ${limit} redirects`, {
    hint: limit === 0 ? 'A token server may not redirect.' : undefined,
  });
}
