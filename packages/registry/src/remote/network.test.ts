// Certificates and proxies: what stands between the client and a registry.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { available, startDockerRegistry } from '../../../../test/services.ts';
import { resolveImage } from '../content/image.ts';
import { readBlob } from '../content/read.ts';
import { isInternalAddress } from '../http/egress.ts';
import { parseReference } from '../reference.ts';
import { startProxy } from '../testing/connect-proxy.ts';
import { pushTestImage } from '../testing/image.ts';
import { startRegistry, type TestRegistryOptions } from '../testing/registry.ts';
import { makeCertificates, type TestCertificates } from '../testing/tls.ts';
import { RegistryClient, type RegistryClientOptions } from './client.ts';
import { readDockerCerts } from './docker-certs.ts';

const NAME = parseReference('example.test/app:1');
const LAYERS = [[{ path: 'a', content: 'a'.repeat(100_000) }]];

describe.skipIf(!available('openssl'))('RegistryClient over TLS', () => {
  let own: TestCertificates;
  let foreign: TestCertificates;
  beforeAll(async () => {
    [own, foreign] = await Promise.all([makeCertificates(), makeCertificates()]);
  });
  const mutual = () => startRegistry({ tls: { ...own.server, clientCa: own.ca } });
  const plain = () => startRegistry({ tls: own.server });
  const client = (url: string, host: object) =>
    new RegistryClient({ hosts: { 'example.test': { url, ...host } }, baseDelayMs: 1 });

  test('trusts the authority of a host, and shows it a client certificate', async () => {
    await using registry = await mutual();
    await using reader = client(registry.url, { ca: own.ca, ...own.client });
    const image = await pushTestImage(reader, NAME, { layers: LAYERS });
    expect(await resolveImage(NAME, { source: reader })).toEqual(image);
  });

  test('reads certificates from the folders of docker, and keeps the built-in authorities beside them', async () => {
    await using registry = await mutual();
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-certs-'));
    const folder = join(directory, registry.host);
    mkdirSync(folder);
    writeFileSync(join(folder, 'ca.crt'), own.ca);
    writeFileSync(join(folder, 'client.cert'), own.client.cert);
    writeFileSync(join(folder, 'client.key'), own.client.key);
    try {
      await using reader = new RegistryClient({
        hosts: { 'example.test': { url: registry.url } },
        certificates: await readDockerCerts(directory),
      });
      const image = await pushTestImage(reader, NAME, { layers: LAYERS });
      expect((await reader.resolve(NAME)).digest).toBe(image.manifest.digest);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test.each([
    ['no authority', () => ({}), /as `ca`/],
    ['another authority', () => ({ ca: foreign.ca }), /as `ca`/],
  ] as const)('ends with a hint for %s, without another try', async (_what, host, hint) => {
    await using registry = await plain();
    await using reader = client(registry.url, host());
    await expect(reader.resolve(NAME)).rejects.toMatchObject({
      code: 'UNTRUSTED_CERTIFICATE',
      hint: expect.stringMatching(hint),
    });
    expect(registry.requests).toEqual([]);
  });

  test('ends for a certificate of another name', async () => {
    await using registry = await startRegistry({ tls: own.server, address: '127.0.0.2' });
    await using reader = client(registry.url, { ca: own.ca });
    await expect(reader.resolve(NAME)).rejects.toMatchObject({
      code: 'UNTRUSTED_CERTIFICATE',
      message: expect.stringContaining('ERR_TLS_CERT_ALTNAME_INVALID'),
    });
  });

  test('skips verification for the endpoint that says so, and for no other of the same origin', async () => {
    await using registry = await plain();
    const hosts = {
      endpoints: ({ repository }: { readonly repository: string }) => [
        { url: registry.url, skipVerify: repository === 'app' },
      ],
    };
    await using reader = new RegistryClient({ hosts, baseDelayMs: 1 });
    const image = await pushTestImage(reader, NAME, { layers: LAYERS });
    expect((await reader.resolve(NAME)).digest).toBe(image.manifest.digest);
    await expect(reader.resolve({ ...NAME, repository: 'other' })).rejects.toMatchObject({
      code: 'UNTRUSTED_CERTIFICATE',
    });
  });

  test('reads through a tunnel, end to end', async () => {
    await using registry = await mutual();
    await using proxy = await startProxy();
    const { port } = new URL(registry.url);
    const url = `https://registry.test:${port}`;
    await using reader = new RegistryClient({
      hosts: { 'example.test': { url, ca: own.ca, ...own.client } },
      proxy: { https: proxy.url },
    });
    const image = await pushTestImage(reader, NAME, { layers: LAYERS });
    expect(await resolveImage(NAME, { source: reader })).toEqual(image);
    expect(new Set(proxy.requests)).toEqual(new Set([`CONNECT registry.test:${port}`]));
    await using distrustful = new RegistryClient({
      hosts: { 'example.test': { url } },
      proxy: { https: proxy.url },
    });
    await expect(distrustful.resolve(NAME)).rejects.toMatchObject({ code: 'UNTRUSTED_CERTIFICATE' });
  });
});

describe.skipIf(!available('openssl', 'docker-registry'))(
  'RegistryClient and a docker-registry with mutual TLS',
  () => {
    test('are let in by the certificate the registry wants, and told of any other', async () => {
      const [own, foreign] = await Promise.all([makeCertificates(), makeCertificates()]);
      const registry = await startDockerRegistry({ tls: { ...own.server, clientCa: own.ca } });
      const client = (host: object) =>
        new RegistryClient({ hosts: { 'example.test': { url: registry.url, ...host } }, baseDelayMs: 1 });
      try {
        await using reader = client({ ca: own.ca, ...own.client });
        const image = await pushTestImage(reader, NAME, { layers: LAYERS });
        expect((await reader.resolve(NAME)).digest).toBe(image.manifest.digest);
        for (const credentials of [{}, foreign.client]) {
          await using stranger = client({ ca: own.ca, ...credentials });
          await expect(stranger.resolve(NAME)).rejects.toMatchObject({
            // The registry's alert may be lost with the connection.
            code: expect.stringMatching(/^(?:UNTRUSTED_CERTIFICATE|UNREACHABLE)$/),
            hint: expect.stringContaining('`cert` and `key`'),
          });
        }
      } finally {
        await registry.close();
      }
    });
  },
);

describe('RegistryClient behind a proxy', () => {
  /** A registry only the proxy knows by its name. */
  async function hidden(
    options: {
      readonly proxy?: object;
      readonly server?: TestRegistryOptions;
      readonly client?: RegistryClientOptions;
    } = {},
  ) {
    const registry = await startRegistry(options.server);
    const proxy = await startProxy(options.proxy);
    const { port } = new URL(registry.url);
    const client = new RegistryClient({
      hosts: { 'example.test': { url: `http://registry.test:${port}` } },
      proxy: { http: proxy.url },
      baseDelayMs: 1,
      ...options.client,
    });
    return {
      registry,
      proxy,
      client,
      port,
      [Symbol.asyncDispose]: async () => {
        await client.close();
        await proxy[Symbol.asyncDispose]();
        await registry.close();
      },
    };
  }

  test('reads and writes through it', async () => {
    await using it = await hidden();
    const image = await pushTestImage(it.client, NAME, { layers: LAYERS });
    const read = await resolveImage(NAME, { source: it.client });
    await readBlob(it.client, NAME, read.layers[0] ?? read.config, {});
    expect(read).toEqual(image);
    expect(it.proxy.requests.every((line) => line.includes(`http://registry.test:${it.port}/v2/`))).toBe(
      true,
    );
  });

  test('shows it its own credentials, and the registry none of them', async () => {
    const user = { username: 'p', password: 'q' };
    await using it = await hidden({ proxy: user });
    await expect(it.client.resolve(NAME)).rejects.toMatchObject({
      code: 'DENIED',
      hint: expect.stringContaining('user:password'),
    });
    const proxy = { http: it.proxy.url.replace('//', '//p:q@') };
    const hosts = { 'example.test': { url: `http://registry.test:${it.port}` } };
    await using admitted = new RegistryClient({ hosts, proxy });
    await pushTestImage(admitted, NAME, { layers: LAYERS });
    expect(it.registry.authorizations).toEqual([]);
  });

  test('goes directly where `no` says', async () => {
    await using it = await hidden();
    const hosts = { 'example.test': { url: it.registry.url } };
    await using direct = new RegistryClient({ hosts, proxy: { http: it.proxy.url, no: 'registry.test' } });
    await pushTestImage(direct, NAME, { layers: LAYERS });
    expect(it.proxy.requests).toEqual([]);
  });

  test('leaves it to the proxy where a name leads that is not known here', async () => {
    await using store = await startRegistry();
    const elsewhere = `http://store.test:${new URL(store.url).port}`;
    await using it = await hidden({ server: { elsewhere } });
    const image = await pushTestImage(it.client, NAME, { layers: LAYERS });
    await using direct = new RegistryClient({ hosts: { 'example.test': { url: store.url } } });
    await pushTestImage(direct, NAME, { layers: LAYERS });
    it.registry.misbehave('redirect-content');
    expect((await it.client.fetchManifest(NAME)).descriptor).toEqual(image.manifest);
    expect(it.proxy.requests.at(-1)).toContain(elsewhere);
  });

  test.each(['http://169.254.169.254', 'http://localhost:1', 'http://10.0.0.1'])(
    'does not let content lead it to %s',
    async (elsewhere) => {
      await using it = await hidden({
        server: { elsewhere },
        client: { isInternalAddress },
      });
      await pushTestImage(it.client, NAME, { layers: LAYERS });
      it.registry.misbehave('redirect-content');
      const before = it.proxy.requests.length;
      await expect(it.client.fetchManifest(NAME)).rejects.toMatchObject({ code: 'EGRESS_REFUSED' });
      expect(it.proxy.requests.length - before).toBe(1);
    },
  );
});
