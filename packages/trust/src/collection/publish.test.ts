import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { notaryServers, type ServerUnderTest } from '../../test/servers.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { generateKeypair } from '../keys/keypair.ts';
import { tufKeyId } from '../keys/public-key.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import { signTag, signTags } from '../sign.ts';
import { EvilNotary } from '../testing/evil-notary.ts';
import { startNotary } from '../testing/notary.ts';
import { createMemoryTrustState } from '../verify/state.ts';
import { listTrusted, resolveTrusted } from '../verify.ts';
import { createMemoryRotationJournal, rotateKey } from './rotation.ts';
import { TrustedCollection } from './trusted-collection.ts';

const target = (tag: string, content = tag) => ({ tag, digest: digestOf(content), size: content.length });

describe.each(notaryServers)('against $name', ({ start }) => {
  let running: ServerUnderTest;
  let keys: KeyStore;
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-trust-'));
  beforeAll(async () => {
    running = await start();
    keys = createKeyStore({ directory, passphrase: 'passphrase one' });
  });
  afterAll(async () => {
    await running.close();
    rmSync(directory, { recursive: true });
  });

  test('signTags() sets a collection up, and a fresh client with the pinned root resolves every tag', async () => {
    const collection = 'one.example.com/library/php';
    const { server } = running;
    const targets = [target('8.4', 'image'), target('8.4-20261123', 'image')];
    const signed = await signTags({ collection, server, keys, targets });
    expect(signed).toMatchObject({
      created: true,
      roles: ['root', 'targets'],
      versions: { root: 1, targets: 1 },
    });
    const options = { server, root: { keyIds: signed.rootKeyIds } };
    for (const { tag, digest } of targets) {
      const resolved = await resolveTrusted({ collection, tag }, options);
      expect(resolved).toMatchObject({ digest, length: 5, role: 'targets', keyIds: signed.keyIds });
    }
    const listed = await listTrusted({ collection }, options);
    expect(listed.map(({ tag }) => tag)).toEqual(['8.4', '8.4-20261123']);
  });

  test('signTag() adds to a collection and keeps what it holds', async () => {
    const collection = 'two.example.com/app';
    const { server } = running;
    const first = await signTag(target('1'), { collection, server, keys });
    const second = await signTag(target('2'), { collection, server, keys });
    expect(second).toMatchObject({ created: false, roles: ['targets'], rootKeyIds: first.rootKeyIds });
    const listed = await listTrusted({ collection }, { server, root: { keyIds: first.rootKeyIds } });
    expect(listed.map(({ tag }) => tag)).toEqual(['1', '2']);
  });

  test('publish() applies its changes again when somebody else published in between', async () => {
    const collection = 'race.example.com/app';
    const { server } = running;
    await signTag(target('0'), { collection, server, keys });
    const tags = Array.from({ length: 12 }, (_, index) => String.fromCharCode(97 + index));
    await Promise.all(tags.map((tag) => signTag(target(tag), { collection, server, keys })));
    const listed = await listTrusted({ collection }, { server, root: { firstUse: true } });
    expect(listed.map(({ tag }) => tag)).toEqual(['0', ...tags]);
  });

  test('rotations at once, of several keys, all happen', async () => {
    const collection = 'race-roots.example.com/app';
    const own = { server: running.server, keys };
    const { rootKeyIds } = await signTag(target('0'), { collection, ...own });
    const roles = ['targets', 'timestamp', 'targets', 'timestamp'] as const;
    const rotated = await Promise.all(
      roles.map((role) => rotateKey(collection, role, { ...own, journal: createMemoryRotationJournal() })),
    );
    const found = await resolveTrusted(
      { collection, tag: '0' },
      { server: running.server, root: { keyIds: rootKeyIds } },
    );
    expect(found.versions.root).toBe(5);
    expect(found.keyIds.every((id) => rotated.some(({ newKeyId }) => newKeyId === id))).toBe(true);
  });

  test('resolveTrusted() refuses another root than the pinned one', async () => {
    const collection = 'pin.example.com/app';
    const { server } = running;
    await signTag(target('1'), { collection, server, keys });
    const root = { keyIds: [generateKeypair().keyId] };
    await expect(resolveTrusted({ collection, tag: '1' }, { server, root })).rejects.toMatchObject({
      code: 'ROOT_MISMATCH',
    });
    await expect(resolveTrusted({ collection, tag: '1' }, { server })).rejects.toMatchObject({
      code: 'ROOT_NOT_PINNED',
    });
  });

  test('resolveTrusted() tells an unsigned tag from an unsigned collection', async () => {
    const collection = 'absent.example.com/app';
    const { server } = running;
    const root = { firstUse: true } as const;
    const ask = () => resolveTrusted({ collection, tag: 'none' }, { server, root });
    await expect(ask()).rejects.toMatchObject({ code: 'NOT_SIGNED' });
    await signTag(target('1'), { collection, server, keys });
    await expect(ask()).rejects.toMatchObject({ code: 'TAG_NOT_SIGNED' });
  });

  test('resolveTrusted() verifies a reference that already has a digest', async () => {
    const { server } = running;
    const image = { registry: 'digest.example.com', repository: 'app' };
    await signTag(target('1'), { collection: 'digest.example.com/app', server, keys });
    const options = { server, root: { firstUse: true } } as const;
    const byDigest = await resolveTrusted({ ...image, digest: digestOf('1') }, options);
    expect(byDigest.tag).toBe('1');
    const other = { ...image, digest: digestOf('2') };
    await expect(resolveTrusted(other, options)).rejects.toMatchObject({ code: 'DIGEST_NOT_SIGNED' });
    await expect(resolveTrusted({ ...other, tag: '1' }, options)).rejects.toMatchObject({
      code: 'DIGEST_NOT_SIGNED',
    });
  });

  test('removeTarget() unsigns a tag', async () => {
    const collection = 'remove.example.com/app';
    const { server } = running;
    await signTags({ collection, server, keys, targets: [target('1'), target('2')] });
    await new TrustedCollection(collection, { server, keys }).removeTarget('1').publish();
    const listed = await listTrusted({ collection }, { server, root: { firstUse: true } });
    expect(listed.map(({ tag }) => tag)).toEqual(['2']);
    const again = new TrustedCollection(collection, { server, keys }).removeTarget('1').publish();
    await expect(again).rejects.toMatchObject({ code: 'TAG_NOT_SIGNED' });
  });

  test('a publisher who holds the snapshot key signs the snapshot', async () => {
    const collection = 'client-snapshot.example.com/app';
    const { server } = running;
    await signTag(target('1'), { collection, server, keys, snapshotKey: 'client' });
    const second = await signTag(target('2'), { collection, server, keys });
    expect(second.versions).toMatchObject({ snapshot: 2, targets: 2 });
    expect((await listTrusted({ collection }, { server, root: { firstUse: true } })).length).toBe(2);
  });

  test('removeSigner() really removes: what they sign alone no longer counts', async () => {
    const collection = 'signers.example.com/app';
    const { server } = running;
    const [alice, bob] = [createKeyStore(), createKeyStore()];
    const aliceKey = await alice.generate({ role: 'alice' });
    const bobKey = await bob.generate({ role: 'bob' });
    const { rootKeyIds } = await signTag(target('0'), { collection, server, keys });
    const root = { keyIds: rootKeyIds };
    const draft = () => new TrustedCollection(collection, { server, keys });
    await draft().addSigner('alice', [aliceKey.publicKey]).addSigner('bob', [bobKey.publicKey]).publish();
    await signTag(target('1'), { collection, server, keys: alice, root });
    await signTag(target('2'), { collection, server, keys: bob, root });
    const resolve = (tag: string) => resolveTrusted({ collection, tag }, { server, root });
    expect((await resolve('1')).role).toBe('targets/releases');
    // Nobody who stays signed again: readers refuse the releases until bob does.
    const removed = await draft().removeSigner('alice').publish();
    expect(removed.invalidRoles).toEqual([]);
    expect((await resolve('1')).keyIds).toEqual([bobKey.keyId]);
    await signTag(target('3'), { collection, server, keys: bob, root });
    await expect(signTag(target('4'), { collection, server, keys: alice, root })).rejects.toMatchObject({
      code: 'KEY_NOT_FOUND',
    });
    await draft().removeSigner('bob').publish();
    expect((await resolve('0')).role).toBe('targets');
    await expect(draft().removeSigner('bob').publish()).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
    // A signer who comes back goes on from the versions the server keeps.
    await draft().addSigner('alice', [aliceKey.publicKey]).publish();
    const back = () => new TrustedCollection(collection, { server, keys: alice, root });
    await expect(back().setTarget(target('5')).publish()).rejects.toMatchObject({
      code: 'WRONG_KEY',
      hint: expect.stringContaining('witness()'),
    });
    const again = await back().reset('targets/releases').setTarget(target('5')).publish();
    expect(again.versions['targets/alice']).toBe(2);
    await expect(resolve('3')).rejects.toMatchObject({ code: 'TAG_NOT_SIGNED' });
    expect((await resolve('5')).keyIds).toEqual([aliceKey.keyId]);
  });

  test('removeSigner() tells when the releases wait for another signature', async () => {
    const collection = 'removed.example.com/app';
    const { server } = running;
    const ci = createKeyStore();
    const alice = await ci.generate({ role: 'alice' });
    const bob = createKeyStore();
    const bobKey = await bob.generate({ role: 'bob' });
    const { rootKeyIds } = await signTag(target('0'), { collection, server, keys });
    const root = { keyIds: rootKeyIds };
    const draft = () => new TrustedCollection(collection, { server, keys });
    await draft().addSigner('alice', [alice.publicKey]).addSigner('bob', [bobKey.publicKey]).publish();
    await signTag(target('1'), { collection, server, keys: ci, root });
    const removed = await draft().removeSigner('alice').publish();
    expect(removed.invalidRoles).toEqual(['targets/releases']);
    const resolve = () => resolveTrusted({ collection, tag: '1' }, { server, root });
    await expect(resolve()).rejects.toMatchObject({ code: 'WRONG_KEY' });
    await new TrustedCollection(collection, { server, keys: bob, root })
      .witness('targets/releases')
      .publish();
    expect((await resolve()).keyIds).toEqual([bobKey.keyId]);
  });

  test('a delegation signs tags, and docker’s roles decide which count', async () => {
    const collection = 'delegation.example.com/app';
    const { server } = running;
    const alice = generateKeypair('ed25519');
    const ci = createKeyStore();
    await ci.add(alice, { role: 'alice' });
    const { rootKeyIds } = await signTag(target('1'), { collection, server, keys });
    const root = { keyIds: rootKeyIds };
    const delegation = { keys: [alice.publicKey], threshold: 1, paths: [''] };
    await new TrustedCollection(collection, { server, keys })
      .setDelegation({ name: 'targets/releases', ...delegation })
      .setDelegation({ name: 'targets/alice', ...delegation })
      .publish();
    const signed = await signTag(target('2'), { collection, server, keys: ci, root });
    expect([...signed.roles].sort()).toEqual(['targets/alice', 'targets/releases']);
    const found = await resolveTrusted({ collection, tag: '2' }, { server, root });
    expect(found).toMatchObject({ role: 'targets/releases', keyIds: [alice.keyId] });
    await signTag(target('3'), { collection, server, keys: ci, root, roles: ['targets/alice'] });
    await expect(resolveTrusted({ collection, tag: '3' }, { server, root })).rejects.toMatchObject({
      code: 'TAG_NOT_SIGNED',
      message: expect.stringContaining('signed only by targets/alice'),
    });
    await expect(signTag(target('4'), { collection, server, keys })).rejects.toMatchObject({
      code: 'KEY_NOT_FOUND',
    });
  });
});

test.each(['ed25519', 'rsa-3072', 'ecdsa-p384'] as const)(
  'a collection with %s keys is set up, and its root and targets are rotated',
  async (keyAlgorithm) => {
    const notary = await startNotary();
    const { server } = notary;
    const collection = 'algorithm.example.com/app';
    const options = { server, keys: createKeyStore(), keyAlgorithm };
    const { rootKeyIds } = await signTag(target('1'), { collection, ...options });
    for (const role of ['root', 'targets'] as const)
      await rotateKey(collection, role, { ...options, journal: createMemoryRotationJournal() });
    const found = await resolveTrusted({ collection, tag: '1' }, { server, root: { keyIds: rootKeyIds } });
    expect(found.versions).toMatchObject({ root: 3, targets: 2 });
    const [signature] = new EvilNotary(notary, collection, options.keys).signatures('targets');
    expect(signature?.method).toBe(
      { ed25519: 'eddsa', 'rsa-3072': 'rsapss', 'ecdsa-p384': 'ecdsa' }[keyAlgorithm],
    );
    await notary.close();
  },
);

test('role-keys staged for a new collection are its first: no other root key is asked for', async () => {
  const notary = await startNotary();
  const { server } = notary;
  const collection = 'given.example.com/app';
  // A root key of other collections, under a passphrase this publisher does not know.
  const place = mkdtempSync(join(tmpdir(), 'imagevet-given-'));
  await createKeyStore({ directory: place, passphrase: 'somebody else' }).generate({ role: 'root' });
  const keys = createKeyStore({ directory: place, passphrase: 'our own passphrase' });
  const pair = [await keys.generate({ role: 'root' }), await keys.generate({ role: 'root' })];
  const certificates = await Promise.all(pair.map((keypair) => issueRootCertificate(keypair, collection)));
  const { rootKeyIds } = await new TrustedCollection(collection, { server, keys })
    .stage({ type: 'role-keys', role: 'root', keys: certificates, threshold: 2 })
    .setTarget(target('1'))
    .publish();
  expect(rootKeyIds).toEqual(certificates.map(tufKeyId));
  const found = await resolveTrusted({ collection, tag: '1' }, { server, root: { keyIds: rootKeyIds } });
  expect(found.rootKeyIds.length).toBe(2);
  const root = notary.store.current(collection, 'root')?.signed;
  expect(Object.keys(root?.keys ?? {}).length).toBe(5);
  // Where that key is needed, the error says which it is.
  const other = signTag(target('1'), {
    collection: 'other.example.com/app',
    server,
    keys: createKeyStore({ directory: place, passphrase: 'none of them' }),
  });
  await expect(other).rejects.toMatchObject({
    code: 'BAD_PASSPHRASE',
    message: expect.stringMatching(/^open root key [0-9a-f]{12}: the passphrase does not open the file$/),
    details: { role: 'root' },
  });
  await notary.close();
  rmSync(place, { recursive: true });
});

test('listTrusted() leaves out what cannot be resolved, and lists the rest', async () => {
  const notary = await startNotary();
  const { server } = notary;
  const collection = 'list.example.com/app';
  const keys = createKeyStore();
  const alice = await keys.generate({ role: 'alice' });
  const { rootKeyIds } = await signTag(target('1'), { collection, server, keys });
  const delegation = { keys: [alice.publicKey], threshold: 1 };
  const draft = () => new TrustedCollection(collection, { server, keys });
  await draft()
    .setTarget({ tag: 'sha512', digest: `sha512:${'ab'.repeat(64)}`, size: 1 }, { roles: ['targets'] })
    .setDelegation({ name: 'targets/releases', ...delegation, paths: [''] })
    .setDelegation({ name: 'targets/alice', ...delegation, paths: [''] })
    .publish();
  await draft()
    .setTarget(target('2'), { roles: ['targets/releases', 'targets/alice'] })
    .setTarget(target('3'), { roles: ['targets/releases'] })
    .publish();
  // Tag 2 is not the releases' to sign any more, and alice alone releases nothing.
  await draft()
    .setDelegation({ name: 'targets/releases', ...delegation, paths: ['3'] })
    .publish();
  const options = { server, root: { keyIds: rootKeyIds } };
  const listed = await listTrusted({ collection }, options);
  expect(listed.map(({ tag, role }) => `${tag} ${role}`)).toEqual(['1 targets', '3 targets/releases']);
  const image = { registry: 'list.example.com', repository: 'app' };
  for (const subject of [
    { collection, tag: '2' },
    { ...image, tag: '2' },
  ])
    await expect(resolveTrusted(subject, options)).rejects.toMatchObject({ code: 'TAG_NOT_SIGNED' });
  await expect(resolveTrusted({ ...image, digest: digestOf('2') }, options)).rejects.toMatchObject({
    code: 'DIGEST_NOT_SIGNED',
  });
  await expect(resolveTrusted({ collection, tag: 'sha512' }, options)).rejects.toMatchObject({
    code: 'MALFORMED',
  });
  await notary.close();
});

test('resolveTrusted() asks for the timestamp alone when nothing changed', async () => {
  const notary = await startNotary();
  const { server } = notary;
  const collection = 'warm.example.com/app';
  const { rootKeyIds } = await signTag(target('1'), { collection, server, keys: createKeyStore() });
  const state = createMemoryTrustState();
  await resolveTrusted({ collection, tag: '1' }, { server, state, root: { keyIds: rootKeyIds } });
  const before = notary.requests.length;
  const again = await resolveTrusted({ collection, tag: '1' }, { server, state });
  expect(again.digest).toBe(digestOf('1'));
  expect(notary.requests.slice(before)).toEqual([`GET /v2/${collection}/_trust/tuf/timestamp.json`]);
  await notary.close();
});
