import { CoreError } from '../../errors.ts';
import { ContentCache } from '../hosts/content-cache.ts';
import { Allowance, type AllowanceOptions } from './allowance.ts';
import type { AnswerCache, KeptAnswer } from './answer-cache.ts';
import { type HttpAnswer, type HttpQuestion, openUrl, type RequestOptions, readUrl } from './http.ts';

/** How a web API is asked, and what of its answers is kept. */
export interface HttpOptions extends Omit<RequestOptions, 'allowance'>, AllowanceOptions {
  /** Answers kept between runs; give the same to all. @defaultValue none */
  readonly cache?: AnswerCache;
  /**
   * How old a kept answer may be before it is asked for again, in milliseconds, where it can change; what is known by a commit
   * or digest never does. Asking again costs nothing of GitHub's allowance when nothing has changed and a token is given.
   *
   * @defaultValue 0
   */
  readonly maxAgeMs?: number;
  /** Answers from what is kept, however old, and never opens a connection. @defaultValue false */
  readonly offline?: boolean;
}

/** A question whose answer may be kept. */
export interface WebQuestion extends HttpQuestion {
  /** `forever` for what a commit or digest names. @defaultValue until-changed */
  readonly keep?: 'forever' | 'until-changed';
  /** Throws for an answer that is not one; such an answer is not kept. */
  readonly check?: (answer: KeptAnswer) => void;
}

/** Asks web APIs. What is kept is not asked for; of several that ask the same at a time, one does. */
export class WebClient {
  readonly #options: HttpOptions;
  readonly #allowance: Allowance;
  readonly #memory: ContentCache<KeptAnswer>;
  readonly #asking = new ContentCache<KeptAnswer>(0, ({ body }) => body.byteLength);

  /** @param memoryBytes - Of answers kept in memory. */
  constructor(options: HttpOptions, memoryBytes: number) {
    this.#options = options;
    this.#allowance = new Allowance(options);
    this.#memory = new ContentCache(memoryBytes, ({ body }) => body.byteLength);
  }

  /** @throws {@link CoreError} as {@link openUrl}; `OFFLINE` */
  async read(url: string, question: WebQuestion): Promise<KeptAnswer> {
    const { maxBytes, operation, signal } = question;
    signal?.throwIfAborted();
    const kept = this.#memory.peek(url) ?? (await this.#options.cache?.get(url));
    const usable = kept !== undefined && (this.#options.offline === true || this.#isFresh(kept, question));
    if (!usable && this.#options.offline === true) throw offline(url, question);
    const answer = usable ? kept : await this.#asking.get(url, () => this.#ask(url, question, kept), signal);
    if (answer.body.byteLength > maxBytes) {
      const message = `${operation}: ${new URL(url).host} answers more than ${maxBytes} bytes`;
      throw new CoreError('SOURCE_LIMIT_EXCEEDED', message);
    }
    try {
      question.check?.(answer);
    } catch (error) {
      await this.forget(url);
      throw error;
    }
    return answer;
  }

  /** Keeps an answer no longer that turned out to be wrong. */
  async forget(url: string): Promise<void> {
    this.#memory.delete(url);
    await this.#options.cache?.remove(url);
  }

  /** Opens a download; kept on disk once it was read to its end. */
  async open(url: string, question: WebQuestion): Promise<HttpAnswer> {
    question.signal?.throwIfAborted();
    const { cache } = this.#options;
    const kept = question.keep === 'forever' ? await cache?.stream(url) : undefined;
    if (kept !== undefined) return kept;
    if (this.#options.offline === true) throw offline(url, question);
    const { timeoutMs = 30_000 } = this.#options;
    const answer = await openUrl(url, question, {
      ...this.#options,
      timeoutMs: timeoutMs * DOWNLOAD_FACTOR,
      allowance: this.#allowance,
    });
    if (answer.status !== 200 || cache === undefined || question.keep !== 'forever') return answer;
    return { ...answer, body: cache.pass(url, described(answer), answer.body) };
  }

  async #ask(url: string, question: WebQuestion, kept: KeptAnswer | undefined): Promise<KeptAnswer> {
    const etag = kept?.status === 200 ? kept.headers.etag : undefined;
    const headers = { ...question.headers, ...(etag === undefined ? {} : { 'if-none-match': etag }) };
    const options = { ...this.#options, allowance: this.#allowance };
    const answer = await readUrl(url, { ...question, headers }, options);
    const unchanged = answer.status === 304 && kept !== undefined;
    const given = unchanged
      ? { ...kept, storedAt: new Date().toISOString() }
      : { ...described(answer), body: answer.body };
    if (!KEPT_STATUS.has(given.status)) return given;
    const again = question.keep === 'forever' || given.headers.etag !== undefined || this.#options.maxAgeMs;
    if (given.status === 200 && again) this.#memory.set(url, given);
    await this.#options.cache?.put(url, given);
    return given;
  }

  #isFresh({ status, storedAt }: KeptAnswer, { keep }: WebQuestion): boolean {
    if (status !== 200) return false;
    return keep === 'forever' || Date.now() - Date.parse(storedAt) < (this.#options.maxAgeMs ?? 0);
  }
}

function described({ status, headers, url }: Omit<HttpAnswer, 'body'>): Omit<KeptAnswer, 'body'> {
  const named = KEPT_HEADERS.flatMap((name) => {
    const value = headers[name];
    return typeof value === 'string' ? [[name, value]] : [];
  });
  return { status, headers: Object.fromEntries(named), url, storedAt: new Date().toISOString() };
}

function offline(url: string, { operation }: WebQuestion): CoreError {
  const { host } = new URL(url);
  return new CoreError(
    'OFFLINE',
    `${operation}: no answer of ${host} is kept, and nothing is asked offline`,
    {
      hint: 'Run once online with the same cache directory.',
      details: { url },
    },
  );
}

/** That something is not there is kept for offline runs alone. */
const KEPT_STATUS: ReadonlySet<number> = new Set([200, 404, 409, 410, 422]);

const KEPT_HEADERS = ['etag', 'link', 'content-type', 'x-gitlab-blob-id'] as const;

/** A download takes longer than an answer. */
const DOWNLOAD_FACTOR = 20;
