// Docker's own configuration files decide which notary is asked, over which certificates and as whom: the docker CLI and we
// read the same files and meet the same real notary-server behind a token service.
import { execFile } from 'node:child_process';
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOf, dockerConfigKeychain, parseReference } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, startNotaryServer } from '../../../../test/services.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import { signTag } from '../sign.ts';
import { createServerCertificate } from '../testing/server-certificate.ts';
import { resolveTrusted } from '../verify.ts';
import { dockerNotaryServer } from './docker-server.ts';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function dockerConfig(config: object, certificates: Readonly<Record<string, string>> = {}): string {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-docker-config-'));
  folders.push(directory);
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  for (const [path, text] of Object.entries(certificates)) {
    mkdirSync(join(directory, 'tls', path, '..'), { recursive: true });
    writeFileSync(join(directory, 'tls', path), text);
  }
  return directory;
}

const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') });

describe('dockerNotaryServer()', () => {
  test.each<[string, { contentTrustServer?: string; servers?: Record<string, string> }, string]>([
    ['docker.io', {}, 'https://notary.docker.io'],
    ['registry.example.com:5000', {}, 'https://registry.example.com:5000'],
    ['docker.io', { contentTrustServer: 'https://notary.example.com/' }, 'https://notary.example.com'],
    ['docker.io', { contentTrustServer: '' }, 'https://notary.docker.io'],
    [
      'a.example.com',
      {
        contentTrustServer: 'https://all.example.com',
        servers: { 'a.example.com': 'https://a.example.com:4443' },
      },
      'https://a.example.com:4443',
    ],
    [
      'b.example.com',
      {
        contentTrustServer: 'https://all.example.com',
        servers: { 'a.example.com': 'https://a.example.com:4443' },
      },
      'https://all.example.com',
    ],
  ])('%s with %j is at %s', async (registry, options, url) => {
    const directory = dockerConfig({});
    expect((await dockerNotaryServer(registry, { directory, ...options })).url).toBe(url);
  });

  test.each(['http://notary.example.com', 'notary.example.com', 'https://user:secret@notary.example.com'])(
    'refuses DOCKER_CONTENT_TRUST_SERVER=%s, as docker does',
    async (contentTrustServer) => {
      const error = await dockerNotaryServer('docker.io', {
        directory: dockerConfig({}),
        contentTrustServer,
      }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'INVALID_OPTIONS' });
      expect(String(error)).not.toContain('secret');
    },
  );

  test('reads the certificates of tls/<host>, and of no other host', async () => {
    const certificates = {
      'n.example.com:4443/a.crt': 'A',
      'n.example.com:4443/b.crt': 'B',
      'n.example.com:4443/client.cert': 'C',
      'n.example.com:4443/client.key': 'K',
      'n.example.com/other.crt': 'O',
    };
    const directory = dockerConfig({}, certificates);
    expect(await dockerNotaryServer('n.example.com:4443', { directory })).toMatchObject({
      ca: 'A\nB',
      clientCertificate: { cert: 'C', key: 'K' },
    });
    const none = await dockerNotaryServer('m.example.com', { directory });
    expect(none).not.toHaveProperty('ca');
    expect(none).not.toHaveProperty('clientCertificate');
  });

  test.each([
    [{ 'n.example.com/client.cert': 'C' }],
    [{ 'n.example.com/client.key': 'K' }],
    [
      {
        'n.example.com/a.cert': 'C',
        'n.example.com/a.key': 'K',
        'n.example.com/b.cert': 'C',
        'n.example.com/b.key': 'K',
      },
    ],
  ])('refuses client certificates that do not pair up: %j', async (certificates) => {
    const directory = dockerConfig({}, certificates);
    await expect(dockerNotaryServer('n.example.com', { directory })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
    });
  });

  test("shows the registry's credentials: of Docker Hub, of a helper, an identity token, and nobody's", async () => {
    const directory = dockerConfig({
      auths: {
        'https://index.docker.io/v1/': auth('hub:one'),
        'r.example.com': { identitytoken: 'refresh' },
        'notary.example.com': auth('not:asked'),
      },
      credHelpers: { 'h.example.com': 'imagevet-test' },
    });
    const helper = join(directory, 'docker-credential-imagevet-test');
    writeFileSync(helper, `#!/bin/sh\nread server\necho '{"Username":"'$server'","Secret":"two"}'\n`);
    chmodSync(helper, 0o755);
    const keychain = dockerConfigKeychain({ directory, helperDirectory: directory });
    const contentTrustServer = 'https://notary.example.com';
    const ask = async (registry: string) => {
      const { credentials } = await dockerNotaryServer(registry, { directory, keychain, contentTrustServer });
      if (typeof credentials !== 'function') throw new Error('expected a provider');
      return credentials({ url: contentTrustServer, collection: `${registry}/app` });
    };
    expect(await ask('docker.io')).toEqual({ username: 'hub', password: 'one' });
    expect(await ask('h.example.com')).toEqual({ username: 'h.example.com', password: 'two' });
    expect(await ask('r.example.com')).toEqual({ identityToken: 'refresh' });
    expect(await ask('x.example.com')).toBeUndefined();
  });
});

describe.skipIf(!available('notary-server', 'docker', 'openssl'))(
  'a notary-server behind a token service, by docker config alone',
  () => {
    const closing: (() => Promise<unknown>)[] = [];
    let stage: {
      registry: string;
      directory: (password: string) => string;
      contentTrustServer: string;
      asked: string[];
    };

    beforeAll(async () => {
      const folder = mkdtempSync(join(tmpdir(), 'imagevet-token-'));
      folders.push(folder);
      const service = await startTokenService(folder);
      closing.push(service.close);
      const notary = await startNotaryServer({
        auth: {
          realm: `${service.url}/token`,
          service: 'notary-test',
          issuer: 'imagevet-test',
          rootcertbundle: service.certificateFile,
        },
      });
      closing.push(notary.close);
      const registry = '127.0.0.1:5000';
      stage = {
        registry,
        contentTrustServer: notary.url,
        asked: service.asked,
        // One certificate authority each: docker trusts both for this host.
        directory: (password) =>
          dockerConfig(
            { auths: { [registry]: auth(`alice:${password}`) } },
            { [`${notary.host}/notary.crt`]: notary.ca, [`${notary.host}/token.crt`]: service.ca },
          ),
      };
    });
    afterAll(async () => {
      for (const close of closing.reverse()) await close();
    });

    test('we publish and verify, docker trust inspect reads it, and a wrong password is refused', async () => {
      const { registry, contentTrustServer } = stage;
      const collection = `${registry}/team/app`;
      const directory = stage.directory('open sesame');
      const server = await dockerNotaryServer(registry, { directory, contentTrustServer });
      const target = { tag: '1', digest: digestOf('1'), size: 1 };
      const { rootKeyIds } = await signTag(target, { collection, server, keys: createKeyStore() });
      const root = { keyIds: rootKeyIds };
      const subject = parseReference(`${collection}:1`);
      expect((await resolveTrusted(subject, { server, root })).digest).toBe(target.digest);
      expect(stage.asked).toContain(`alice repository:${collection}:push,pull`);
      expect(stage.asked).toContain(`alice repository:${collection}:pull`);

      const { stdout } = await promisify(execFile)('docker', ['trust', 'inspect', collection], {
        env: { ...process.env, DOCKER_CONFIG: directory, DOCKER_CONTENT_TRUST_SERVER: contentTrustServer },
      });
      expect(JSON.parse(stdout)[0].SignedTags[0]).toMatchObject({
        SignedTag: '1',
        Digest: target.digest.slice('sha256:'.length),
      });

      const wrong = await dockerNotaryServer(registry, {
        directory: stage.directory('wrong'),
        contentTrustServer,
      });
      await expect(resolveTrusted(subject, { server: wrong, root })).rejects.toMatchObject({
        code: 'DENIED',
      });
      const nobody = await dockerNotaryServer('127.0.0.1:5001', { directory, contentTrustServer });
      await expect(resolveTrusted({ collection, tag: '1' }, { server: nobody, root })).rejects.toMatchObject({
        code: 'DENIED',
      });
    });
  },
);

/** Gives tokens notary-server takes: ES256, with the certificate of the key inside. */
async function startTokenService(folder: string) {
  const openssl = promisify(execFile);
  await openssl(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-keyout', 'token.key', '-out', 'token.crt', '-subj', '/CN=imagevet-test-tokens'],
    ],
    { cwd: folder },
  );
  const key = createPrivateKey(readFileSync(join(folder, 'token.key')));
  const certificate = new X509Certificate(readFileSync(join(folder, 'token.crt')));
  const tls = await createServerCertificate();
  const asked: string[] = [];
  const server = createServer(tls, (request, response) => {
    const query = new URL(request.url ?? '/', 'https://token').searchParams;
    const [user, password] = Buffer.from((request.headers.authorization ?? '').slice(6), 'base64')
      .toString()
      .split(':');
    if (user !== 'alice' || password !== 'open sesame') {
      response.writeHead(401).end('{}');
      return;
    }
    const scopes = query.getAll('scope');
    for (const scope of scopes) asked.push(`${user} ${scope}`);
    response.end(JSON.stringify({ token: token(scopes), expires_in: 300 }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = (scopes: readonly string[]): string => {
    const seconds = Math.floor(Date.now() / 1000);
    const head = base64({ typ: 'JWT', alg: 'ES256', x5c: [certificate.raw.toString('base64')] });
    const access = scopes.map((scope) => {
      const [type, ...rest] = scope.split(':');
      const actions = (rest.pop() ?? '').split(',');
      return { type, name: rest.join(':'), actions };
    });
    const claims = base64({
      ...{ iss: 'imagevet-test', aud: 'notary-test', sub: 'alice', jti: randomUUID(), access },
      ...{ exp: seconds + 300, nbf: seconds - 30, iat: seconds },
    });
    const signature = sign('sha256', Buffer.from(`${head}.${claims}`), { key, dsaEncoding: 'ieee-p1363' });
    return `${head}.${claims}.${signature.toString('base64url')}`;
  };
  return {
    asked,
    ca: tls.cert,
    certificateFile: join(folder, 'token.crt'),
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
