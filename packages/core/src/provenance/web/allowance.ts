import { CoreError } from '../../errors.ts';

/** How much may be asked. */
export interface AllowanceOptions {
  /** Most requests asked over the network, all in all; what is kept costs none. @defaultValue no limit */
  readonly maxRequests?: number;
  /**
   * Requests of a service's own allowance to leave for others: once it says that no more than these are left, it is
   * asked nothing until it renews them. @defaultValue 0
   */
  readonly reserve?: number;
}

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What a service says is left. */
export interface ServiceAllowance {
  readonly limit?: number;
  readonly remaining?: number;
  /** When it is renewed, in milliseconds since 1970. */
  readonly resetAt?: number;
}

interface OriginState {
  told: ServiceAllowance;
  /** Requests that wait for an answer. */
  waiting: number;
  /** Until when the service said to ask nothing. */
  blockedUntil: number;
}

/** Counts requests against what may be asked, by origin: nothing is sent that a service has said it will refuse. */
export class Allowance {
  readonly #options: AllowanceOptions;
  readonly #origins = new Map<string, OriginState>();
  #asked = 0;

  constructor(options: AllowanceOptions) {
    this.#options = options;
  }

  /**
   * Takes one request, which ends with a call of what is returned.
   *
   * @throws {@link CoreError} `SOURCE_RATE_LIMITED`, with `details.retryAt` (RFC 3339) unless waiting does not help
   */
  take(url: string, operation: string): (status?: number, headers?: Headers) => void {
    const { maxRequests, reserve = 0 } = this.#options;
    const { origin, host } = new URL(url);
    const state = this.#origins.get(origin) ?? { told: {}, waiting: 0, blockedUntil: 0 };
    const { limit, remaining, resetAt = 0 } = state.told;
    const now = Date.now();
    if (state.blockedUntil > now) {
      throw limited(`${operation}: ${host} wants to be asked nothing yet`, state.blockedUntil);
    }
    if (remaining !== undefined && remaining - state.waiting <= reserve && resetAt > now) {
      const of = limit === undefined ? '' : ` of ${limit}`;
      const kept = reserve === 0 ? '' : `, and ${reserve} are to be left (reserve)`;
      throw limited(`${operation}: ${host} has ${remaining}${of} requests left${kept}`, resetAt, {
        ...(limit === undefined ? {} : { limit }),
        remaining,
      });
    }
    if (maxRequests !== undefined && this.#asked >= maxRequests) {
      throw new CoreError(
        'SOURCE_RATE_LIMITED',
        `${operation}: the ${maxRequests} requests that may be asked are used up (maxRequests)`,
        { details: { maxRequests }, hint: 'Raise maxRequests, or keep answers in a cacheDirectory.' },
      );
    }
    this.#asked += 1;
    state.waiting += 1;
    this.#origins.set(origin, state);
    return (status, headers = {}) => {
      state.waiting -= 1;
      if (status === undefined) return;
      const told = allowanceOf(headers, Date.now());
      const latest = Date.now() + MAX_WAIT_MS;
      if (told.remaining !== undefined)
        state.told = { ...told, resetAt: Math.min(told.resetAt ?? 0, latest) };
      if (isRateLimited(status, headers))
        state.blockedUntil = Math.min(retryTime(headers, Date.now()) ?? 0, latest);
    };
  }
}

function limited(message: string, at: number, details: Readonly<Record<string, unknown>> = {}): CoreError {
  const retryAt = new Date(at).toISOString();
  return new CoreError('SOURCE_RATE_LIMITED', message, {
    details: { ...details, retryAt },
    hint: `Wait until ${retryAt}, or give a token to have a larger budget.`,
  });
}

/** A service that wants to be left alone for longer is asked again after a day. */
const MAX_WAIT_MS = 24 * 60 * 60 * 1000;

/** Tells whether a service refuses because too much was asked. */
export function isRateLimited(status: number, headers: Headers): boolean {
  if (status === 429) return true;
  return status === 403 && (headers['x-ratelimit-remaining'] === '0' || headers['retry-after'] !== undefined);
}

/** Reads `X-RateLimit-*` (GitHub, Docker Hub) and `RateLimit-*` (GitLab). */
export function allowanceOf(headers: Headers, now: number): ServiceAllowance {
  const read = (name: string) => numberOf(headers[`x-ratelimit-${name}`] ?? headers[`ratelimit-${name}`]);
  const [limit, remaining, reset] = [read('limit'), read('remaining'), read('reset')];
  const resetAt = reset === undefined ? undefined : timeOf(reset, now);
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(remaining === undefined ? {} : { remaining }),
    ...(resetAt === undefined ? {} : { resetAt }),
  };
}

/**
 * When to ask again, in milliseconds since 1970: the latest of what the headers say. `Retry-After` is seconds or a date;
 * Docker Hub's `X-Retry-After` is a Unix time; a reset counts when nothing is left.
 */
export function retryTime(headers: Headers, now: number): number | undefined {
  const { remaining, resetAt } = allowanceOf(headers, now);
  const after = headers['retry-after'];
  const later = headers['x-retry-after'];
  const dated = typeof after === 'string' && /^[A-Z][a-z]{2}, /.test(after) ? Date.parse(after) : Number.NaN;
  const times = [
    numberOf(after) === undefined ? dated : now + Number(after) * 1000,
    numberOf(later) === undefined ? Number.NaN : timeOf(Number(later), now),
    remaining === 0 || (after === undefined && later === undefined) ? (resetAt ?? Number.NaN) : Number.NaN,
  ].filter((time) => Number.isFinite(time));
  return times.length === 0 ? undefined : Math.max(...times);
}

/** A reset is a Unix time or, as the IETF's drafts have it, a number of seconds from now. */
function timeOf(value: number, now: number): number {
  return value >= FIRST_TIME ? value * 1000 : now + value * 1000;
}

const FIRST_TIME = 1_000_000_000;

function numberOf(header: string | readonly string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,11}$/.test(header) ? Number(header) : undefined;
}
