import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keychainFromEnvironment } from './environment.ts';

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'imagevet-environment-'));
  const keep = (path: string, users: Readonly<Record<string, string>>) => {
    const auths = Object.entries(users).map(([registry, user]) => [
      registry,
      { auth: Buffer.from(`${user}:x`).toString('base64') },
    ]);
    mkdirSync(dirname(join(home, path)), { recursive: true });
    writeFileSync(join(home, path), JSON.stringify({ auths: Object.fromEntries(auths) }));
  };
  keep('.docker/config.json', { 'a.corp': 'docker', 'https://index.docker.io/v1/': 'hub' });
  keep('elsewhere/config.json', { 'a.corp': 'elsewhere' });
  keep('run/containers/auth.json', { 'a.corp': 'podman', 'b.corp/team': 'podman' });
  keep('.config/containers/auth.json', { 'b.corp': 'config', 'c.corp': 'config' });
  keep('named.json', { 'c.corp': 'named' });
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

async function userOf(environment: Readonly<Record<string, string>>, registry: string) {
  const found = await keychainFromEnvironment(environment, { userId: 4_000_000_000 }).resolve({
    registry,
    repository: 'team/app',
  });
  return found?.kind === 'basic' ? found.username : undefined;
}

describe('keychainFromEnvironment()', () => {
  test.each([
    [{ HOME: '' }, 'a.corp', 'docker'],
    [{ HOME: '' }, 'docker.io', 'hub'],
    [{ USERPROFILE: '' }, 'a.corp', 'docker'],
    [{ HOME: '', DOCKER_CONFIG: 'elsewhere' }, 'a.corp', 'elsewhere'],
    [{ HOME: '', DOCKER_CONFIG: 'elsewhere' }, 'docker.io', undefined],
    [{ HOME: '', XDG_RUNTIME_DIR: 'run' }, 'b.corp', 'podman'],
    [{ HOME: '' }, 'b.corp', 'config'],
    [{ HOME: '', XDG_CONFIG_HOME: 'nowhere' }, 'b.corp', undefined],
    [{ HOME: '', REGISTRY_AUTH_FILE: 'named.json' }, 'c.corp', 'named'],
    // As podman: a file that is named is the only one.
    [{ HOME: '', REGISTRY_AUTH_FILE: 'named.json' }, 'a.corp', undefined],
    [{}, 'a.corp', undefined],
  ] as const)('in %j finds for %s: %s', async (names, registry, user) => {
    const environment = Object.entries(names).map(([name, path]) => [name, join(home, path)]);
    expect(await userOf(Object.fromEntries(environment), registry)).toBe(user);
  });

  test('takes an empty variable for one that is not set', async () => {
    expect(await userOf({ HOME: home, DOCKER_CONFIG: '', REGISTRY_AUTH_FILE: '' }, 'a.corp')).toBe('docker');
  });
});
