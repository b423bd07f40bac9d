import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { containersAuthKeychain } from './containers-auth.ts';
import { dockerConfigKeychain } from './docker-config.ts';
import { firstKeychain, staticKeychain } from './keychain.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-keychain-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') });
const of = (registry: string, repository = 'team/app') => ({ registry, repository });

function docker(config: unknown, options: { helperTimeoutMs?: number } = {}) {
  const home = mkdtempSync(join(directory, 'docker-'));
  writeFileSync(join(home, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  return dockerConfigKeychain({ directory: home, helperDirectory: directory, ...options });
}

function containers(config: unknown) {
  const file = join(mkdtempSync(join(directory, 'podman-')), 'auth.json');
  writeFileSync(file, JSON.stringify(config));
  return containersAuthKeychain({ file, helperDirectory: directory });
}

/** A credential helper that is a shell script; `$server` is what it was asked. */
function helper(name: string, script: string): void {
  const path = join(directory, `docker-credential-${name}`);
  writeFileSync(path, `#!/bin/sh\nread server\n${script}\n`);
  chmodSync(path, 0o755);
}

describe('dockerConfigKeychain()', () => {
  const auths = {
    'https://index.docker.io/v1/': auth('hub:hub-password'),
    'registry.corp:5000': auth('corp:pass:word'),
    'https://legacy.corp/v2/': auth('old:old'),
    'token.corp': { ...auth('x:'), identitytoken: 'refresh' },
    'bearer.corp': { registrytoken: 'ready' },
    'plain.corp': { username: 'plain', password: 'text' },
    'stored.corp': {},
  };
  test.each([
    ['docker.io', { kind: 'basic', username: 'hub', password: 'hub-password' }],
    ['registry.corp:5000', { kind: 'basic', username: 'corp', password: 'pass:word' }],
    ['legacy.corp', { kind: 'basic', username: 'old', password: 'old' }],
    ['token.corp', { kind: 'identity', token: 'refresh' }],
    ['bearer.corp', { kind: 'bearer', token: 'ready' }],
    ['plain.corp', { kind: 'basic', username: 'plain', password: 'text' }],
    ['stored.corp', undefined],
    ['registry.corp', undefined],
    ['corp', undefined],
    ['evil-registry.corp:5000', undefined],
    ['registry.corp:50000', undefined],
    ['__proto__', undefined],
  ])('S19: finds those of %s, by its whole name', async (registry, credentials) => {
    expect(await docker({ auths }).resolve(of(registry))).toEqual(credentials);
  });

  test('takes a missing file for an empty one', async () => {
    const keychain = dockerConfigKeychain({ directory: join(directory, 'nowhere') });
    expect(await keychain.resolve(of('docker.io'))).toBeUndefined();
  });

  test.each(['{', '{"auths":{},"auths":{}}', JSON.stringify({ auths: { 'a.corp': { auth: '!' } } })])(
    'refuses %s',
    async (text) => {
      await expect(docker(text).resolve(of('a.corp'))).rejects.toMatchObject({
        code: 'INVALID_CREDENTIALS_FILE',
      });
    },
  );
});

describe('S18: credential helpers', () => {
  test('are asked for the server in play, once, before the file', async () => {
    helper(
      'echo',
      `echo $server >> ${directory}/asked; echo "{\\"Username\\":\\"$server\\",\\"Secret\\":\\"s\\"}"`,
    );
    const keychain = docker({ credsStore: 'echo', auths: { 'a.corp': auth('file:file') } });
    const expected = { kind: 'basic', username: 'a.corp', password: 's' };
    expect(await Promise.all([keychain.resolve(of('a.corp')), keychain.resolve(of('a.corp'))])).toEqual([
      expected,
      expected,
    ]);
    const { readFileSync } = await import('node:fs');
    expect(readFileSync(join(directory, 'asked'), 'utf8')).toBe('a.corp\n');
  });

  test('are asked again for what a registry refused', async () => {
    helper(
      'counting',
      `echo x >> ${directory}/count; printf '{"Username":"u","Secret":"%s"}' $(wc -l < ${directory}/count)`,
    );
    const keychain = docker({ credsStore: 'counting' });
    const secret = async (fresh: boolean) => {
      const found = await keychain.resolve(of('a.corp'), { fresh });
      return found?.kind === 'basic' ? found.password : undefined;
    };
    expect([await secret(false), await secret(false), await secret(true), await secret(false)]).toEqual([
      '1',
      '1',
      '2',
      '2',
    ]);
  });

  test('of one registry come before the store, and give identity tokens', async () => {
    helper('token', 'echo \'{"Username":"<token>","Secret":"refresh"}\'');
    const keychain = docker({ credsStore: 'missing', credHelpers: { 'b.corp': 'token' } });
    expect(await keychain.resolve(of('b.corp'))).toEqual({ kind: 'identity', token: 'refresh' });
  });

  test('who know nothing are no failure', async () => {
    helper('none', 'echo "credentials not found in native keychain"; exit 1');
    expect(await docker({ credsStore: 'none' }).resolve(of('c.corp'))).toBeUndefined();
  });

  test.each([
    ['hang', 'sleep 30'],
    ['flood', 'while true; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done'],
    ['garble', 'echo nonsense'],
    ['fail', 'exit 3'],
    ['absent-from-disk', ''],
  ])('that %s end as CREDENTIAL_HELPER_FAILED', async (name, script) => {
    if (script !== '') helper(name, script);
    const keychain = docker({ credsStore: name }, { helperTimeoutMs: 1000 });
    await expect(keychain.resolve(of('d.corp'))).rejects.toMatchObject({ code: 'CREDENTIAL_HELPER_FAILED' });
  });

  test('that flood are ended by their size, long before their time', async () => {
    const keychain = docker({ credsStore: 'flood' }, { helperTimeoutMs: 60_000 });
    await expect(keychain.resolve(of('d.corp'))).rejects.toMatchObject({
      code: 'CREDENTIAL_HELPER_FAILED',
      message: expect.stringContaining('more than 65536 bytes'),
    });
  });

  test.each(['../evil', 'a b', 'a;b', '$(id)', 'A'])('named %j are not run', async (name) => {
    await expect(docker({ credsStore: name }).resolve(of('e.corp'))).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS_FILE',
    });
  });
});

describe.each([
  ['dockerConfigKeychain()', 'config.json', () => dockerConfigKeychain({ directory })],
  [
    'containersAuthKeychain()',
    'auth.json',
    () => containersAuthKeychain({ file: join(directory, 'auth.json') }),
  ],
] as const)('%s', (_name, name, open) => {
  test('sees a login once the registry has refused what it knew, and a mended file', async () => {
    const file = join(directory, name);
    const keep = (text: string) => writeFileSync(file, text);
    const keychain = open();
    keep('{');
    await expect(keychain.resolve(of('a.corp'))).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS_FILE' });
    keep(JSON.stringify({ auths: { 'a.corp': auth('u:old') } }));
    expect(await keychain.resolve(of('a.corp'))).toMatchObject({ password: 'old' });
    keep(JSON.stringify({ auths: { 'a.corp': auth('u:new') } }));
    expect(await keychain.resolve(of('a.corp'))).toMatchObject({ password: 'old' });
    expect(await keychain.resolve(of('a.corp'), { fresh: true })).toMatchObject({ password: 'new' });
    rmSync(file);
  });
});

describe('containersAuthKeychain()', () => {
  const auths = {
    'quay.io': auth('host:h'),
    'quay.io/team': auth('namespace:n'),
    'quay.io/team/app': auth('repository:r'),
    'docker.io/vendor': auth('vendor:v'),
    'https://index.docker.io/v1/': auth('hub:h'),
  };
  test.each([
    ['quay.io', 'team/app', 'repository'],
    ['quay.io', 'team/other', 'namespace'],
    ['quay.io', 'team', 'namespace'],
    ['quay.io', 'teamwork/app', 'host'],
    ['docker.io', 'vendor/app', 'vendor'],
    ['docker.io', 'library/php', 'hub'],
    ['evil.io', 'team/app', undefined],
  ])('S19: finds those of %s/%s, by whole names', async (registry, repository, username) => {
    const found = await containers({ auths }).resolve(of(registry, repository));
    expect(found?.kind === 'basic' ? found.username : undefined).toBe(username);
  });
});

test('firstKeychain() takes the first answer', async () => {
  const one = staticKeychain({ 'a.corp': { kind: 'bearer', token: '1' } });
  const two = staticKeychain({
    'a.corp': { kind: 'bearer', token: '2' },
    'b.corp': { kind: 'bearer', token: '3' },
  });
  const keychain = firstKeychain(one, two);
  expect(await keychain.resolve(of('a.corp'))).toEqual({ kind: 'bearer', token: '1' });
  expect(await keychain.resolve(of('b.corp'))).toEqual({ kind: 'bearer', token: '3' });
  expect(await keychain.resolve(of('c.corp'))).toBeUndefined();
});
