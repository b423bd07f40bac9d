import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { available, startDockerRegistry } from '../../../../test/services.ts';
import type { RegistryError } from '../errors.ts';
import { parseReference } from '../reference.ts';
import { pushTestImage } from '../testing/image.ts';
import { RegistryClient } from './client.ts';
import { readRegistriesConf } from './registries-conf.ts';

const run = promisify(execFile);
const directory = mkdtempSync(join(tmpdir(), 'imagevet-conf-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let count = 0;
function written(text: string): string {
  count += 1;
  const file = join(directory, `${count}.conf`);
  writeFileSync(file, text);
  return file;
}
async function placesOf(text: string, name: string) {
  const conf = await readRegistriesConf({ file: written(text) });
  const endpoints = await conf.endpoints(parseReference(name));
  return endpoints?.map(
    ({ url, repository, mirror }) => `${mirror === true ? 'mirror ' : ''}${url}/${repository}`,
  );
}
const BLOCKED = expect.objectContaining({ code: 'REGISTRY_BLOCKED' });
const INVALID = { code: 'INVALID_HOSTS_FILE' };

describe('readRegistriesConf()', () => {
  test('puts mirrors before the registry, and rewrites the prefix', async () => {
    const text = `
[[registry]]
prefix = "quay.io/team"
location = "internal:5000/bar"
[[registry.mirror]]
location = "first.corp/quay"
[[registry.mirror]]
location = "second.corp:8443"
insecure = true
`;
    expect(await placesOf(text, 'quay.io/team/app')).toEqual([
      'mirror https://first.corp/quay/app',
      'mirror https://second.corp:8443/app',
      'mirror http://second.corp:8443/app',
      'https://internal:5000/bar/app',
    ]);
    expect(await placesOf(text, 'quay.io/teams/app')).toBeUndefined();
    expect(await placesOf(text, 'quay.io/other')).toBeUndefined();
  });

  test('lets the longest prefix win, wherever it stands', async () => {
    const text = `
[[registry]]
location = "example.com/a/b"
[[registry]]
location = "example.com"
blocked = true
[[registry]]
prefix = "example.com/a"
location = "a.corp"
`;
    expect(await placesOf(text, 'example.com/a/b/c')).toEqual(['https://example.com/a/b/c']);
    expect(await placesOf(text, 'example.com/a/c')).toEqual(['https://a.corp/c']);
    await expect(placesOf(text, 'example.com/c')).rejects.toEqual(BLOCKED);
    await expect(placesOf(text, 'example.com:5000/c')).rejects.toEqual(BLOCKED);
  });

  test.each([
    ['one.corp.com/x', ['https://one.corp.com/x']],
    ['a.one.corp.com/x', ['https://a.one.corp.com/x']],
    ['one.corp.com:5000/x', ['https://one.corp.com:5000/x']],
    ['corp.com/x', undefined],
    ['one.corp.community/x', undefined],
    ['other.example/one.corp.com/x', undefined],
  ])('wildcard *.corp.com: %s', async (name, places) => {
    expect(await placesOf('[[registry]]\nprefix = "*.corp.com"\n', name)).toEqual(places);
  });

  test('gives a mirror of digests only content by digest', async () => {
    const file = written(`
[[registry]]
location = "docker.io"
mirror-by-digest-only = true
[[registry.mirror]]
location = "mirror.corp/hub"
`);
    const conf = await readRegistriesConf({ file });
    expect(await conf.endpoints(parseReference('php'))).toEqual([
      {
        url: 'https://mirror.corp',
        repository: 'hub/library/php',
        mirror: true,
        pullFromMirror: 'digest-only',
      },
      { url: 'https://registry-1.docker.io', repository: 'library/php' },
    ]);
  });

  test('reads drop-ins by name, each over what came before', async () => {
    const drops = join(directory, 'drop-ins');
    mkdirSync(drops);
    writeFileSync(join(drops, '20-b.conf'), '[[registry]]\nlocation = "example.com"\nblocked = true\n');
    writeFileSync(
      join(drops, '10-a.conf'),
      'unqualified-search-registries = ["a.corp"]\n[[registry]]\nprefix = "example.com"\nlocation = "a.corp"\n',
    );
    writeFileSync(join(drops, 'ignored.toml'), 'not TOML at all');
    const file = written(
      'unqualified-search-registries = ["docker.io"]\n[[registry]]\nlocation = "example.com"\n',
    );
    const conf = await readRegistriesConf({ file, directories: [drops, join(directory, 'absent')] });
    expect(conf.unqualifiedSearchRegistries).toEqual(['a.corp']);
    expect(() => conf.endpoints(parseReference('example.com/a'))).toThrow(BLOCKED);
  });

  test.each([
    ['no TOML', '[[registry'],
    ['version 1', "[registries.block]\nregistries = ['example.com']"],
    ['a block that is no boolean', '[[registry]]\nlocation = "example.com"\nblocked = "yes"'],
    ['a scheme', '[[registry]]\nlocation = "https://example.com"'],
    ['nothing to match', '[[registry]]\nblocked = true'],
    ['a prefix without a location', '[[registry]]\nprefix = "example.com"'],
    ['a prefix of one image', '[[registry]]\nprefix = "example.com/a:1"\nlocation = "b"'],
    ['a mirror without a location', '[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\ninsecure = true'],
    [
      'an unknown kind of mirror',
      '[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\nlocation = "m"\npull-from-mirror = "never"',
    ],
    [
      'contradictory entries',
      '[[registry]]\nlocation = "a.b"\n[[registry]]\nprefix = "c"\nlocation = "a.b"\nblocked = true',
    ],
  ])('refuses %s', async (_what, text) => {
    await expect(readRegistriesConf({ file: written(text) })).rejects.toMatchObject(INVALID);
  });

  test('reads any text, or refuses it', async () => {
    const line = fc.constantFrom(
      ...[
        '[[registry]]',
        '[[registry.mirror]]',
        '[registries.search]',
        'prefix = "*.corp.com"',
        'location = "a.corp.com"',
      ],
      ...[
        'location = "b/c"',
        'insecure = true',
        'blocked = true',
        'mirror-by-digest-only = true',
        'blocked = 1',
        '"',
        '',
      ],
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 8 }), async (lines) => {
        try {
          await placesOf(lines.join('\n'), 'a.corp.com/app');
        } catch (error) {
          expect(['INVALID_HOSTS_FILE', 'REGISTRY_BLOCKED']).toContain((error as RegistryError).code);
        }
      }),
    );
  });

  test('refuses a file that is not there', async () => {
    const reading = readRegistriesConf({ file: join(directory, 'absent.conf') });
    await expect(reading).rejects.toMatchObject(INVALID);
  });
});

describe.skipIf(!available('docker-registry', 'skopeo'))('readRegistriesConf() beside skopeo', () => {
  test('reads a mirror, a fallback and a block as skopeo does', async () => {
    const registry = await startDockerRegistry();
    const mirror = await startDockerRegistry();
    await using pusher = new RegistryClient();
    const mirrored = await pushTestImage(pusher, parseReference(`${mirror.host}/copy/app:1`), {
      layers: [[{ path: 'a', content: 'mirrored' }]],
    });
    const original = await pushTestImage(pusher, parseReference(`${registry.host}/team/app:2`), {
      layers: [[{ path: 'a', content: 'original' }]],
    });
    const file = written(`
[[registry]]
prefix = "example.test/team"
location = "${registry.host}/team"
insecure = true
[[registry.mirror]]
location = "${mirror.host}/copy"
insecure = true
[[registry]]
location = "blocked.test"
blocked = true
`);
    const skopeo = async (name: string) => {
      const flags = ['--registries-conf', file, 'inspect', '--no-tags', '--format', '{{.Digest}}'];
      const { stdout } = await run('skopeo', [...flags, `docker://${name}`]);
      return stdout.trim();
    };
    try {
      await using client = new RegistryClient({ hosts: await readRegistriesConf({ file }), baseDelayMs: 1 });
      const ours = async (name: string) => (await client.resolve(parseReference(name))).digest;
      for (const [name, image] of [
        ['example.test/team/app:1', mirrored],
        ['example.test/team/app:2', original],
      ] as const) {
        expect([await ours(name), await skopeo(name)]).toEqual(Array(2).fill(image.manifest.digest));
      }
      await expect(ours('example.test/team/app:3')).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await expect(skopeo('example.test/team/app:3')).rejects.toThrow(/unknown/);
      await expect(ours('blocked.test/app:1')).rejects.toEqual(BLOCKED);
      await expect(skopeo('blocked.test/app:1')).rejects.toThrow(/blocked/);
    } finally {
      await Promise.all([registry.close(), mirror.close()]);
    }
  });
});
