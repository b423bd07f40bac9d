import { isObject, type JsonObject } from '../oci/strict-json.ts';
import type { Repository } from '../reference.ts';
import { CredentialHelpers, helperOf } from './credential-helper.ts';
import { entryOf, hostOfEntry, readAuthEntry, readCredentialsFile } from './credentials-file.ts';
import type { Credentials, Keychain } from './keychain.ts';
import { Remembered } from './remembered.ts';

/** Options of {@link containersAuthKeychain}. */
export interface ContainersAuthKeychainOptions {
  /** The file: `REGISTRY_AUTH_FILE`, normally `$XDG_RUNTIME_DIR/containers/auth.json`. */
  readonly file: string;
  /** Time a credential helper may take, in milliseconds. @defaultValue 10000 */
  readonly helperTimeoutMs?: number;
  /** Folder of the `docker-credential-*` programs. @defaultValue the search path of this process */
  readonly helperDirectory?: string;
}

/**
 * Credentials as podman, skopeo and buildah keep them. An entry may name a registry, a namespace or one repository; the
 * most specific wins: `quay.io/team/app`, then `quay.io/team`, then `quay.io`. File and answers of helpers are remembered
 * for five minutes, or until a registry refuses what they gave.
 *
 * @throws {@link RegistryError} `INVALID_CREDENTIALS_FILE`, `CREDENTIAL_HELPER_FAILED`
 * @see containers-auth.json(5)
 */
export function containersAuthKeychain(options: ContainersAuthKeychainOptions): Keychain {
  const helpers = new CredentialHelpers({
    ...(options.helperTimeoutMs === undefined ? {} : { timeoutMs: options.helperTimeoutMs }),
    ...(options.helperDirectory === undefined ? {} : { path: options.helperDirectory }),
  });
  const file = new Remembered(() => readCredentialsFile(options.file));
  return {
    resolve: async (repository, { fresh } = {}) => {
      const document = await file.get(fresh);
      const helper = helperOf(document, repository.registry);
      if (helper !== undefined) return helpers.ask(helper, repository.registry, fresh);
      return fromAuths(document, repository);
    },
  };
}

function fromAuths(document: JsonObject, { registry, repository }: Repository): Credentials | undefined {
  const { auths } = document;
  if (!isObject(auths)) return undefined;
  const path = repository === '' ? [] : repository.split('/');
  for (let depth = path.length; depth >= 0; depth -= 1) {
    const name = [registry, ...path.slice(0, depth)].join('/');
    const entry = entryOf(auths, name);
    const found = entry === undefined ? undefined : readAuthEntry(entry, name);
    if (found !== undefined) return found;
  }
  // Files of the docker CLI name the host as a URL.
  const url = Object.keys(auths).find((name) => isLegacyName(name) && hostOfEntry(name) === registry);
  const entry = url === undefined ? undefined : entryOf(auths, url);
  return entry === undefined || url === undefined ? undefined : readAuthEntry(entry, url);
}

/** A URL, or a host under another of its names; a path without a scheme names a namespace. */
function isLegacyName(name: string): boolean {
  return /^https?:\/\//.test(name) || !name.includes('/');
}
