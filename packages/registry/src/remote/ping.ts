import type { Challenge } from '../auth/challenge.ts';
import { parseChallenges } from '../auth/challenge.ts';
import { type RateLimit, rateLimitOf } from '../http/rate-limit.ts';
import { redactUrl } from '../http/redaction.ts';
import type { HttpResponse } from '../http/request.ts';
import type { Transport } from '../http/transport.ts';
import type { OperationOptions } from '../options.ts';
import type { Endpoint } from './endpoints.ts';
import { frontDoor } from './exchange.ts';
import { failureOf } from './failures.ts';

/** What a registry says at its front door. */
export interface RegistryInfo {
  readonly registry: string;
  /** URL of the registry itself, not of a mirror. */
  readonly endpoint: string;
  /** What it calls its API: `registry/2.0`; undefined when it does not say. */
  readonly api?: string;
  /** Schemes by which it lets callers in; none when it is open. */
  readonly authentication: readonly string[];
  /** What it probably is, by its name and headers; a guess for messages, never to be relied on. */
  readonly product?: string;
  readonly rateLimit?: RateLimit;
}

const BY_HOST: readonly (readonly [RegExp, string])[] = [
  [/(?:^|\.)docker\.io$/, 'Docker Hub'],
  [/^ghcr\.io$/, 'GitHub Container Registry'],
  [/^quay\.io$/, 'Quay'],
  [/(?:^|\.)(?:gcr\.io|pkg\.dev)$/, 'Google Artifact Registry'],
  [/\.azurecr\.io$/, 'Azure Container Registry'],
  [/\.amazonaws\.com(?:\.cn)?$|^public\.ecr\.aws$/, 'Amazon ECR'],
];
const BY_HEADER: readonly (readonly [string, RegExp, string])[] = [
  ['x-jfrog-version', /./, 'Artifactory'],
  ['x-artifactory-id', /./, 'Artifactory'],
  ['gitlab-container-registry-version', /./, 'GitLab'],
  ['x-harbor-csrf-token', /./, 'Harbor'],
  ['set-cookie', /^(?:_gorilla_csrf|sid|harbor-lang)=/, 'Harbor'],
  ['server', /^Nexus\//, 'Nexus'],
  ['www-authenticate', /service="harbor-registry"/, 'Harbor'],
];

/**
 * Asks a registry at its front door, without credentials.
 *
 * @throws {@link RegistryError} for an answer that is neither 200 nor 401
 * @see OCI distribution-spec, "Determining Support"
 */
export async function ping(
  transport: Transport,
  endpoint: Endpoint,
  registry: string,
  options: OperationOptions,
): Promise<RegistryInfo> {
  const response = await transport.send(
    {
      method: 'GET',
      url: frontDoor(endpoint),
      ...(endpoint.tls === undefined ? {} : { tls: endpoint.tls }),
      ...(endpoint.headers === undefined ? {} : { ownHeaders: endpoint.headers }),
    },
    options,
  );
  if (response.status !== 200 && response.status !== 401) {
    throw await failureOf(response, { method: 'GET', subject: `asking ${registry}` });
  }
  await response.dump();
  const { headers } = response;
  const api = headers['docker-distribution-api-version'];
  const challenges: readonly Challenge[] =
    response.status === 401 ? parseChallenges(headers['www-authenticate']) : [];
  const product = productOf(endpoint.url.hostname, headers);
  const rateLimit = rateLimitOf(headers);
  return {
    registry,
    endpoint: redactUrl(endpoint.url),
    ...(typeof api === 'string' && /^[\w./ -]{1,64}$/.test(api) ? { api } : {}),
    authentication: [...new Set(challenges.map(({ scheme }) => scheme))],
    ...(product === undefined ? {} : { product }),
    ...(rateLimit === undefined ? {} : { rateLimit }),
  };
}

function productOf(hostname: string, headers: HttpResponse['headers']): string | undefined {
  const host = BY_HOST.find(([pattern]) => pattern.test(hostname));
  if (host !== undefined) return host[1];
  return BY_HEADER.find(([name, pattern]) =>
    [headers[name] ?? []].flat().some((line) => pattern.test(line)),
  )?.[2];
}
