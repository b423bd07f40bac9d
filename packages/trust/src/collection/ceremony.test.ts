import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { notaryServers, type ServerUnderTest } from '../../test/servers.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import type { KeyAlgorithm } from '../keys/keypair.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import { signTag } from '../sign.ts';
import { resolveTrusted } from '../verify.ts';
import { signDetached } from './ceremony.ts';
import { TrustedCollection } from './trusted-collection.ts';

const target = (tag: string) => ({ tag, digest: digestOf(tag), size: tag.length });

/** Somebody with one key of their own. */
async function signer(role: string, algorithm: KeyAlgorithm = 'ecdsa-p256') {
  const keys = createKeyStore();
  const keypair = await keys.generate({ role, algorithm });
  return { keys, keypair };
}

describe.each(notaryServers)('a signing ceremony against $name', ({ start }) => {
  let running: ServerUnderTest;
  let owner: KeyStore;
  beforeAll(async () => {
    running = await start();
    owner = createKeyStore();
  });
  afterAll(() => running.close());

  test('2 of 3 release: with two signatures it is published, with one it is not', async () => {
    const collection = 'ceremony.example.com/releases';
    const { server } = running;
    const { rootKeyIds } = await signTag(target('0'), { collection, server, keys: owner });
    const root = { keyIds: rootKeyIds };
    const team = await Promise.all([signer('a'), signer('b', 'ed25519'), signer('c', 'ecdsa-p384')]);
    await new TrustedCollection(collection, { server, keys: owner })
      .setDelegation({
        name: 'targets/releases',
        keys: team.map(({ keypair }) => keypair.publicKey),
        threshold: 2,
        paths: [''],
      })
      .publish();
    const [a, b, c] = team;
    if (a === undefined || b === undefined || c === undefined) throw new Error('no team');
    const publisher = new TrustedCollection(collection, { server, keys: createKeyStore(), root });
    const request = await publisher.setTarget(target('1'), { roles: ['targets/releases'] }).prepare();
    // It travels as a file.
    const received = JSON.parse(JSON.stringify(request));
    const one = await signDetached(received, a.keys);
    await expect(publisher.publishPrepared(request, [one])).rejects.toMatchObject({ code: 'THRESHOLD' });
    await expect(publisher.publishPrepared(request, [one, one])).rejects.toMatchObject({ code: 'THRESHOLD' });
    const two = JSON.parse(JSON.stringify(await signDetached(received, b.keys)));
    await publisher.publishPrepared(request, [one, two]);
    const resolved = await resolveTrusted({ collection, tag: '1' }, { server, root });
    expect([...resolved.keyIds].sort()).toEqual([a.keypair.keyId, b.keypair.keyId].sort());
    // The same request again is a version that is already there.
    await expect(publisher.publishPrepared(request, [one, two])).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
    });
    await expect(signDetached(request, createKeyStore())).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
  });

  test('a root of 2 keys: only both together change it', async () => {
    const collection = 'ceremony.example.com/root';
    const { server } = running;
    const { rootKeyIds } = await signTag(target('0'), { collection, server, keys: owner });
    const other = await signer('root');
    let ownerKey = '';
    for await (const { keyId, role } of owner.list()) if (role === 'root') ownerKey = keyId;
    const keypairs = [await owner.open(ownerKey), other.keypair];
    const certificates = await Promise.all(
      keypairs.map((keypair) => issueRootCertificate(keypair, collection)),
    );
    const draft = () =>
      new TrustedCollection(collection, { server, keys: owner, root: { keyIds: rootKeyIds } });
    const first = draft().stage({ type: 'role-keys', role: 'root', keys: certificates, threshold: 2 });
    const request = await first.prepare();
    expect(request.roles[0]?.needs.map(({ threshold }) => threshold)).toEqual([2, 1]);
    const ours = await signDetached(request, owner);
    await expect(first.publishPrepared(request, [ours])).rejects.toMatchObject({ code: 'THRESHOLD' });
    const published = await first.publishPrepared(request, [ours, await signDetached(request, other.keys)]);
    expect(published.rootKeyIds.length).toBe(2);
    // The first pin leads to the new root; pins of the new one need both keys.
    const resolve = (keyIds: readonly string[]) =>
      resolveTrusted({ collection, tag: '0' }, { server, root: { keyIds } });
    expect((await resolve(rootKeyIds)).versions.root).toBe(2);
    expect((await resolve(published.rootKeyIds)).rootKeyIds.length).toBe(2);
    await expect(resolve(published.rootKeyIds.slice(0, 1))).rejects.toMatchObject({ code: 'ROOT_MISMATCH' });
    // Alone, the owner can still sign tags, and can no longer change the root.
    await signTag(target('1'), { collection, server, keys: owner, root: { keyIds: rootKeyIds } });
    const alone = draft()
      .witness('targets')
      .stage({
        type: 'role-keys',
        role: 'root',
        keys: certificates.slice(0, 1),
        threshold: 1,
      });
    await expect(alone.publish()).rejects.toMatchObject({ code: 'THRESHOLD' });
  });

  test('signatures of another request are refused', async () => {
    const collection = 'ceremony.example.com/other';
    const { server } = running;
    await signTag(target('0'), { collection, server, keys: owner });
    const draft = new TrustedCollection(collection, { server, keys: owner });
    const request = await draft.setTarget(target('1')).prepare();
    const signatures = await signDetached(request, owner);
    const other = await draft.setTarget(target('2')).prepare();
    await expect(draft.publishPrepared(other, [signatures])).rejects.toMatchObject({ code: 'MALFORMED' });
    const forged = {
      ...signatures,
      signatures: signatures.signatures.map((item) => ({
        ...item,
        signature: { ...item.signature, sig: Buffer.alloc(64, 1).toString('base64') },
      })),
    };
    await expect(draft.publishPrepared(request, [forged])).rejects.toMatchObject({
      code: 'INVALID_SIGNATURE',
    });
  });
});
