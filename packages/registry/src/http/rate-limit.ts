/** What a registry says is left of an allowance. */
export interface RateLimit {
  /** Requests of one window. */
  readonly limit?: number;
  readonly remaining?: number;
  /** Length of the window, in seconds. */
  readonly windowSeconds?: number;
  /** Whom the registry counts: an address, or an account's id. */
  readonly source?: string;
}

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * Reads `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 76;w=21600`; undefined when neither says a number.
 *
 * @see Docker Hub, "Pull usage and limits"
 */
export function rateLimitOf(headers: Headers): RateLimit | undefined {
  const limit = quantityOf(headers['ratelimit-limit']);
  const remaining = quantityOf(headers['ratelimit-remaining']);
  if (limit === undefined && remaining === undefined) return undefined;
  const windowSeconds = limit?.windowSeconds ?? remaining?.windowSeconds;
  const source = headers['docker-ratelimit-source'];
  return {
    ...(limit === undefined ? {} : { limit: limit.count }),
    ...(remaining === undefined ? {} : { remaining: remaining.count }),
    ...(windowSeconds === undefined ? {} : { windowSeconds }),
    ...(typeof source === 'string' && /^[\w.:-]{1,128}$/.test(source) ? { source } : {}),
  };
}

function quantityOf(header: string | readonly string[] | undefined) {
  if (typeof header !== 'string' || header.length > 256) return undefined;
  const [count, ...parameters] =
    header
      .split(',', 1)[0]
      ?.split(';')
      .map((part) => part.trim()) ?? [];
  if (count === undefined || !/^\d{1,15}$/.test(count)) return undefined;
  const window = parameters.find((one) => /^w=\d{1,9}$/.test(one))?.slice(2);
  return { count: Number(count), ...(window === undefined ? {} : { windowSeconds: Number(window) }) };
}
