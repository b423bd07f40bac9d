import { RegistryError } from '../errors.ts';
import { isInternalHost } from '../http/egress.ts';
import { redactUrl } from '../http/redaction.ts';
import { type HttpResponse, readBody, type Transport } from '../http/transport.ts';
import { parseStrictJson } from '../oci/strict-json.ts';
import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { Credentials, Keychain } from './keychain.ts';

const MAX_TOKEN_BYTES = 64 * 1024;
/** A token is not used in its last seconds. */
const EXPIRY_MARGIN_MS = 10_000;
/** What a token without `expires_in` is good for. @see distribution, "Token Authentication Specification" */
const DEFAULT_LIFETIME_S = 60;

/** Token servers that live outside their registry's domain, by registry host suffix. */
const KNOWN_REALMS: Readonly<Record<string, readonly string[]>> = {
  'docker.io': ['auth.docker.io'],
  'pkg.dev': ['oauth2.googleapis.com'],
  'azurecr.io': ['login.microsoftonline.com'],
  'registry.gitlab.com': ['gitlab.com'],
};

/** What a request may do in a repository. */
export type Action = 'pull' | 'pull,push' | 'pull,push,delete' | 'catalog';

/** Answers challenges: basic, bearer, anonymous. Tokens are cached by registry and scope, and fetched once at a time. */
export class Authorizer {
  readonly #transport: Transport;
  readonly #keychain: Keychain;
  readonly #tokens = new Map<string, { readonly header: Promise<string | undefined>; expiresAt: number }>();

  constructor(transport: Transport, keychain: Keychain) {
    this.#transport = transport;
    this.#keychain = keychain;
  }

  /** The `Authorization` already known to be wanted, if any. */
  async known(repository: Repository, action: Action): Promise<string | undefined> {
    const entry = this.#tokens.get(keyOf(repository, action));
    if (entry === undefined || entry.expiresAt < Date.now()) return undefined;
    return entry.header.catch(() => undefined);
  }

  /**
   * Answers a 401 to a request that showed `shown`. Resolves to undefined when there is nothing else to show.
   *
   * @throws RegistryError `AUTH_REQUIRED`, `DENIED`, `EGRESS_REFUSED`, `PROTOCOL_ERROR`
   */
  async answer(
    response: HttpResponse,
    repository: Repository,
    action: Action,
    shown: string | undefined,
    options: OperationOptions,
  ): Promise<string | undefined> {
    const key = keyOf(repository, action);
    const current = this.#tokens.get(key);
    // Somebody else may have asked meanwhile, or be asking now.
    if (current !== undefined && current.expiresAt > Date.now()) {
      const header = await current.header;
      if (header !== shown) return header;
    }
    const challenges = parseChallenges(response.headers['www-authenticate']);
    const granted = this.#authorize(challenges, response.url, repository, action, options);
    const entry = { header: granted.then(({ header }) => header), expiresAt: Number.POSITIVE_INFINITY };
    this.#tokens.set(key, entry);
    try {
      const { header, expiresAt } = await granted;
      entry.expiresAt = expiresAt;
      return header;
    } catch (error) {
      entry.header.catch(() => {});
      if (this.#tokens.get(key) === entry) this.#tokens.delete(key);
      throw error;
    }
  }

  async #authorize(
    challenges: readonly Challenge[],
    registryUrl: URL,
    repository: Repository,
    action: Action,
    options: OperationOptions,
  ): Promise<{ header: string | undefined; expiresAt: number }> {
    const credentials = await this.#keychain.resolve(repository, options);
    if (credentials?.kind === 'bearer')
      return { header: `Bearer ${credentials.token}`, expiresAt: Date.now() + 60_000 };
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.realm !== undefined,
    );
    if (bearer !== undefined)
      return this.#fetchToken(bearer, registryUrl, repository, action, credentials, options);
    if (challenges.some(({ scheme }) => scheme === 'basic') && credentials?.kind === 'basic') {
      return { header: basic(credentials), expiresAt: Date.now() + 3_600_000 };
    }
    return { header: undefined, expiresAt: 0 };
  }

  async #fetchToken(
    challenge: Challenge,
    registryUrl: URL,
    repository: Repository,
    action: Action,
    credentials: Credentials | undefined,
    options: OperationOptions,
  ): Promise<{ header: string | undefined; expiresAt: number }> {
    const realm = acceptRealm(challenge.parameters.realm ?? '', registryUrl);
    const trusted = realmBelongsTo(realm, registryUrl, repository.registry);
    const scope =
      action === 'catalog' ? 'registry:catalog:*' : `repository:${repository.repository}:${action}`;
    const shown = trusted ? credentials : undefined;
    const response =
      shown?.kind === 'identity'
        ? await this.#transport.send(
            {
              method: 'POST',
              url: realm,
              headers: { 'content-type': 'application/x-www-form-urlencoded' },
              body: Buffer.from(
                new URLSearchParams({
                  grant_type: 'refresh_token',
                  refresh_token: shown.token,
                  client_id: 'imagevet',
                  service: challenge.parameters.service ?? '',
                  scope,
                }).toString(),
              ),
            },
            options,
          )
        : await this.#transport.send(
            {
              method: 'GET',
              url: withQuery(realm, challenge.parameters.service, scope),
              ...(shown?.kind === 'basic' ? { authorization: basic(shown) } : {}),
            },
            options,
          );
    if (response.url.origin !== realm.origin) {
      await response.dump();
      throw new RegistryError(
        'REDIRECT_REFUSED',
        `token server ${redactUrl(realm)} redirects to ${response.url.host}`,
      );
    }
    if (response.status !== 200) {
      await response.dump();
      const code =
        response.status === 429 ? 'RATE_LIMITED' : shown === undefined ? 'AUTH_REQUIRED' : 'DENIED';
      throw new RegistryError(
        code,
        `token server ${redactUrl(realm)} answered ${response.status} for ${scope}`,
        {
          hint:
            shown === undefined
              ? 'Give credentials for this registry.'
              : 'Check the credentials for this registry.',
        },
      );
    }
    const answer = parseStrictJson(
      await readBody(response, MAX_TOKEN_BYTES, 'token'),
      'token',
      'PROTOCOL_ERROR',
    );
    const token = answer.token ?? answer.access_token;
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
      throw new RegistryError('PROTOCOL_ERROR', `token server ${redactUrl(realm)} gave no token`);
    }
    const lifetime = typeof answer.expires_in === 'number' ? answer.expires_in : DEFAULT_LIFETIME_S;
    return {
      header: `Bearer ${token}`,
      expiresAt: Date.now() + Math.max(lifetime, DEFAULT_LIFETIME_S) * 1000 - EXPIRY_MARGIN_MS,
    };
  }
}

/** A realm must be https, or http where the registry itself is, and may not lead into the caller's network. */
function acceptRealm(realm: string, registryUrl: URL): URL {
  const url = URL.parse(realm);
  const plain = url?.protocol === 'http:' && registryUrl.protocol === 'http:';
  if (url === null || (url.protocol !== 'https:' && !plain) || url.username !== '' || url.password !== '') {
    throw new RegistryError('EGRESS_REFUSED', `${registryUrl.host} names an unacceptable token realm`, {
      details: { realm: redactUrl(realm) },
    });
  }
  if (isInternalHost(url.hostname) && !isInternalHost(registryUrl.hostname)) {
    throw new RegistryError('EGRESS_REFUSED', `${registryUrl.host} names a token realm inside your network`, {
      details: { realm: redactUrl(realm) },
    });
  }
  return url;
}

/** Credentials go to a token server only when it is the registry's own, below it, or a known one; else it is asked anonymously. */
function realmBelongsTo(realm: URL, registryUrl: URL, registry: string): boolean {
  const host = registryUrl.hostname;
  const { hostname } = realm;
  if (hostname === host || hostname.endsWith(`.${host}`)) return true;
  return Object.entries(KNOWN_REALMS).some(
    ([suffix, realms]) =>
      (registry === suffix || registry.endsWith(`.${suffix}`)) && realms.includes(hostname),
  );
}

function withQuery(realm: URL, service: string | undefined, scope: string): URL {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', scope);
  return url;
}

function basic(credentials: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
}

function keyOf(repository: Repository, action: Action): string {
  return action === 'catalog'
    ? `${repository.registry} catalog`
    : `${repository.registry}/${repository.repository} ${action}`;
}
