import type { RegistryError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from '../http/request.ts';
import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';
import type { ReadKind } from './endpoints.ts';

/** What one operation asks of a registry. */
export interface RegistryRequest
  extends Pick<HttpRequest, 'method' | 'headers' | 'body' | 'maxBodyBytes' | 'patienceMs'> {
  /** An empty `repository` asks the registry itself. */
  readonly repository: Repository;
  /** `manifests/latest`, below the repository; or an absolute URL the registry itself gave. */
  readonly path: string | URL;
  readonly action: Action;
  /** Repository a blob is mounted from: one more to read. */
  readonly mountFrom?: string;
  /** What content it reads, so that a mirror may be asked; without it the registry itself is. */
  readonly reads?: ReadKind;
  /** URLs of endpoints not to ask. */
  readonly without?: ReadonlySet<string>;
  /** Statuses that are answers; every other throws. */
  readonly accept: readonly number[];
  /** What the request is about, for messages. */
  readonly subject: string;
}

/** Who answered. */
export interface AnsweringEndpoint {
  /** Its URL, fit for messages. */
  readonly url: string;
  readonly mirror: boolean;
  /** Reports that its answer broke off, and lets it rest. */
  readonly passOver: (error: RegistryError) => void;
}

/** A response, and whose it is. */
export interface RegistryResponse extends HttpResponse {
  readonly endpoint: AnsweringEndpoint;
}

/** Sends one authorised request. */
export type Ask = (request: RegistryRequest, options?: OperationOptions) => Promise<RegistryResponse>;

/** Asks the registry itself, for what is read to be written again. */
export function itself(ask: Ask): Ask {
  return ({ reads: _reads, ...request }, options) => ask(request, options);
}

/** What a request may do. */
export type Action = readonly ('pull' | 'push' | 'delete')[] | 'catalog';

export const PULL: Action = ['pull'];
export const PUSH: Action = ['pull', 'push'];
export const DELETE: Action = ['delete', 'pull', 'push'];
