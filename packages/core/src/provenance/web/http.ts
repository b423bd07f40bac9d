import { setTimeout as sleep } from 'node:timers/promises';
import { type Dispatcher, request } from 'undici';
import { CoreError } from '../../errors.ts';
import { type Allowance, isRateLimited, retryTime } from './allowance.ts';

/** How one request is made. */
export interface RequestOptions {
  /** Time for one request with its redirects and answer, in milliseconds; 20 times that for an archive. @defaultValue 30000 */
  readonly timeoutMs?: number;
  /** How often a request is repeated after a lost connection or a 502, 503 or 504. @defaultValue 2 */
  readonly retries?: number;
  /** undici dispatcher: proxy, certificates, connection limits. */
  readonly dispatcher?: Dispatcher;
  /** What may be asked. */
  readonly allowance?: Allowance;
}

/** One question to a web API. */
export interface HttpQuestion {
  /** What the message of an error says was attempted: `read library/php`. */
  readonly operation: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
  /** Origins a redirect may lead to besides that of the request; they get no Authorization header. */
  readonly redirectOrigins?: readonly string[];
}

/** An answer of any status but one that is thrown. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: AsyncIterable<Uint8Array>;
  readonly url: string;
}

/**
 * Asks with GET and hands over the answer, its body counted against `maxBytes` while it is read.
 *
 * @throws {@link CoreError} `SOURCE_UNREACHABLE` (lost connection, timeout, 5xx), `SOURCE_DENIED` (401, 403, 451),
 * `SOURCE_RATE_LIMITED` (429, or 403 with an exhausted budget; `details.retryAt` as RFC 3339),
 * `SOURCE_LIMIT_EXCEEDED`, `SOURCE_INVALID` (a redirect elsewhere)
 */
export async function openUrl(
  url: string,
  question: HttpQuestion,
  options: RequestOptions = {},
): Promise<HttpAnswer> {
  const retries = options.retries ?? 2;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await follow(url, question, options);
    } catch (error) {
      question.signal?.throwIfAborted();
      if (attempt >= retries || !(error instanceof CoreError) || error.details?.retryable !== true)
        throw error;
    }
    await sleep(100 * 2 ** attempt, undefined, { signal: question.signal }).catch(() => {
      question.signal?.throwIfAborted();
    });
  }
}

/** As {@link openUrl}, with the whole body in memory. */
export async function readUrl(
  url: string,
  question: HttpQuestion,
  options: RequestOptions = {},
): Promise<Omit<HttpAnswer, 'body'> & { readonly body: Buffer }> {
  const answer = await openUrl(url, question, options);
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body) chunks.push(chunk);
  return { ...answer, body: Buffer.concat(chunks) };
}

async function follow(url: string, question: HttpQuestion, options: RequestOptions): Promise<HttpAnswer> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 30_000);
  const signal = question.signal === undefined ? timeout : AbortSignal.any([question.signal, timeout]);
  const origin = new URL(url).origin;
  let current = url;
  for (let hops = 0; hops <= 5; hops += 1) {
    const headers: Record<string, string> = { 'user-agent': 'imagevet', ...question.headers };
    if (new URL(current).origin !== origin) delete headers.authorization;
    const answer = await attempt(current, headers, signal, question, options);
    const location = answer.status >= 300 && answer.status < 400 ? answer.headers.location : undefined;
    if (typeof location !== 'string') return answer;
    for await (const _ of answer.body); // the connection is free once the body is read
    const next = URL.parse(location, current);
    if (next === null || ![origin, ...(question.redirectOrigins ?? [])].includes(next.origin)) {
      throw failure(
        'SOURCE_INVALID',
        question,
        current,
        `redirects to ${next?.origin ?? 'no URL'}, which is refused`,
      );
    }
    current = next.href;
  }
  throw failure('SOURCE_INVALID', question, url, 'redirects more than 5 times');
}

async function attempt(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  question: HttpQuestion,
  options: RequestOptions,
): Promise<HttpAnswer> {
  const answered = options.allowance?.take(url, question.operation);
  try {
    const {
      statusCode,
      headers: received,
      body,
    } = await request(url, {
      method: 'GET',
      headers,
      signal,
      ...(options.dispatcher === undefined ? {} : { dispatcher: options.dispatcher }),
    });
    answered?.(statusCode, received);
    const problem = statusProblem(statusCode, received, url, question);
    if (problem !== undefined) {
      await body.dump().catch(() => {});
      throw problem;
    }
    return { status: statusCode, headers: received, body: bounded(body, url, question), url };
  } catch (error) {
    if (!(error instanceof CoreError)) answered?.();
    throw unreachable(error, url, question);
  }
}

async function* bounded(
  body: AsyncIterable<Uint8Array>,
  url: string,
  question: HttpQuestion,
): AsyncGenerator<Uint8Array> {
  let received = 0;
  try {
    for await (const chunk of body) {
      received += chunk.byteLength;
      if (received > question.maxBytes) {
        throw failure('SOURCE_LIMIT_EXCEEDED', question, url, `answers more than ${question.maxBytes} bytes`);
      }
      yield chunk;
    }
  } catch (error) {
    throw unreachable(error, url, question);
  }
}

function statusProblem(
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  url: string,
  question: HttpQuestion,
): CoreError | undefined {
  if (isRateLimited(status, headers)) {
    const time = retryTime(headers, Date.now());
    const retryAt = time === undefined ? undefined : new Date(time).toISOString();
    return failure('SOURCE_RATE_LIMITED', question, url, `answers ${status}: the request budget is used up`, {
      details: { status, ...(retryAt === undefined ? {} : { retryAt }) },
      hint: `${retryAt === undefined ? 'Wait' : `Wait until ${retryAt}`}, or give a token to have a larger budget.`,
    });
  }
  if (status === 401 || status === 403 || status === 451) {
    return failure('SOURCE_DENIED', question, url, `answers ${status}`, { details: { status } });
  }
  if (status >= 500) {
    return failure('SOURCE_UNREACHABLE', question, url, `answers ${status}`, {
      details: { status, retryable: status >= 502 && status <= 504 },
    });
  }
  return undefined;
}

/** Keeps our errors and the caller's abort as they are; everything else is a host that cannot be reached. */
function unreachable(error: unknown, url: string, question: HttpQuestion): unknown {
  if (question.signal?.aborted) return question.signal.reason;
  if (error instanceof CoreError) return error;
  const timedOut = error instanceof Error && (error.name === 'TimeoutError' || /Timeout/.test(error.name));
  return failure(
    'SOURCE_UNREACHABLE',
    question,
    url,
    timedOut ? 'does not answer in time' : 'cannot be reached',
    {
      cause: error,
      details: { retryable: !timedOut },
    },
  );
}

function failure(
  code:
    | 'SOURCE_UNREACHABLE'
    | 'SOURCE_DENIED'
    | 'SOURCE_RATE_LIMITED'
    | 'SOURCE_LIMIT_EXCEEDED'
    | 'SOURCE_INVALID',
  question: HttpQuestion,
  url: string,
  problem: string,
  options: ConstructorParameters<typeof CoreError>[2] = {},
): CoreError {
  return new CoreError(code, `${question.operation}: ${new URL(url).host} ${problem}`, options);
}
