import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, type NotaryService, startNotaryServer } from '../../../../test/services.ts';
import { notaryServers, type ServerUnderTest } from '../../test/servers.ts';
import { healCollection } from '../collection/heal.ts';
import { createMemoryRotationJournal, rotateKey } from '../collection/rotation.ts';
import { signWithStore } from '../collection/signing.ts';
import { TrustedCollection } from '../collection/trusted-collection.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { serializeMetadata } from '../metadata/parse.ts';
import { NotaryClient } from '../notary/client.ts';
import { signTag } from '../sign.ts';
import { authorityOf } from '../verify/signatures.ts';
import { resolveTrusted } from '../verify.ts';
import { diagnoseCollection } from './diagnose-collection.ts';
import { diagnoseDocker } from './diagnose-docker.ts';

const DAY_MS = 86_400_000;
const target = (tag: string, content = tag) => ({ tag, digest: digestOf(content), size: content.length });

describe.each(notaryServers)('against $name', ({ start }) => {
  let running: ServerUnderTest;
  let keys: KeyStore;
  beforeAll(async () => {
    running = await start();
    keys = createKeyStore();
  });
  afterAll(() => running.close());

  test('diagnoseCollection() finds nothing in a new collection, and everything later', async () => {
    const { server } = running;
    const collection = 'doctor.example.com/app';
    const { rootKeyIds } = await signTag(target('1'), { collection, server, keys });
    const options = { server, root: { keyIds: rootKeyIds }, keys };
    expect(await diagnoseCollection(collection, options)).toEqual([]);
    const at = (days: number) => () => new Date(Date.now() + days * DAY_MS);
    const codes = async (days: number) =>
      (await diagnoseCollection(collection, { ...options, now: at(days) })).map(
        ({ code, role }) => `${code} ${role}`,
      );
    expect(await codes(1000)).toEqual(['expiring-role targets']);
    expect(await codes(1100)).toEqual(['expired-role targets']);
    expect(await codes(3000)).toEqual(['expired-role targets', 'root-certificate-expires root']);
    expect(await codes(3651)).toContain('root-certificate-expires root');
  });

  test('diagnoseCollection() tells that a snapshot expires whose key the publisher holds, and of no other', async () => {
    const { server } = running;
    for (const snapshotKey of ['client', 'server'] as const) {
      const collection = `doctor-snapshot.example.com/by-the-${snapshotKey}`;
      const { rootKeyIds } = await signTag(target('1'), { collection, server, keys, snapshotKey });
      const now = () => new Date(Date.now() + 1000 * DAY_MS);
      const found = await diagnoseCollection(collection, { server, keys, root: { keyIds: rootKeyIds }, now });
      const roles = snapshotKey === 'client' ? ['snapshot', 'targets'] : ['targets'];
      expect(found.map(({ code, role }) => `${code} ${role}`).sort()).toEqual(
        roles.map((role) => `expiring-role ${role}`),
      );
    }
  });

  test('diagnoseCollection() tells of removed signers, old tags docker falls back to, and orphan keys', async () => {
    const { server } = running;
    const collection = 'doctor-signers.example.com/app';
    const ci = createKeyStore();
    const alice = await ci.generate({ role: 'alice' });
    const bob = await createKeyStore().generate({ role: 'bob' });
    const { rootKeyIds } = await signTag(target('1', 'old'), { collection, server, keys });
    const root = { keyIds: rootKeyIds };
    const draft = () => new TrustedCollection(collection, { server, keys });
    await draft().addSigner('alice', [alice.publicKey]).addSigner('bob', [bob.publicKey]).publish();
    await signTag(target('1', 'new'), { collection, server, keys: ci, root });
    await rotateKey(collection, 'targets', { server, keys, journal: createMemoryRotationJournal() });
    const codes = async () =>
      (await diagnoseCollection(collection, { server, root, keys })).map(({ code }) => code);
    expect([...(await codes())].sort()).toEqual(['orphan-key', 'stale-fallback']);
    await draft().removeSigner('alice').publish();
    expect(await codes()).toContain('invalid-role');
  });
});

describe.skipIf(!available('notary-server'))('a collection that notary-server broke', () => {
  let notary: NotaryService;
  beforeAll(async () => {
    notary = await startNotaryServer();
  });
  afterAll(() => notary.close());

  // Each is signed right and answered 200, and cannot be read afterwards.
  test.each<[string, (text: string) => string, (expires: string) => string]>([
    ['a time with zeros at the end', (text) => text, (expires) => expires.replace('Z', '.120Z')],
    ['a time with an offset of zero', (text) => text, (expires) => expires.replace('Z', '+00:00')],
    ['a space at the end', (text) => `${text}\n`, (expires) => expires],
    [
      'a method in upper case',
      (text) => text.replace('"ecdsa","sig"', '"ECDSA","sig"'),
      (expires) => expires,
    ],
  ])('by %s is told by diagnoseCollection() and mended by healCollection()', async (name, spell, expire) => {
    const collection = `broken.example.com/${name.replace(/ /g, '-')}`;
    const server = { url: notary.url, ca: notary.ca };
    const keys = createKeyStore();
    const { rootKeyIds } = await signTag(target('1'), { collection, server, keys });
    const root = { keyIds: rootKeyIds };
    const verified = await new TrustedCollection(collection, { server, keys }).refresh();
    const targets = await verified?.role('targets');
    if (verified === undefined || targets === undefined) throw new Error('nothing was published');
    const signed = { ...targets.file.signed, expires: expire('2029-01-01T00:00:00Z'), version: 2 };
    const authority = authorityOf(verified.root.signed.roles.targets, verified.root.signed.keys);
    const text = Buffer.from(
      serializeMetadata(signed, await signWithStore(signed, [authority], keys)),
    ).toString();
    const client = new NotaryClient(server);
    await client.publish(collection, [{ role: 'targets', bytes: Buffer.from(spell(text)) }]);
    await client.close();
    const resolve = () => resolveTrusted({ collection, tag: '1' }, { server, root });
    await expect(resolve()).rejects.toMatchObject({ name: 'TrustError' });
    const [diagnosis] = await diagnoseCollection(collection, { server, root });
    expect(diagnosis).toMatchObject({
      code: 'broken-collection',
      remedy: expect.stringContaining('healCollection'),
    });
    const healed = await healCollection(collection, { server, keys });
    expect(healed?.roles).toEqual(['targets']);
    expect((await resolve()).versions.targets).toBe(3);
    expect(await diagnoseCollection(collection, { server, root })).toEqual([]);
    expect(await healCollection(collection, { server, keys })).toBeUndefined();
  });
});

describe('diagnoseDocker()', () => {
  const now = new Date('2026-11-23T00:00:00Z');
  test.each<[Parameters<typeof diagnoseDocker>[0], readonly string[]]>([
    [{ version: '28.2.2', contentTrust: '1', contentTrustServer: 'https://notary.example.com' }, []],
    [{ version: '29.0.0', contentTrust: '0' }, []],
    [
      { version: '29.0.0', contentTrust: '1', contentTrustServer: 'https://n' },
      ['docker-does-not-verify error'],
    ],
    [
      { version: '29.0.0', contentTrust: 'yes', contentTrustServer: 'https://n' },
      ['docker-does-not-verify error'],
    ],
    [{ version: '28.2.2', contentTrust: '1' }, ['hub-notary-closes warning']],
    [{ version: '28.2.2', contentTrust: '1', contentTrustServer: '' }, ['hub-notary-closes warning']],
    [{ version: '28.2.2', contentTrustServer: '' }, []],
    [{ version: '28.2.2', contentTrustServer: 'https://notary.docker.io' }, ['hub-notary-closes warning']],
    [{ contentTrust: '1', contentTrustServer: 'https://notary.docker.io.example.com' }, []],
  ])('%j: %j', (docker, expected) => {
    expect(diagnoseDocker(docker, now).map(({ code, severity }) => `${code} ${severity}`)).toEqual(expected);
  });

  test('tells that the Hub notary is closed, once it is', () => {
    const [diagnosis] = diagnoseDocker({ contentTrust: '1' }, new Date('2026-12-09T00:00:00Z'));
    expect(diagnosis).toMatchObject({ code: 'hub-notary-closes', severity: 'error' });
  });
});
