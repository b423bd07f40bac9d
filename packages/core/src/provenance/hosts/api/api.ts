import { CoreError } from '../../../errors.ts';
import type { KeptAnswer } from '../../web/answer-cache.ts';
import type { WebClient, WebQuestion } from '../../web/web-client.ts';
import { property } from '../input.ts';

/** What a question to a host is for, and how it ends early. */
export interface HostQuestion extends Pick<WebQuestion, 'keep' | 'check'> {
  /** What the message of an error says was attempted. */
  readonly operation: string;
  readonly signal?: AbortSignal;
}

/** One page of a list, and where the next one is. */
export interface Page {
  readonly values: readonly unknown[];
  /** URL, or path and query below the API's. */
  readonly next?: string;
}

/** An answer in JSON with the headers it came with. */
interface JsonAnswer {
  readonly body: unknown;
  readonly headers: KeptAnswer['headers'];
}

/** Asks the web API of a source host. Its headers, and with them the token, go to the API's origin and nowhere else. */
export class HostApi {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #web: WebClient;

  constructor(url: string, headers: Readonly<Record<string, string>>, web: WebClient) {
    this.#url = url.replace(/\/+$/, '');
    this.#headers = headers;
    this.#web = web;
  }

  /** URL of a path of the API. */
  url(path: string): string {
    return `${this.#url}${path}`;
  }

  /** Reads JSON; undefined when the API answers 404, 409 (an empty repository) or 422 (no such commit). */
  async json(path: string, question: HostQuestion): Promise<unknown> {
    return (await this.#read(this.url(path), question))?.body;
  }

  /**
   * Reads a list page by page.
   *
   * @throws {@link CoreError} `SOURCE_LIMIT_EXCEEDED` for more than `maxPages`; `SOURCE_INVALID` for a page that is no
   * list, or that sends on to somewhere else
   */
  async *pages(
    path: string,
    question: HostQuestion,
    { maxPages, toPage = linkedPage }: { readonly maxPages: number; readonly toPage?: ToPage },
  ): AsyncGenerator<readonly unknown[]> {
    let next: string | undefined = this.url(path);
    for (let count = 0; next !== undefined; count += 1) {
      if (count === maxPages) {
        throw new CoreError('SOURCE_LIMIT_EXCEEDED', `${question.operation}: more than ${maxPages} pages`);
      }
      const current: string = next;
      const answer = await this.#read(current, question);
      if (answer === undefined) return;
      const page = toPage(answer.body, answer.headers);
      if (page === undefined)
        throw new CoreError('SOURCE_INVALID', `${question.operation}: the answer is no list`);
      yield page.values;
      next = page.next === undefined ? undefined : this.#below(page.next, current, question);
    }
  }

  /** Reads a whole body; undefined for 404. */
  async read(
    path: string,
    question: HostQuestion & { readonly maxBytes: number },
  ): Promise<{ readonly body: Buffer; readonly headers: KeptAnswer['headers'] } | undefined> {
    const answer = await this.#web.read(this.url(path), { ...question, headers: this.#headers });
    if (answer.status === 404) return undefined;
    if (answer.status === 200) return answer;
    throw unexpected(question, answer.status);
  }

  /** Opens a download, that the API may redirect to one of some other origins; undefined for 404. */
  async download(
    path: string,
    question: HostQuestion & { readonly maxBytes: number; readonly redirectOrigins?: readonly string[] },
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const { status, body } = await this.#web.open(this.url(path), { ...question, headers: this.#headers });
    if (status === 200) return body;
    for await (const _ of body); // the connection is free once the body is read
    if (status === 404) return undefined;
    throw unexpected(question, status);
  }

  async #read(url: string, question: HostQuestion): Promise<JsonAnswer | undefined> {
    let body: unknown;
    const check = (answer: KeptAnswer) => {
      if (answer.status !== 200) return;
      try {
        body = JSON.parse(answer.body.toString('utf8'));
      } catch (error) {
        const message = `${question.operation}: the answer is not JSON`;
        throw new CoreError('SOURCE_INVALID', message, { cause: error });
      }
    };
    const asked = { ...question, headers: this.#headers, maxBytes: MAX_JSON, check };
    const { status, headers } = await this.#web.read(url, asked);
    if (status === 404 || status === 409 || status === 422) return undefined;
    if (status === 200) return { body, headers };
    throw unexpected(question, status);
  }

  /** Where a page says the next one is: never outside the API, where the token would go with it. */
  #below(next: string, current: string, { operation }: HostQuestion): string {
    const url = next.startsWith('/') ? URL.parse(this.url(next)) : URL.parse(next, current);
    const base = new URL(this.#url);
    const root = base.pathname.replace(/\/+$/, '');
    if (url !== null && url.origin === base.origin && url.pathname.startsWith(`${root}/`)) return url.href;
    throw new CoreError('SOURCE_INVALID', `${operation}: the next page is said to be outside the API`);
  }
}

type ToPage = (body: unknown, headers: KeptAnswer['headers']) => Page | undefined;

/** A page whose `Link` header says where the next one is. @see RFC 8288 */
export function linkedPage(body: unknown, headers: KeptAnswer['headers']): Page | undefined {
  if (!Array.isArray(body)) return undefined;
  const { link } = headers;
  const next = nextLink(typeof link === 'string' ? link : '');
  return { values: body, ...(next === undefined ? {} : { next }) };
}

/** A page as Bitbucket writes it, with the URL of the next one. */
export function valuesPage(body: unknown): Page | undefined {
  const values = property(body, 'values');
  const next = property(body, 'next');
  if (!Array.isArray(values)) return undefined;
  return { values, ...(typeof next === 'string' ? { next } : {}) };
}

function nextLink(header: string): string | undefined {
  if (header.length > 16_384) return undefined;
  for (const part of header.split(/,(?=[ \t]{0,8}<)/)) {
    const start = part.indexOf('<');
    const end = part.indexOf('>', start);
    if (start < 0 || end < 0) continue;
    const parameters = part.slice(end + 1).split(';');
    if (parameters.some((one) => /^rel="?next"?$/.test(one.trim()))) return part.slice(start + 1, end);
  }
  return undefined;
}

function unexpected({ operation }: HostQuestion, status: number): CoreError {
  return new CoreError('SOURCE_INVALID', `${operation}: expected status 200, received ${status}`);
}

const MAX_JSON = 16 * 1024 * 1024;
