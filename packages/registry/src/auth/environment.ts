import { join } from 'node:path';
import { containersAuthKeychain } from './containers-auth.ts';
import { dockerConfigKeychain } from './docker-config.ts';
import { firstKeychain, type Keychain } from './keychain.ts';

/** Options of {@link keychainFromEnvironment}. */
export interface KeychainFromEnvironmentOptions {
  /** @defaultValue `HOME`, or `USERPROFILE` */
  readonly homeDirectory?: string;
  /** Whose `/run/containers/<id>/auth.json` is read without `XDG_RUNTIME_DIR`. @defaultValue the user of this process */
  readonly userId?: number;
  /** Time a credential helper may take, in milliseconds. @defaultValue 10000 */
  readonly helperTimeoutMs?: number;
  /** Folder of the `docker-credential-*` programs. @defaultValue the search path of this process */
  readonly helperDirectory?: string;
}

/**
 * Credentials where docker, podman and skopeo of this user keep them. With `REGISTRY_AUTH_FILE` that file alone, as podman
 * reads it; else `config.json` in `DOCKER_CONFIG` or `~/.docker`, then `containers/auth.json` in `XDG_RUNTIME_DIR` and in
 * `XDG_CONFIG_HOME` or `~/.config`. Files that are not there hold nothing; the first file that knows a registry counts.
 *
 * @param environment - `process.env`, which this package never reads itself
 * @see containers-auth.json(5), "FORMAT"; Docker CLI, "Environment variables"
 */
export function keychainFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  options: KeychainFromEnvironmentOptions = {},
): Keychain {
  const { homeDirectory, userId = process.getuid?.(), ...helpers } = options;
  const named = (name: string) => environment[name] || undefined;
  const file = named('REGISTRY_AUTH_FILE');
  if (file !== undefined) return containersAuthKeychain({ file, ...helpers });
  const home = homeDirectory ?? named('HOME') ?? named('USERPROFILE');
  const below = (...names: readonly string[]) => (home === undefined ? undefined : join(home, ...names));
  const docker = named('DOCKER_CONFIG') ?? below('.docker');
  const runtime = named('XDG_RUNTIME_DIR');
  const own = userId === undefined ? undefined : `/run/containers/${userId}/auth.json`;
  const config = named('XDG_CONFIG_HOME') ?? below('.config');
  const containers = [
    runtime === undefined ? own : join(runtime, 'containers', 'auth.json'),
    config === undefined ? undefined : join(config, 'containers', 'auth.json'),
  ];
  return firstKeychain(
    ...(docker === undefined ? [] : [dockerConfigKeychain({ directory: docker, ...helpers })]),
    ...containers.flatMap((path) =>
      path === undefined ? [] : [containersAuthKeychain({ file: path, ...helpers })],
    ),
  );
}
