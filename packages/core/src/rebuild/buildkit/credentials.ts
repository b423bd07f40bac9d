import {
  type ImageReference,
  type Keychain,
  type OperationOptions,
  parseReference,
} from '@imagevet/registry';
import type { BuildRequest } from '../types.ts';

/**
 * What a daemon is told when it asks for the credentials of a host: those of a registry this build pulls from or pushes to,
 * and nothing for any other.
 */
export async function credentialsFor(
  host: string,
  { target, unedited }: Pick<BuildRequest, 'target' | 'unedited'>,
  { keychain, signal }: OperationOptions & { readonly keychain?: Keychain | undefined },
): Promise<{ readonly username: string; readonly secret: string } | undefined> {
  const registry = host === 'registry-1.docker.io' ? 'docker.io' : host;
  const known: readonly ImageReference[] = [
    target,
    ...Object.values(unedited?.pins ?? {}).map((pin) => parseReference(pin)),
  ];
  const repository = known.find((reference) => reference.registry === registry);
  if (repository === undefined) return undefined;
  const found = await keychain?.resolve(repository, { signal });
  if (found === undefined) return undefined;
  return found.kind === 'basic'
    ? { username: found.username, secret: found.password }
    : { username: '<token>', secret: found.token };
}
