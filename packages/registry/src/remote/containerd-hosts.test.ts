import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseReference } from '../reference.ts';
import { pushTestImage } from '../testing/image.ts';
import { startRegistry } from '../testing/registry.ts';
import { RegistryClient } from './client.ts';
import { readContainerdHosts } from './containerd-hosts.ts';
import { readDockerCerts } from './docker-certs.ts';

const root = mkdtempSync(join(tmpdir(), 'imagevet-hosts-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
/** A folder of hosts: `{ 'docker.io/hosts.toml': text }`. */
function folder(files: Readonly<Record<string, string>>): string {
  count += 1;
  const directory = join(root, String(count));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(directory, name, '..'), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}
async function endpointsOf(files: Readonly<Record<string, string>>, name: string) {
  return (await readContainerdHosts(folder(files))).endpoints(parseReference(name));
}

describe('readContainerdHosts()', () => {
  test('lists hosts as they are written, then the server', async () => {
    const text = `
server = "https://registry-1.docker.io"
[host."https://first.corp"]
  capabilities = ["pull"]
  ca = ["one.crt", "two.crt"]
  client = [["client.cert", "client.key"]]
  [host."https://first.corp".header]
    x-key = ["a", "b"]
[host."http://second.corp:5000/v2/hub"]
  skip_verify = true
  override_path = true
`;
    const pem = Object.fromEntries(
      ['one.crt', 'two.crt', 'client.cert', 'client.key'].map((name) => [`docker.io/${name}`, `${name}\n`]),
    );
    expect(await endpointsOf({ 'docker.io/hosts.toml': text, ...pem }, 'php')).toEqual([
      {
        url: 'https://first.corp',
        mirror: true,
        namespace: 'docker.io',
        capabilities: ['pull'],
        addedCa: 'one.crt\ntwo.crt\n',
        cert: 'client.cert\n',
        key: 'client.key\n',
        headers: { 'x-key': 'a, b' },
      },
      {
        url: 'http://second.corp:5000/v2/hub',
        mirror: true,
        namespace: 'docker.io',
        skipVerify: true,
        exactPath: true,
      },
      { url: 'https://registry-1.docker.io' },
    ]);
  });

  test('takes a host that is the registry itself for no mirror', async () => {
    const text = '[host."http://own.corp:5000"]\nskip_verify = true\n';
    expect(await endpointsOf({ 'own.corp:5000/hosts.toml': text }, 'own.corp:5000/app')).toEqual([
      { url: 'http://own.corp:5000', skipVerify: true },
      { url: 'https://own.corp:5000' },
    ]);
  });

  test('leaves a path alone that is to be left alone', async () => {
    const text = '[host."a.corp/v2"]\n[host."https://b.corp/v2"]\noverride_path = true\n';
    expect(await endpointsOf({ '_default/hosts.toml': text }, 'c.corp/app')).toMatchObject([
      { url: 'https://a.corp' },
      { url: 'https://b.corp/v2', exactPath: true },
      { url: 'https://c.corp' },
    ]);
  });

  test.each([
    ['own.corp:5000', 'own.corp:5000'],
    ['own.corp_5000_', 'own.corp:5000'],
    ['_default', 'own.corp:5000'],
    ['_default', 'other.corp'],
  ])('finds the folder %s for %s', async (name, registry) => {
    const hosts = '[host."https://mirror.corp"]\n';
    const endpoints = await endpointsOf({ [`${name}/hosts.toml`]: hosts }, `${registry}/app`);
    expect(endpoints).toMatchObject([
      { url: 'https://mirror.corp', namespace: registry },
      { url: `https://${registry}` },
    ]);
  });

  test('knows nothing of a registry without a folder, nor without the folder of folders', async () => {
    expect(await endpointsOf({ 'a.corp/hosts.toml': '' }, 'b.corp/app')).toBeUndefined();
    const none = await readContainerdHosts(join(root, 'absent'));
    expect(none.endpoints(parseReference('php'))).toBeUndefined();
  });

  test('takes the certificates of docker where there is no hosts.toml', async () => {
    const files = { 'a.corp/ca.crt': 'ca', 'a.corp/client.cert': 'cert', 'a.corp/client.key': 'key' };
    const expected = { addedCa: 'ca\n', cert: 'cert\n', key: 'key\n' };
    expect(await endpointsOf(files, 'a.corp/app')).toEqual([{ url: 'https://a.corp', ...expected }]);
    expect(await readDockerCerts(folder(files))).toEqual({ 'a.corp': expected });
  });

  test.each([
    ['no TOML', 'server ='],
    ['a server that is no text', 'server = 1'],
    ['an unknown capability', '[host."https://a"]\ncapabilities = ["fly"]'],
    ['a certificate that is not there', '[host."https://a"]\nca = "absent.crt"'],
    ['two client certificates', '[host."https://a"]\nclient = ["a.pem", "b.pem"]'],
    ['a client that is no file', '[host."https://a"]\nclient = [[]]'],
  ])('refuses %s', async (_what, text) => {
    await expect(endpointsOf({ 'a.corp/hosts.toml': text }, 'a.corp/app')).rejects.toMatchObject({
      code: 'INVALID_HOSTS_FILE',
    });
  });

  test('is what a client reads by', async () => {
    await using mirror = await startRegistry();
    await using direct = new RegistryClient();
    const image = await pushTestImage(direct, parseReference(`${mirror.host}/hub/library/php:latest`), {
      layers: [[{ path: 'a', content: 'a' }]],
    });
    const paths: string[] = [];
    await using proxy = await startRegistry({
      intercept: (request, response) => {
        paths.push(request.url ?? '');
        response.writeHead(307, { location: `${mirror.url}/v2/hub/library/php/manifests/latest` }).end();
        return true;
      },
    });
    const text = `server = "http://127.0.0.1:9"\n[host."${proxy.url}/root"]\ncapabilities = ["pull", "resolve"]\noverride_path = true\n`;
    const hosts = await readContainerdHosts(folder({ '_default/hosts.toml': text }));
    await using client = new RegistryClient({ hosts, baseDelayMs: 1 });
    expect((await client.resolve(parseReference('php'))).digest).toBe(image.manifest.digest);
    expect(paths).toEqual(['/root/library/php/manifests/latest?ns=docker.io']);
  });
});

describe('readDockerCerts()', () => {
  test.each([
    ['a key without its certificate', { 'a.corp/client.key': 'key' }],
    ['a certificate without its key', { 'a.corp/client.cert': 'cert' }],
    [
      'two certificates',
      { 'a.corp/a.cert': '', 'a.corp/a.key': '', 'a.corp/b.cert': '', 'a.corp/b.key': '' },
    ],
  ])('refuses %s', async (_what, files: Readonly<Record<string, string>>) => {
    await expect(readDockerCerts(folder(files))).rejects.toMatchObject({ code: 'INVALID_HOSTS_FILE' });
  });
});
