import { join } from 'node:path';
import { isObject, type JsonObject } from '../oci/strict-json.ts';
import { CredentialHelpers, helperOf } from './credential-helper.ts';
import { entryOf, hostOfEntry, readAuthEntry, readCredentialsFile } from './credentials-file.ts';
import type { Credentials, Keychain } from './keychain.ts';
import { Remembered } from './remembered.ts';

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
 * A missing file means no credentials. Helpers run without a shell and are asked only for the registry in play. File and
 * answers are remembered for five minutes, or until a registry refuses what they gave.
 *
 * @throws {@link RegistryError} `INVALID_CREDENTIALS_FILE`, `CREDENTIAL_HELPER_FAILED`
 */
export function dockerConfigKeychain(options: DockerConfigKeychainOptions): Keychain {
  const helpers = new CredentialHelpers({
    ...(options.helperTimeoutMs === undefined ? {} : { timeoutMs: options.helperTimeoutMs }),
    ...(options.helperDirectory === undefined ? {} : { path: options.helperDirectory }),
  });
  const config = new Remembered(() => readCredentialsFile(join(options.directory, 'config.json')));
  return {
    resolve: async ({ registry }, { fresh } = {}) => {
      const document = await config.get(fresh);
      const server = registry === 'docker.io' ? HUB_SERVER : registry;
      const helper =
        helperOf(document, server) ?? (registry === 'docker.io' ? helperOf(document, registry) : undefined);
      return helper === undefined
        ? fromAuths(document, registry, server)
        : helpers.ask(helper, server, fresh);
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
