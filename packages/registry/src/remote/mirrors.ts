import { RegistryError, type RegistryErrorCode } from '../errors.ts';
import { redactUrl } from '../http/redaction.ts';
import type { HttpResponse } from '../http/request.ts';
import type { OperationOptions } from '../options.ts';
import type { AnsweringEndpoint, RegistryRequest, RegistryResponse } from './ask.ts';
import type { Endpoint } from './endpoints.ts';
import type { Hosts } from './hosts.ts';

/** A mirror that was passed over; the next endpoint was asked instead. */
export interface MirrorFailure {
  readonly registry: string;
  /** Its URL. */
  readonly endpoint: string;
  readonly code: RegistryErrorCode;
  readonly message: string;
}

/** Sends one request to one endpoint. */
export type AskEndpoint = (
  request: RegistryRequest,
  endpoint: Endpoint,
  options: OperationOptions & { readonly attempts?: number },
) => Promise<HttpResponse>;

/** How long a mirror that did not answer is asked last, in milliseconds. */
const REST_MS = 60_000;
/** Nothing answered, so nothing was said. */
const SILENT: ReadonlySet<string> = new Set(['UNREACHABLE', 'TIMEOUT', 'UNTRUSTED_CERTIFICATE']);

/**
 * Asks the endpoints of a repository in their order. A mirror that does not answer, or answers that it has nothing or
 * lets nobody in, is passed over; what it says otherwise is said by it, and the error names it. Only reads of content go
 * to a mirror: a list could be partial, and a write would be lost.
 */
export class Mirrors {
  readonly #hosts: Hosts;
  readonly #send: AskEndpoint;
  readonly #onFailure: ((failure: MirrorFailure) => void) | undefined;
  readonly #restsUntil = new Map<string, number>();

  constructor(hosts: Hosts, send: AskEndpoint, onFailure?: (failure: MirrorFailure) => void) {
    this.#hosts = hosts;
    this.#send = send;
    this.#onFailure = onFailure;
  }

  /** @throws {@link RegistryError} that of the last endpoint asked; `UNSUPPORTED` when none may be asked */
  async ask(request: RegistryRequest, options: OperationOptions = {}): Promise<RegistryResponse> {
    options.signal?.throwIfAborted();
    const candidates = await this.#candidates(request, options);
    const passed: MirrorFailure[] = [];
    for (const [index, endpoint] of candidates.entries()) {
      const last = index === candidates.length - 1;
      try {
        const response = await this.#send(request, endpoint, last ? options : { ...options, attempts: 1 });
        const passOver = (error: RegistryError) => void this.#pass(request, endpoint, error);
        return { ...response, endpoint: { ...shown(endpoint), passOver } };
      } catch (error) {
        options.signal?.throwIfAborted();
        if (!(error instanceof RegistryError)) throw error;
        if (last || !isPassedOver(error, endpoint)) throw blamed(error, shown(endpoint), passed);
        passed.push(this.#pass(request, endpoint, error));
      }
    }
    const { registry } = request.repository;
    throw new RegistryError(
      'UNSUPPORTED',
      `${request.subject}: no endpoint of ${registry} may be asked for it`,
      {
        hint: 'Check the capabilities of its hosts entries.',
      },
    );
  }

  async #candidates(request: RegistryRequest, options: OperationOptions): Promise<readonly Endpoint[]> {
    const all = await this.#hosts.endpoints(request.repository, options);
    const { path, reads, without } = request;
    if (reads === undefined) {
      const own = all.filter(({ mirror, writable }) => !mirror && (writable || !isWrite(request)));
      if (!(path instanceof URL)) return own;
      const named = own.find(({ url }) => url.origin === path.origin) ?? own[0];
      return named === undefined ? [] : [named];
    }
    const fit = all.filter((one) => one.allows(reads) && without?.has(redactUrl(one.url)) !== true);
    const now = Date.now();
    const rests = ({ url, mirror }: Endpoint) => mirror && (this.#restsUntil.get(url.href) ?? 0) > now;
    return [...fit.filter((one) => !rests(one)), ...fit.filter(rests)];
  }

  #pass(request: RegistryRequest, endpoint: Endpoint, error: RegistryError): MirrorFailure {
    const { details, code, message } = error;
    const url = redactUrl(endpoint.url);
    const asked =
      typeof details?.retryAfterMs === 'number' ? Math.min(details.retryAfterMs, REST_MS) : REST_MS;
    if (SILENT.has(code) || code === 'RATE_LIMITED') {
      if (this.#restsUntil.size >= 1024) this.#restsUntil.clear();
      this.#restsUntil.set(endpoint.url.href, Date.now() + asked);
    }
    const failure = { registry: request.repository.registry, endpoint: url, code, message };
    if (endpoint.mirror) this.#onFailure?.(failure);
    return failure;
  }
}

/** The same error, naming the mirror that caused it and those passed over before it. */
export function blamed(
  error: RegistryError,
  endpoint: Pick<AnsweringEndpoint, 'url' | 'mirror'>,
  passed: readonly MirrorFailure[] = [],
): RegistryError {
  if (!endpoint.mirror && passed.length === 0) return error;
  const before = passed.map(({ endpoint: url, code }) => `${url} (${code})`).join(', ');
  const where = endpoint.mirror ? ` (from the mirror ${endpoint.url})` : '';
  return new RegistryError(
    error.code,
    `${error.message}${where}${before === '' ? '' : `; before it ${before} failed`}`,
    {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      cause: error,
      details: {
        ...error.details,
        endpoint: endpoint.url,
        ...(passed.length === 0 ? {} : { passedOver: passed }),
      },
    },
  );
}

/** A registry speaks for itself; a mirror's "no" means only that it cannot help. */
function isPassedOver(error: RegistryError, { mirror }: Endpoint): boolean {
  return SILENT.has(error.code) || (mirror && typeof error.details?.status === 'number');
}

function isWrite({ action }: RegistryRequest): boolean {
  return action !== 'catalog' && action.some((one) => one !== 'pull');
}

function shown({ url, mirror }: Endpoint): Pick<AnsweringEndpoint, 'url' | 'mirror'> {
  return { url: redactUrl(url), mirror };
}
