// What removing a signer must never leave behind, nor sign on the way.
import { digestOf } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import type { TargetsMetadata } from '../metadata/types.ts';
import { signTag } from '../sign.ts';
import { EvilNotary } from '../testing/evil-notary.ts';
import { type RunningNotary, startNotary } from '../testing/notary.ts';
import { resolveTrusted } from '../verify.ts';
import { TrustedCollection } from './trusted-collection.ts';

const collection = 'removal.example.com/app';
const RELEASES = 'targets/releases';
const target = (tag: string) => ({ tag, digest: digestOf(tag), size: tag.length });

describe('removeSigner()', () => {
  let notary: RunningNotary;
  let keys: KeyStore;
  let evil: EvilNotary;
  beforeEach(async () => {
    notary = await startNotary();
    keys = createKeyStore();
    evil = new EvilNotary(notary, collection, keys);
    await sign('0');
  });
  afterEach(() => notary.close());

  const sign = (tag: string, own: KeyStore = keys) =>
    signTag(target(tag), { collection, server: notary.server, keys: own, root: { firstUse: true } });
  const draft = () => new TrustedCollection(collection, { server: notary.server, keys });
  const resolve = (tag: string) =>
    resolveTrusted({ collection, tag }, { server: notary.server, root: { firstUse: true } });
  /** A signer whose key is in a store of its own, and its public half. */
  async function signer(role: string) {
    const own = createKeyStore();
    const keypair = await own.generate({ role });
    return { own, keypair };
  }

  test('takes their key away in every form the releases know it', async () => {
    const [alice, bob] = [await signer('alice'), await signer('bob')];
    // notary delegates to a certificate, docker adds the signer by the plain key of it: one key under two ids.
    const certificate = await issueRootCertificate(alice.keypair, collection);
    await draft()
      .setDelegation({ name: RELEASES, keys: [certificate], threshold: 1, paths: [''] })
      .addSigner('alice', [alice.keypair.publicKey])
      .addSigner('bob', [bob.keypair.publicKey])
      .publish();
    await draft().removeSigner('alice').publish();
    await expect(sign('evil', alice.own)).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
    const { roles } = evil.read('targets').delegations as unknown as TargetsMetadata['delegations'];
    expect(roles?.find(({ name }) => name === RELEASES)?.keyids).toHaveLength(1);
  });

  test('counts keys, not ids, for the threshold of the releases', async () => {
    const [alice, bob] = [await signer('alice'), await signer('bob')];
    const certificate = await issueRootCertificate(bob.keypair, collection);
    await draft()
      .addSigner('alice', [alice.keypair.publicKey])
      .addSigner('bob', [bob.keypair.publicKey])
      .setDelegation({
        name: RELEASES,
        keys: [alice.keypair.publicKey, bob.keypair.publicKey, certificate],
        threshold: 2,
        paths: [''],
      })
      .publish();
    await expect(draft().removeSigner('alice').publish()).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringContaining('2 keys must sign'),
    });
  });

  test('signs the releases again when a key that stays is there, and not with `resign: false`', async () => {
    const [alice, bob] = [await signer('alice'), await keys.generate({ role: 'bob' })];
    await draft().addSigner('alice', [alice.keypair.publicKey]).addSigner('bob', [bob.publicKey]).publish();
    await sign('1', alice.own);
    const removed = await draft().removeSigner('alice', { resign: false }).publish();
    expect(removed).toMatchObject({ roles: ['targets'], invalidRoles: [RELEASES] });
    await expect(resolve('1')).rejects.toMatchObject({ code: 'WRONG_KEY' });
    await draft().addSigner('alice', [alice.keypair.publicKey]).publish();
    expect((await resolve('1')).keyIds).toEqual([alice.keypair.keyId]);
    const resigned = await draft().removeSigner('alice').publish();
    expect(resigned).toMatchObject({ roles: ['targets', RELEASES], invalidRoles: [] });
    expect((await resolve('1')).keyIds).toEqual([bob.keyId]);
  });

  test('vouches for no releases that nobody had signed', async () => {
    const [alice, bob] = [await signer('alice'), await keys.generate({ role: 'bob' })];
    await draft().addSigner('alice', [alice.keypair.publicKey]).addSigner('bob', [bob.publicKey]).publish();
    await sign('1', alice.own);
    // The server holds the snapshot key: it can name any bytes there, but sign none of them.
    await evil.signWithInvalidKey(RELEASES);
    await evil.updateSnapshotHashes();
    await evil.updateTimestampHash();
    const removed = await draft().removeSigner('alice').publish();
    expect(removed).toMatchObject({ roles: ['targets'], invalidRoles: [RELEASES] });
    await expect(resolve('1')).rejects.toMatchObject({ code: 'WRONG_KEY' });
  });
});
