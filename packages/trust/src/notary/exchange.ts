import { getCACertificates } from 'node:tls';
import { Agent, buildConnector, type Dispatcher, request } from 'undici';
import { TrustError } from '../errors.ts';

/** What an exchange needs to know of a server. */
export interface ExchangeOptions {
  readonly ca?: string;
  readonly clientCertificate?: { readonly cert: string; readonly key: string };
  readonly timeoutMs?: number;
  readonly dispatcher?: Dispatcher;
}

/** What a server answered, body included. */
export interface NotaryAnswer {
  readonly status: number;
  readonly contentType?: string | undefined;
  readonly challenge?: string | undefined;
  readonly body: Uint8Array;
}

/** A request below the protocol. */
export interface ExchangeInit {
  readonly method: Dispatcher.HttpMethod;
  readonly headers: Readonly<Record<string, string>>;
  readonly maxBytes: number;
  readonly body?: Buffer | string | undefined;
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_ERROR_BYTES = 64 * 1024;

/** Sends requests and reads whole answers, bounded in time and bytes. Redirects are not followed. */
export class Exchange {
  readonly #timeoutMs: number;
  readonly #dispatcher: Dispatcher;
  readonly #ownDispatcher: boolean;

  constructor(options: ExchangeOptions) {
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#ownDispatcher = options.dispatcher === undefined;
    this.#dispatcher = options.dispatcher ?? createAgent(options);
  }

  /**
   * @throws {@link TrustError} `UNREACHABLE`, `TIMEOUT`, `LIMIT_EXCEEDED`; the reason of the signal as it is
   */
  async send(url: string, init: ExchangeInit): Promise<NotaryAnswer> {
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    const signal = init.signal === undefined ? deadline : AbortSignal.any([init.signal, deadline]);
    const { origin, pathname } = new URL(url);
    try {
      const { statusCode, headers, body } = await request(url, {
        method: init.method,
        headers: { accept: '*/*', 'user-agent': 'imagevet', ...init.headers },
        body: init.body ?? null,
        dispatcher: this.#dispatcher,
        signal,
      });
      const limit = statusCode === 200 ? init.maxBytes : MAX_ERROR_BYTES;
      return {
        status: statusCode,
        contentType: first(headers['content-type']),
        challenge: first(headers['www-authenticate']),
        body: await readBody(body, limit, `${init.method} ${pathname}`),
      };
    } catch (cause) {
      if (init.signal?.aborted) throw init.signal.reason;
      if (TrustError.is(cause)) throw cause;
      if (deadline.aborted) {
        throw new TrustError(
          'TIMEOUT',
          `${init.method} ${origin}${pathname}: no complete answer in ${this.#timeoutMs} ms`,
        );
      }
      const reason = (cause as NodeJS.ErrnoException).code ?? (cause as Error).name;
      throw new TrustError('UNREACHABLE', `${init.method} ${origin}${pathname}: no answer (${reason})`, {
        cause,
      });
    }
  }

  /** Closes connections made here. */
  async close(): Promise<void> {
    if (this.#ownDispatcher) await this.#dispatcher.close();
  }
}

async function readBody(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  subject: string,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let received = 0;
  for await (const chunk of body) {
    received += chunk.byteLength;
    if (received > maxBytes) {
      throw new TrustError('LIMIT_EXCEEDED', `${subject}: the answer is longer than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function createAgent({ ca, clientCertificate }: ExchangeOptions): Agent {
  const connect = ca === undefined ? { ...clientCertificate } : connector(ca, clientCertificate);
  return new Agent({ connections: 4, connect });
}

/** Failures that more trusted certificates can mend. */
const UNKNOWN_ISSUER: readonly (string | undefined)[] = [
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
];

// Trusts the given certificates beside the system's. Those alone are tried first: reading a few hundred others takes longer
// than a whole verification, and a server that wants a CA of its own hardly needs them.
function connector(
  ca: string,
  clientCertificate: ExchangeOptions['clientCertificate'],
): buildConnector.connector {
  const given = buildConnector({ ca, ...clientCertificate });
  let all: buildConnector.connector | undefined;
  return (options, callback) => {
    if (all !== undefined) return all(options, callback);
    given(options, (...[error, socket]) => {
      if (error === null) return callback(null, socket);
      if (!UNKNOWN_ISSUER.includes((error as NodeJS.ErrnoException).code)) return callback(error, null);
      all ??= buildConnector({ ca: [...getCACertificates('default'), ca], ...clientCertificate });
      all(options, callback);
    });
  };
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
