import type { Dispatcher } from 'undici';
import { TrustError } from '../errors.ts';
import {
  createDispatcherTransport,
  createTransport,
  type Transport,
  type TransportOptions,
} from './transport.ts';

/** What an exchange needs to know of a server. */
export interface ExchangeOptions extends TransportOptions {
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
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly headers: Readonly<Record<string, string>>;
  readonly maxBytes: number;
  readonly body?: Buffer | string | undefined;
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_ERROR_BYTES = 64 * 1024;
const HUB_NOTARY = 'notary.docker.io';

/** Sends requests and reads whole answers, bounded in time and bytes. Redirects are not followed. */
export class Exchange {
  readonly #timeoutMs: number;
  readonly #transport: Transport;

  constructor(options: ExchangeOptions) {
    const { dispatcher, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    this.#timeoutMs = timeoutMs;
    this.#transport =
      dispatcher === undefined ? createTransport(options) : createDispatcherTransport(dispatcher);
  }

  /**
   * @throws {@link TrustError} `UNREACHABLE`, `TIMEOUT`, `LIMIT_EXCEEDED`; the reason of the signal as it is
   */
  async send(url: string, init: ExchangeInit): Promise<NotaryAnswer> {
    init.signal?.throwIfAborted();
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    const signal = init.signal === undefined ? deadline : AbortSignal.any([init.signal, deadline]);
    const target = new URL(url);
    const subject = `${init.method} ${target.origin}${target.pathname}`;
    try {
      const { status, headers, body } = await this.#transport.send(target, {
        method: init.method,
        headers: { accept: '*/*', 'user-agent': 'imagevet', ...init.headers },
        body: init.body,
        signal,
      });
      const limit = status === 200 ? init.maxBytes : MAX_ERROR_BYTES;
      return {
        status,
        contentType: first(headers['content-type']),
        challenge: first(headers['www-authenticate']),
        body: await readBody(body, limit, `${init.method} ${target.pathname}`),
      };
    } catch (cause) {
      if (init.signal?.aborted) throw init.signal.reason;
      if (TrustError.is(cause)) throw cause;
      if (deadline.aborted)
        throw new TrustError('TIMEOUT', `${subject}: no complete answer in ${this.#timeoutMs} ms`);
      const reason = (cause as NodeJS.ErrnoException).code ?? (cause as Error).name;
      throw new TrustError('UNREACHABLE', `${subject}: no answer (${reason})`, {
        cause,
        ...(target.hostname === HUB_NOTARY
          ? {
              hint: "Docker Hub's notary closes on 2026-12-08; name a server of your own, or open an archive.",
            }
          : {}),
      });
    }
  }

  /** Closes connections made here. */
  async close(): Promise<void> {
    this.#transport.close();
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

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
