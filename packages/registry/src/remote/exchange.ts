import type { Access, Authorizer } from '../auth/authorizer.ts';
import { type Challenge, parseChallenges } from '../auth/challenge.ts';
import type { Scope } from '../auth/scope.ts';
import type { HttpResponse } from '../http/request.ts';
import type { Transport } from '../http/transport.ts';
import type { OperationOptions } from '../options.ts';
import type { RegistryRequest } from './ask.ts';
import { type Endpoint, join } from './endpoints.ts';
import { failureOf } from './failures.ts';

/** What one request to one endpoint needs. */
export interface ExchangeOptions extends OperationOptions {
  /** Tries of the request, when it is idempotent. */
  readonly attempts?: number;
  /** The repository a blob is mounted from, by its path at the endpoint. */
  readonly mountFrom?: string;
  /** Told of the answer, whatever it is. */
  readonly onAnswer?: (response: HttpResponse) => void;
}

/**
 * Sends one request to one endpoint, answering what it asks to be shown. Credentials are those kept for the endpoint's
 * host and go to its origin alone.
 *
 * @throws {@link RegistryError} for every status the request does not accept
 */
export async function exchange(
  transport: Transport,
  authorizer: Authorizer,
  request: RegistryRequest,
  endpoint: Endpoint,
  options: ExchangeOptions,
): Promise<HttpResponse> {
  const url = urlOf(request, endpoint, options.mountFrom);
  const base = endpoint.url;
  const own = url.origin === base.origin;
  const access: Access = {
    repository: { registry: endpoint.credentialsKey, repository: endpoint.repository },
    scopes: scopesOf(request, endpoint.repository, options.mountFrom),
    tokenServers: endpoint.tokenServers,
    ...(endpoint.tls === undefined ? {} : { tls: endpoint.tls }),
  };
  const send = (authorization: string | undefined) =>
    transport.send(
      {
        method: request.method,
        url,
        namedBy: base,
        ...(request.headers === undefined ? {} : { headers: request.headers }),
        ...(request.body === undefined ? {} : { body: request.body }),
        ...(request.maxBodyBytes === undefined ? {} : { maxBodyBytes: request.maxBodyBytes }),
        ...(request.patienceMs === undefined ? {} : { patienceMs: request.patienceMs }),
        ...(options.attempts === undefined ? {} : { attempts: options.attempts }),
        ...(own && endpoint.tls !== undefined ? { tls: endpoint.tls } : {}),
        ...(own && endpoint.headers !== undefined ? { ownHeaders: endpoint.headers } : {}),
        ...(authorization === undefined || !own ? {} : { authorization }),
      },
      options,
    );
  let grant = own ? await authorizer.known(access, options) : undefined;
  let response = await send(grant?.header);
  if (response.status === 401 && own && response.url.origin === base.origin) {
    const shown = grant?.header;
    const challenges = await challengesOf(transport, response, endpoint, options);
    grant = await authorizer.answer(challenges, base, access, shown, options);
    if (grant.header !== undefined && grant.header !== shown) {
      await response.dump();
      response = await send(grant.header);
    }
  }
  options.onAnswer?.(response);
  if (request.accept.includes(response.status)) return response;
  throw await failureOf(response, request, grant);
}

/** The root of an endpoint's API, with a slash at its end. @see OCI distribution-spec, "Determining Support" */
export function frontDoor(endpoint: Endpoint): URL {
  return new URL(`${endpoint.root}/`, endpoint.url.origin);
}

/** What the 401 asks for; a registry that does not say is asked at its front door. */
async function challengesOf(
  transport: Transport,
  response: HttpResponse,
  endpoint: Endpoint,
  options: OperationOptions,
): Promise<readonly Challenge[]> {
  const challenges = parseChallenges(response.headers['www-authenticate']);
  if (challenges.length > 0) return challenges;
  const door = await transport.send(
    {
      method: 'GET',
      url: frontDoor(endpoint),
      ...(endpoint.tls === undefined ? {} : { tls: endpoint.tls }),
      ...(endpoint.headers === undefined ? {} : { ownHeaders: endpoint.headers }),
    },
    options,
  );
  await door.dump();
  return door.url.origin === endpoint.url.origin ? parseChallenges(door.headers['www-authenticate']) : [];
}

function urlOf({ path }: RegistryRequest, endpoint: Endpoint, mountFrom: string | undefined): URL {
  if (path instanceof URL) return path;
  const url = join(endpoint, path);
  if (endpoint.namespace !== undefined) url.searchParams.set('ns', endpoint.namespace);
  if (mountFrom !== undefined) url.searchParams.set('from', mountFrom);
  return url;
}

function scopesOf(
  { action }: RegistryRequest,
  repository: string,
  mountFrom: string | undefined,
): readonly Scope[] {
  if (action === 'catalog') return [{ type: 'registry', name: 'catalog', actions: ['*'] }];
  const own: Scope = { type: 'repository', name: repository, actions: action };
  return mountFrom === undefined ? [own] : [own, { type: 'repository', name: mountFrom, actions: ['pull'] }];
}
