// A release of 2 out of 3 keys and a root of 2 keys, with one signature missing: every server refuses to take it, and where a
// server that lies shows it, docker, notary and we refuse to believe it.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, createDockerConfig, dockerHost } from '../../../../test/services.ts';
import { notaryServers, type ServerUnderTest } from '../../test/servers.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import { serializeMetadata } from '../metadata/parse.ts';
import { NotaryClient, type NotaryServer } from '../notary/client.ts';
import { signTag } from '../sign.ts';
import { EvilNotary } from '../testing/evil-notary.ts';
import { type RunningNotary, startNotary } from '../testing/notary.ts';
import { resolveTrusted } from '../verify.ts';
import { readSigningRequest, type SigningRequest, signDetached } from './ceremony.ts';
import { TrustedCollection } from './trusted-collection.ts';

const target = (tag: string) => ({ tag, digest: digestOf(tag), size: tag.length });

/** Sets a collection up whose tag `1` two of three keys released, under a root of two keys. */
async function setUp(collection: string, server: NotaryServer): Promise<KeyStore> {
  const [keys, third] = [createKeyStore(), createKeyStore()];
  await signTag(target('0'), { collection, server, keys });
  const team = [
    await keys.generate({ role: 'ann' }),
    await keys.generate({ role: 'bob', algorithm: 'ed25519' }),
    await third.generate({ role: 'cleo' }),
  ];
  const members = team.map(({ publicKey }) => publicKey);
  const [root] = (await rootKeys(keys)).map((keyId) => keys.open(keyId));
  const pair = [await root!, await keys.generate({ role: 'root' })];
  const certificates = await Promise.all(pair.map((keypair) => issueRootCertificate(keypair, collection)));
  await new TrustedCollection(collection, { server, keys })
    .setDelegation({ name: 'targets/releases', keys: members, threshold: 2, paths: [''] })
    .stage({ type: 'role-keys', role: 'root', keys: certificates, threshold: 2 })
    .publish();
  await signTag(target('1'), { collection, server, keys });
  return keys;
}

describe.each(notaryServers)('one signature too few, sent to $name', ({ start }) => {
  let running: ServerUnderTest;
  beforeAll(async () => {
    running = await start();
  });
  afterAll(() => running.close());

  test('is refused for the releases and for the root, also when one is sent twice', async () => {
    const { server } = running;
    const collection = 'few.example.com/app';
    const keys = await setUp(collection, server);
    const draft = () => new TrustedCollection(collection, { server, keys });
    const release = await draft().setTarget(target('2')).prepare();
    await expectRefused(collection, 'targets/releases', release, keys);
    const certificate = await issueRootCertificate(await keys.generate({ role: 'root' }), collection);
    const change = { type: 'role-keys', role: 'root', keys: [certificate], threshold: 1 } as const;
    await expectRefused(collection, 'root', await draft().stage(change).prepare(), keys);
    const read = (tag: string) => resolveTrusted({ collection, tag }, { server, root: { firstUse: true } });
    expect((await read('1')).versions).toMatchObject({ root: 2, 'targets/releases': 1 });
    // Complete, they are taken.
    await draft().publishPrepared(release, [await signDetached(release, keys)]);
    expect((await read('2')).versions).toMatchObject({ root: 2, 'targets/releases': 2 });
    await draft().stage(change).publish();
    expect((await read('2')).versions).toMatchObject({ root: 3 });
  });

  // Past our own checks, which would not send it.
  async function expectRefused(
    collection: string,
    role: string,
    request: SigningRequest,
    keys: KeyStore,
  ): Promise<void> {
    const signed = new Map(readSigningRequest(request, collection)).get(role);
    const { signatures } = await signDetached(request, keys);
    const own = signatures.filter((made) => made.role === role).map(({ signature }) => signature);
    const client = new NotaryClient(running.server);
    for (const few of [own.slice(0, -1), own.slice(0, -1).flatMap((one) => [one, one])]) {
      expect(few.length).toBeGreaterThan(0);
      const parts = [{ role, bytes: serializeMetadata(signed!, few) }];
      await expect(client.publish(collection, parts)).rejects.toMatchObject({ code: 'SERVER_REFUSED' });
    }
    await client.close();
  }
});

describe.skipIf(!available('docker', 'docker-engine', 'notary'))('one signature too few, shown', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-few-'));
  let server: RunningNotary;
  let config: string;
  beforeAll(async () => {
    server = await startNotary({ tls: true });
    config = createDockerConfig(directory, { host: server.host, ca: server.ca ?? '' });
    writeFileSync(join(directory, 'ca.crt'), server.ca ?? '');
  });
  afterAll(async () => {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  test.each(['targets/releases', 'root'])('of %s is believed by nobody', async (role) => {
    const collection = `127.0.0.1:1/few/${role.replace('/', '-')}`;
    const evil = new EvilNotary(server, collection, await setUp(collection, server.server));
    expect(await believers(collection)).toEqual(['imagevet', 'notary', 'docker']);
    evil.write(role, evil.read(role), evil.signatures(role).slice(0, 1));
    await evil.updateSnapshotHashes();
    await evil.updateTimestampHash();
    expect(await believers(collection)).toEqual([]);
  });

  /** Who takes tag `1` for signed, having never seen the collection. */
  async function believers(collection: string): Promise<string[]> {
    const hash = target('1').digest.slice('sha256:'.length);
    const home = mkdtempSync(join(directory, 'reader-'));
    const options = ['-s', server.url, '--tlscacert', join(directory, 'ca.crt'), '-d', home];
    rmSync(join(config, 'trust'), { recursive: true, force: true });
    const verified = resolveTrusted(
      { collection, tag: '1' },
      { server: server.server, root: { firstUse: true } },
    ).then(
      ({ digest }) => digest,
      (error: { code: string }) => {
        expect(error.code).toMatch(/^(THRESHOLD|TAG_NOT_SIGNED)$/);
        return '';
      },
    );
    const answers = {
      imagevet: await verified,
      notary: await printed('notary', [...options, 'list', collection]),
      // No registry is there: it tells what it is going to pull, then fails.
      docker: await printed('docker', ['pull', `${collection}:1`]),
    };
    return Object.entries(answers).flatMap(([name, answer]) => (answer.includes(hash) ? [name] : []));
  }

  async function printed(program: string, args: readonly string[]): Promise<string> {
    const own = { DOCKER_HOST: dockerHost, DOCKER_CONFIG: config, DOCKER_CONTENT_TRUST: '1' };
    const env = { ...process.env, ...own, DOCKER_CONTENT_TRUST_SERVER: server.url };
    const ran = await promisify(execFile)(program, args, { env }).catch(
      (error: { stdout: string; stderr: string }) => error,
    );
    return `${ran.stdout}${ran.stderr}`;
  }
});

async function rootKeys(keys: KeyStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const { keyId, role } of keys.list()) if (role === 'root') ids.push(keyId);
  return ids;
}
