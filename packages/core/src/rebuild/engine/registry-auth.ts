import type { Keychain, OperationOptions, Repository } from '@imagevet/registry';

/** Credentials in the engine's form. */
export interface EngineAuth {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly serveraddress: string;
}

/** The credentials an engine needs for a repository, or undefined when there are none. */
export async function registryAuth(
  keychain: Keychain | undefined,
  repository: Repository,
  options: OperationOptions,
): Promise<EngineAuth | undefined> {
  const credentials = await keychain?.resolve(repository, options);
  const serveraddress = repository.registry;
  if (credentials?.kind === 'basic') {
    const { username, password } = credentials;
    return { username, password, serveraddress };
  }
  if (credentials?.kind === 'identity') return { identitytoken: credentials.token, serveraddress };
  return undefined;
}
