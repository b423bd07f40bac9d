import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';

/** What to show a registry. */
export type Credentials =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token ("identity token"). */
  | { readonly kind: 'identity'; readonly token: string }
  /** A bearer token to send as it is. */
  | { readonly kind: 'bearer'; readonly token: string };

/** Options of {@link Keychain.resolve}. */
export interface KeychainOptions extends OperationOptions {
  /** What was answered before has been refused, as a token that expired is: look again instead of remembering. */
  readonly fresh?: boolean;
}

/**
 * Finds credentials. Asked only for the registry in play; its answer goes to that registry and its token server. For a
 * cloud whose tokens a program fetches by itself, this is the interface to implement.
 */
export interface Keychain {
  resolve(repository: Repository, options?: KeychainOptions): Promise<Credentials | undefined>;
}

/** A keychain that knows nobody. */
export const anonymousKeychain: Keychain = { resolve: () => Promise.resolve(undefined) };

/** A keychain of given credentials by registry (`docker.io`, `localhost:5000`). */
export function staticKeychain(credentials: Readonly<Record<string, Credentials>>): Keychain {
  return {
    resolve: ({ registry }) =>
      Promise.resolve(Object.hasOwn(credentials, registry) ? credentials[registry] : undefined),
  };
}

/** The first answer of several keychains. */
export function firstKeychain(...keychains: readonly Keychain[]): Keychain {
  return {
    resolve: async (repository, options) => {
      for (const keychain of keychains) {
        const credentials = await keychain.resolve(repository, options);
        if (credentials !== undefined) return credentials;
      }
      return undefined;
    },
  };
}
