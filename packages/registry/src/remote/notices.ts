import { type RateLimit, rateLimitOf } from '../http/rate-limit.ts';
import { redactUrl } from '../http/redaction.ts';
import type { HttpResponse } from '../http/request.ts';
import type { Endpoint } from './endpoints.ts';

/** Whom to tell what registries say beside their answers. */
export interface NoticeOptions {
  /** Called whenever what a registry says is left of an allowance has changed. */
  readonly onRateLimit?: (event: RateLimitEvent) => void;
  /** Called once for each warning a registry gives, cleaned of control characters. @see RFC 7234, 5.5, code 299 */
  readonly onWarning?: (warning: { readonly registry: string; readonly text: string }) => void;
}

/** What a registry or mirror said is left of an allowance. */
export interface RateLimitEvent extends RateLimit {
  readonly registry: string;
  /** URL of the endpoint that said so. */
  readonly endpoint: string;
}

/** What registries say beside their answers, told when it is new. */
export class Notices {
  readonly #onWarning: NoticeOptions['onWarning'];
  readonly #onRateLimit: NoticeOptions['onRateLimit'];
  readonly #rateLimits = new Map<string, string>();
  readonly #warned = new Set<string>();

  constructor(options: NoticeOptions) {
    this.#onWarning = options.onWarning;
    this.#onRateLimit = options.onRateLimit;
  }

  /** Tells of an allowance when it has changed. */
  count(registry: string, endpoint: Endpoint, headers: HttpResponse['headers']): void {
    const rateLimit = this.#onRateLimit === undefined ? undefined : rateLimitOf(headers);
    if (rateLimit === undefined) return;
    const url = redactUrl(endpoint.url);
    const said = JSON.stringify(rateLimit);
    if (this.#rateLimits.get(`${registry} ${url}`) === said) return;
    if (this.#rateLimits.size >= 1024) this.#rateLimits.clear();
    this.#rateLimits.set(`${registry} ${url}`, said);
    this.#onRateLimit?.({ registry, endpoint: url, ...rateLimit });
  }

  /** Tells of warnings, each once. */
  warn(registry: string, header: string | string[] | undefined): void {
    if (this.#onWarning === undefined || header === undefined) return;
    for (const line of [header].flat().slice(0, 16)) {
      const text = /^299 - "((?:[^"\\]|\\.){0,4096})"/.exec(line)?.[1]?.replaceAll(/\\(.)|\p{C}/gu, '$1');
      if (text === undefined || this.#warned.size >= 256 || this.#warned.has(`${registry} ${text}`)) continue;
      this.#warned.add(`${registry} ${text}`);
      this.#onWarning({ registry, text });
    }
  }
}
