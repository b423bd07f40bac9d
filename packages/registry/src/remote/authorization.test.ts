import { describe, expect, test } from 'vitest';
import { type Credentials, staticKeychain } from '../auth/keychain.ts';
import { blobOf } from '../content/read.ts';
import { digestOf } from '../digest.ts';
import { parseReference } from '../reference.ts';
import { collect } from '../testing/collect.ts';
import { pushTestImage } from '../testing/image.ts';
import { startRegistry, type TestRegistry } from '../testing/registry.ts';
import { RegistryClient } from './client.ts';

const USER = { username: 'alice', password: 'secret' };
const LAYERS = [[{ path: 'a', content: 'a' }]];

function clientOf(registry: TestRegistry, credentials?: Credentials): RegistryClient {
  return new RegistryClient({
    ...(credentials === undefined ? {} : { keychain: staticKeychain({ [registry.host]: credentials }) }),
    baseDelayMs: 1,
  });
}
const tokensAsked = (registry: TestRegistry) => registry.requests.filter((line) => / \/token/.test(line));

describe('RegistryClient authorization', () => {
  test.each([
    ['basic', { basic: USER }, { kind: 'basic', ...USER }],
    ['bearer for a user', { bearer: USER }, { kind: 'basic', ...USER }],
    ['bearer for nobody', { bearer: {} }, undefined],
    [
      'bearer for an identity token',
      { bearer: { ...USER, identityToken: 'i' } },
      { kind: 'identity', token: 'i' },
    ],
  ] as const)('pushes and reads with %s', async (_how, options, credentials) => {
    await using registry = await startRegistry(options);
    await using client = clientOf(registry, credentials);
    const reference = parseReference(`${registry.host}/app:1`);
    const image = await pushTestImage(client, reference, { layers: LAYERS });
    expect((await client.resolve(reference)).digest).toBe(image.manifest.digest);
    expect(await collect(client.tags(reference))).toEqual(['1']);
    expect(await collect(client.repositories(registry.host))).toEqual(['app']);
  });

  test.each([
    ['basic', undefined, 'AUTH_REQUIRED'],
    ['basic', { kind: 'basic', username: 'alice', password: 'wrong' }, 'AUTH_REQUIRED'],
    ['bearer', undefined, 'AUTH_REQUIRED'],
    ['bearer', { kind: 'basic', username: 'alice', password: 'wrong' }, 'DENIED'],
  ] as const)('ends with a typed error: %s %j', async (scheme, credentials, code) => {
    await using registry = await startRegistry({ [scheme]: USER });
    await using client = clientOf(registry, credentials);
    const reading = client.fetchManifest(parseReference(`${registry.host}/app:1`));
    await expect(reading).rejects.toMatchObject({ code });
    expect(registry.requests.length).toBeLessThan(5);
  });

  test('asks for one token, however many want it', async () => {
    await using registry = await startRegistry({ bearer: {} });
    await using client = clientOf(registry);
    const reference = parseReference(`${registry.host}/app:1`);
    await pushTestImage(client, reference, { layers: LAYERS });
    await using reader = clientOf(registry);
    const before = tokensAsked(registry).length;
    await Promise.all(Array.from({ length: 8 }, () => reader.fetchManifest(reference)));
    expect(tokensAsked(registry).length - before).toBe(1);
  });

  test('does not let one abort end what others wait for', async () => {
    await using registry = await startRegistry({ bearer: {} });
    await using client = clientOf(registry);
    const reference = parseReference(`${registry.host}/app:1`);
    await pushTestImage(client, reference, { layers: LAYERS });
    await using reader = clientOf(registry);
    const reason = new Error('enough');
    const controller = new AbortController();
    const aborted = reader.fetchManifest(reference, { signal: controller.signal });
    const other = reader.fetchManifest(reference);
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    await expect(other).resolves.toMatchObject({ kind: 'image' });
  });

  test('renews a token the registry no longer takes', async () => {
    await using registry = await startRegistry({ bearer: { uses: 2 } });
    await using client = clientOf(registry);
    const reference = parseReference(`${registry.host}/app:1`);
    const image = await pushTestImage(client, reference, { layers: LAYERS });
    for (let round = 0; round < 5; round += 1) {
      expect((await client.fetchManifest(reference)).descriptor).toEqual(image.manifest);
    }
    expect(tokensAsked(registry).length).toBeGreaterThan(3);
  });

  test('asks the keychain afresh when what it gave is refused, and goes on with what it gives then', async () => {
    let password = 'old';
    await using registry = await startRegistry({
      intercept: ({ headers }, response) => {
        if (headers.authorization === `Basic ${Buffer.from(`u:${password}`).toString('base64')}`)
          return false;
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
        return true;
      },
    });
    const asked: (boolean | undefined)[] = [];
    // As a cloud's: it remembers a token until it is told that it is of no more use.
    let remembered = 'old';
    await using client = new RegistryClient({
      keychain: {
        resolve: async (_repository, { fresh } = {}) => {
          asked.push(fresh);
          if (fresh === true) remembered = password;
          return { kind: 'basic', username: 'u', password: remembered };
        },
      },
    });
    const reference = parseReference(`${registry.host}/app:1`);
    const image = await pushTestImage(client, reference, { layers: LAYERS });
    password = 'new';
    expect((await client.fetchManifest(reference)).descriptor).toEqual(image.manifest);
    expect(asked.at(-1)).toBe(true);
    expect(asked[0]).toBe(false);
  });

  test('says so when credentials were kept from a token server on another host', async () => {
    await using other = await startRegistry({ bearer: USER, address: '127.0.0.2' });
    await using anybody = await startRegistry({ bearer: {}, address: '127.0.0.2' });
    for (const realm of [other, anybody]) {
      await using registry = await startRegistry({
        intercept: ({ headers }, response) => {
          const header = `Bearer realm="${realm.url}/token",service="x"`;
          const status = headers.authorization === undefined ? 401 : 403;
          response.writeHead(status, { 'www-authenticate': header }).end();
          return true;
        },
      });
      await using client = clientOf(registry, { kind: 'basic', ...USER });
      await expect(client.fetchManifest(parseReference(`${registry.host}/app:1`))).rejects.toMatchObject({
        hint: expect.stringContaining(
          `token server ${realm.url}, which is another host: name it in \`tokenServers\``,
        ),
        details: { withheldFrom: realm.url },
      });
      expect(realm.authorizations).toEqual([]);
    }
  });

  test('tells wrong credentials from none', async () => {
    await using registry = await startRegistry({ basic: USER });
    const hintTo = async (credentials?: Credentials) => {
      await using client = clientOf(registry, credentials);
      const error = await client
        .fetchManifest(parseReference(`${registry.host}/app:1`))
        .catch((reason) => reason);
      return (error as { hint: string }).hint;
    };
    expect(await hintTo()).toContain('give credentials');
    expect(await hintTo({ kind: 'basic', username: 'alice', password: 'wrong' })).toContain('did not accept');
  });

  test('asks to read the repository a blob is mounted from', async () => {
    await using registry = await startRegistry({ bearer: USER });
    await using client = clientOf(registry, { kind: 'basic', ...USER });
    const from = parseReference(`${registry.host}/from`);
    const bytes = Buffer.from('blob');
    const blob = blobOf(bytes, { mediaType: 'text/plain', digest: digestOf(bytes), size: 4 });
    await client.pushBlob(from, blob);
    const to = parseReference(`${registry.host}/to`);
    expect(await client.pushBlob(to, blob, { mountFrom: from })).toBe('mounted');
    const scopes = tokensAsked(registry).map((line) =>
      new URL(line.slice(4), registry.url).searchParams.getAll('scope'),
    );
    expect(scopes.at(-1)).toEqual(['repository:to:pull,push', 'repository:from:pull']);
  });

  test('looks a mirror up by its own name, so that it never sees what it mirrors', async () => {
    await using registry = await startRegistry({ basic: USER });
    const asked: string[] = [];
    await using client = new RegistryClient({
      hosts: { 'docker.io': { url: registry.url } },
      keychain: {
        resolve: async (repository) => {
          asked.push(repository.registry);
          return undefined;
        },
      },
    });
    await expect(client.fetchManifest(parseReference('php'))).rejects.toMatchObject({
      code: 'AUTH_REQUIRED',
    });
    expect(asked).toEqual([registry.host]);
  });
});
