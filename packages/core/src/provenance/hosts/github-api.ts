import { CoreError } from '../../errors.ts';
import { type HttpAnswer, type HttpOptions, openUrl, readUrl } from '../http.ts';
import { ContentCache } from './content-cache.ts';

/** A body with the tag that lets the server say it has not changed. */
interface Tagged {
  readonly etag: string;
  readonly body: Buffer;
}

/** Asks GitHub's REST API. The token goes to the API's origin and nowhere else. */
export class GitHubApi {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #options: HttpOptions;
  readonly #answers = new ContentCache<Tagged>(8 * 1024 * 1024, ({ body }) => body.byteLength);

  constructor(url: string, token: string | undefined, options: HttpOptions) {
    this.#url = url.replace(/\/$/, '');
    this.#options = options;
    this.#headers = {
      accept: 'application/vnd.github+json',
      'x-github-api-version': '2022-11-28',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
  }

  /** Reads JSON; undefined when the API answers 404, 409 (an empty repository) or 422 (no such commit). */
  async json(path: string, operation: string, signal: AbortSignal | undefined): Promise<unknown> {
    const url = `${this.#url}${path}`;
    const known = this.#answers.peek(url);
    const headers = { ...this.#headers, ...(known === undefined ? {} : { 'if-none-match': known.etag }) };
    const answer = await readUrl(url, { operation, headers, maxBytes: MAX_JSON, signal }, this.#options);
    if (answer.status === 404 || answer.status === 409 || answer.status === 422) return undefined;
    const body = answer.status === 304 ? known?.body : answer.status === 200 ? answer.body : undefined;
    if (body === undefined) {
      throw new CoreError('SOURCE_INVALID', `${operation}: expected status 200, received ${answer.status}`);
    }
    const { etag } = answer.headers;
    if (typeof etag === 'string') this.#answers.set(url, { etag, body });
    try {
      return JSON.parse(body.toString('utf8'));
    } catch (error) {
      throw new CoreError('SOURCE_INVALID', `${operation}: the answer is not JSON`, { cause: error });
    }
  }

  /** Opens a download the API redirects to. */
  async open(
    path: string,
    operation: string,
    limits: {
      readonly maxBytes: number;
      readonly redirectOrigins: readonly string[];
      readonly signal?: AbortSignal;
    },
  ): Promise<HttpAnswer> {
    const { timeoutMs = 30_000 } = this.#options;
    return openUrl(
      `${this.#url}${path}`,
      { operation, headers: this.#headers, ...limits },
      { ...this.#options, timeoutMs: timeoutMs * DOWNLOAD_FACTOR },
    );
  }
}

/** A download takes longer than an answer. */
const DOWNLOAD_FACTOR = 20;

const MAX_JSON = 16 * 1024 * 1024;
