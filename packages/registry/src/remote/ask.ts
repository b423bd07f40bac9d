import type { HttpRequest, HttpResponse } from '../http/transport.ts';
import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';

/** What one operation asks of a registry. */
export interface RegistryRequest extends Pick<HttpRequest, 'method' | 'headers' | 'body' | 'maxBodyBytes'> {
  /** An empty `repository` asks the registry itself. */
  readonly repository: Repository;
  /** `manifests/latest`, below the repository; or an absolute URL the registry itself gave. */
  readonly path: string | URL;
  readonly action: Action;
  /** Repository a blob is mounted from: one more to read. */
  readonly mountFrom?: string;
  /** Statuses that are answers; every other throws. */
  readonly accept: readonly number[];
  /** What the request is about, for messages. */
  readonly subject: string;
}

/** Sends one authorised request. */
export type Ask = (request: RegistryRequest, options?: OperationOptions) => Promise<HttpResponse>;

/** What a request may do. */
export type Action = readonly ('pull' | 'push' | 'delete')[] | 'catalog';

export const PULL: Action = ['pull'];
export const PUSH: Action = ['pull', 'push'];
export const DELETE: Action = ['delete', 'pull', 'push'];
