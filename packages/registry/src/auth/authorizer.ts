import type { EndpointTls } from '../http/connections.ts';
import type { Transport } from '../http/transport.ts';
import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';
import type { Challenge } from './challenge.ts';
import type { Keychain } from './keychain.ts';
import { acceptRealm, realmMayHoldCredentials } from './realm.ts';
import { requestedScopes, type Scope } from './scope.ts';
import { basicHeader, fetchToken, type Grant } from './token.ts';

/** What a request needs to be allowed. */
export interface Access {
  /** Whose credentials are looked up. */
  readonly repository: Repository;
  readonly scopes: readonly Scope[];
  /** Origins of token servers the user named for this registry. */
  readonly tokenServers: readonly string[];
  /** Whom to trust at the registry, also when it gives its tokens itself. */
  readonly tls?: EndpointTls;
}

const BASIC_LIFETIME_MS = 3_600_000;
const BEARER_LIFETIME_MS = 60_000;
const MAX_GRANTS = 4096;

/** Answers challenges: basic, bearer, anonymous. Grants are cached by registry and scope, and fetched once at a time. */
export class Authorizer {
  readonly #transport: Transport;
  readonly #keychain: Keychain;
  readonly #grants = new Map<string, Grant>();
  readonly #pending = new Map<string, Promise<Grant>>();

  constructor(transport: Transport, keychain: Keychain) {
    this.#transport = transport;
    this.#keychain = keychain;
  }

  /** What is already known to be wanted, if anything. */
  async known(access: Access, options: OperationOptions = {}): Promise<Grant | undefined> {
    const key = keyOf(access);
    const pending = this.#pending.get(key);
    if (pending !== undefined)
      return await orAborted(pending, options.signal).catch(ignoreUnless(options.signal));
    const grant = this.#grants.get(key);
    return grant === undefined || grant.expiresAt <= Date.now() ? undefined : grant;
  }

  /**
   * Answers a 401 to a request that showed `shown`. Resolves to a grant with the same header, or without one, when there is
   * nothing (else) to show.
   *
   * @throws {@link RegistryError} as {@link fetchToken}; `CREDENTIAL_HELPER_FAILED`, `INVALID_CREDENTIALS_FILE`
   */
  async answer(
    challenges: readonly Challenge[],
    registryUrl: URL,
    access: Access,
    shown: string | undefined,
    options: OperationOptions,
  ): Promise<Grant> {
    const key = keyOf(access);
    const grant = this.#grants.get(key);
    // Somebody else may have renewed it since.
    if (grant !== undefined && grant.expiresAt > Date.now() && grant.header !== shown) return grant;
    this.#grants.delete(key);
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      // Shared by every waiter, so no waiter's abort may end it; the transport's timeouts bound it.
      const fresh = shown !== undefined;
      pending = this.#authorize(challenges, registryUrl, access, fresh).finally(() =>
        this.#pending.delete(key),
      );
      this.#pending.set(key, pending);
    }
    return orAborted(pending, options.signal);
  }

  async #authorize(
    challenges: readonly Challenge[],
    registryUrl: URL,
    access: Access,
    fresh: boolean,
  ): Promise<Grant> {
    const credentials = await this.#keychain.resolve(access.repository, { fresh });
    const grant = await this.#grant(challenges, registryUrl, access, credentials);
    if (this.#grants.size >= MAX_GRANTS) this.#grants.clear();
    this.#grants.set(keyOf(access), grant);
    return grant;
  }

  async #grant(
    challenges: readonly Challenge[],
    registryUrl: URL,
    access: Access,
    credentials: Awaited<ReturnType<Keychain['resolve']>>,
  ): Promise<Grant> {
    if (credentials?.kind === 'bearer') {
      const expiresAt = Date.now() + BEARER_LIFETIME_MS;
      return { header: `Bearer ${credentials.token}`, expiresAt, personal: true };
    }
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.realm !== undefined,
    );
    if (bearer !== undefined) {
      const { realm: text = '', service, scope } = bearer.parameters;
      const realm = acceptRealm(text, registryUrl);
      const trusted = realmMayHoldCredentials(realm, registryUrl, access.tokenServers);
      return fetchToken(
        this.#transport,
        {
          realm,
          registryUrl,
          ...(service === undefined ? {} : { service }),
          ...(access.tls === undefined || realm.origin !== registryUrl.origin ? {} : { tls: access.tls }),
          scopes: requestedScopes(access.scopes, scope),
          ...(credentials === undefined ? {} : trusted ? { credentials } : { withheld: true }),
        },
        {},
      );
    }
    if (challenges.some(({ scheme }) => scheme === 'basic') && credentials?.kind === 'basic') {
      const expiresAt = Date.now() + BASIC_LIFETIME_MS;
      return { header: basicHeader(credentials), expiresAt, personal: true };
    }
    return { header: undefined, expiresAt: 0, personal: false };
  }
}

function keyOf({ repository, scopes }: Access): string {
  return JSON.stringify([repository.registry, repository.repository, scopes]);
}

/** Waits for shared work; one waiter's abort ends only its own waiting. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function ignoreUnless(signal: AbortSignal | undefined): () => undefined {
  return () => {
    signal?.throwIfAborted();
    return undefined;
  };
}
