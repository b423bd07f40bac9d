import { join } from 'node:path';
import { isObject, type JsonObject } from '../oci/strict-json.ts';
import type { Repository } from '../reference.ts';
import { CredentialHelpers, helperOf } from './credential-helper.ts';
import { entryOf, hostOfEntry, readAuthEntry, readCredentialsFile } from './credentials-file.ts';
import type { Credentials, Keychain } from './keychain.ts';

const HUB_SERVER = 'https://index.docker.io/v1/';

/** Options of {@link dockerConfigKeychain}. */
export interface DockerConfigKeychainOptions {
  /** Folder of `config.json`: `DOCKER_CONFIG`, normally `~/.docker`. */
  readonly directory: string;
  /** Time a credential helper may take, in milliseconds. @defaultValue 10000 */
  readonly helperTimeoutMs?: number;
  /** Folder of the `docker-credential-*` programs. @defaultValue the search path of this process */
  readonly helperDirectory?: string;
}

/**
 * Credentials as the docker CLI keeps them: `auths`, `credHelpers` and `credsStore` of `<directory>/config.json`.
 * A missing file means no credentials. Helpers run without a shell, are asked only for the registry in play, and once.
 *
 * @throws {@link RegistryError} `INVALID_CREDENTIALS_FILE`, `CREDENTIAL_HELPER_FAILED`
 */
export function dockerConfigKeychain(options: DockerConfigKeychainOptions): Keychain {
  const helpers = new CredentialHelpers({
    ...(options.helperTimeoutMs === undefined ? {} : { timeoutMs: options.helperTimeoutMs }),
    ...(options.helperDirectory === undefined ? {} : { path: options.helperDirectory }),
  });
  let config: Promise<JsonObject> | undefined;
  return {
    resolve: async ({ registry }: Repository) => {
      config ??= readCredentialsFile(join(options.directory, 'config.json'));
      const document = await config;
      const server = registry === 'docker.io' ? HUB_SERVER : registry;
      const helper =
        helperOf(document, server) ?? (registry === 'docker.io' ? helperOf(document, registry) : undefined);
      return helper === undefined ? fromAuths(document, registry, server) : helpers.ask(helper, server);
    },
  };
}

/** The entry named exactly; else one that names the same host as a URL. */
function fromAuths(document: JsonObject, registry: string, server: string): Credentials | undefined {
  const { auths } = document;
  if (!isObject(auths)) return undefined;
  const exact = entryOf(auths, server);
  if (exact !== undefined) return readAuthEntry(exact, server);
  const name = Object.keys(auths).find((key) => hostOfEntry(key) === registry);
  const entry = name === undefined ? undefined : entryOf(auths, name);
  return entry === undefined || name === undefined ? undefined : readAuthEntry(entry, name);
}
