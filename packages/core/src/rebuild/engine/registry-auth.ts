import type { Keychain, OperationOptions, Repository } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';

/** Credentials in the engine's form. */
export interface EngineAuth {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress?: string;
}

/** Docker's own name for its registry. */
const HUB = 'https://index.docker.io/v1/';

/** The credentials an engine needs for a repository, or undefined when there are none. */
export async function registryAuth(
  keychain: Keychain | undefined,
  repository: Repository,
  options: OperationOptions,
): Promise<EngineAuth | undefined> {
  const credentials = await keychain?.resolve(repository, options);
  if (credentials === undefined) return undefined;
  const serveraddress = repository.registry === 'docker.io' ? HUB : repository.registry;
  switch (credentials.kind) {
    case 'basic':
      return { username: credentials.username, password: credentials.password, serveraddress };
    case 'identity':
      return { identitytoken: credentials.token, serveraddress };
    case 'bearer':
      return { registrytoken: credentials.token, serveraddress };
    default:
      throw new CoreError('INVALID_OPTIONS', `credentials for ${repository.registry} are of an unknown kind`);
  }
}
