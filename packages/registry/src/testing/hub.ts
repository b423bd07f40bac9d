import type { IncomingMessage, ServerResponse } from 'node:http';
import { type HostFaults, type LoopbackHost, sendJson, startLoopbackHost } from './loopback.ts';

/** A repository as Docker Hub shows it. */
export interface HubRepository {
  /** The long description, Markdown: where official images list their tags and Dockerfile links. */
  readonly description: string;
  /** The one-line description. Default: empty. */
  readonly summary?: string;
  /** RFC 3339. Default: `2026-01-01T00:00:00Z`. */
  readonly lastUpdated?: string;
}

/** Options of {@link startHub}. */
export interface HubOptions {
  /** By namespace and name: `library/php`. Read at every request, so a test may change it. */
  readonly repositories: Readonly<Record<string, HubRepository>>;
  readonly faults?: HostFaults;
}

/**
 * Starts the part of Docker Hub's web API that describes repositories, in process, on a loopback port:
 * `GET /v2/repositories/<namespace>/<name>/`.
 */
export async function startHub(options: HubOptions): Promise<LoopbackHost> {
  return startLoopbackHost(async (request, response) => describe(options, request, response), options.faults);
}

function describe(options: HubOptions, request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url ?? '/', 'http://hub');
  const match = /^\/v2\/repositories\/([a-z0-9_-]+)\/([a-z0-9._-]+)\/?$/.exec(pathname);
  const [, namespace, name] = match ?? [];
  const repository =
    namespace !== undefined && Object.hasOwn(options.repositories, `${namespace}/${name}`)
      ? options.repositories[`${namespace}/${name}`]
      : undefined;
  if (request.method !== 'GET' || repository === undefined) {
    sendJson(response, 404, { message: 'object not found', errinfo: { namespace, repository: name } });
    return;
  }
  sendJson(
    response,
    200,
    {
      user: namespace,
      name,
      namespace,
      repository_type: 'image',
      status: 1,
      description: repository.summary ?? '',
      is_private: false,
      last_updated: repository.lastUpdated ?? '2026-01-01T00:00:00Z',
      full_description: repository.description,
    },
    { 'x-ratelimit-limit': '180', 'x-ratelimit-remaining': '179' },
  );
}
