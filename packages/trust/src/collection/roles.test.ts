// Which roles are signed, asked for, looked at and read back.
import { digestOf } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { signTag } from '../sign.ts';
import { EvilNotary } from '../testing/evil-notary.ts';
import { type RunningNotary, startNotary } from '../testing/notary.ts';
import { resolveTrusted } from '../verify.ts';
import { signDetached } from './ceremony.ts';
import { TrustedCollection } from './trusted-collection.ts';

const collection = 'roles.example.com/app';
const target = (tag: string) => ({ tag, digest: digestOf(tag), size: tag.length });

describe('the roles of a collection', () => {
  let notary: RunningNotary;
  let keys: KeyStore;
  beforeEach(async () => {
    notary = await startNotary();
    keys = createKeyStore();
    await signTag(target('0'), { collection, server: notary.server, keys });
  });
  afterEach(() => notary.close());
  const draft = () => new TrustedCollection(collection, { server: notary.server, keys });
  const resolve = (tag: string) =>
    resolveTrusted({ collection, tag }, { server: notary.server, root: { firstUse: true } });

  test('a ceremony of several roles keeps the signatures of one key apart', async () => {
    const alice = await keys.generate({ role: 'alice' });
    await draft().addSigner('alice', [alice.publicKey]).publish();
    // Two files that say the same have the same signatures: let them differ.
    await draft()
      .setTarget(target('x'), { roles: ['targets/alice'] })
      .publish();
    const publisher = draft().setTarget(target('1'));
    const request = await publisher.prepare();
    const asked = request.roles.map(({ role }) => role);
    expect([...asked].sort()).toEqual(['targets/alice', 'targets/releases']);
    const signatures = await signDetached(request, keys);
    expect(signatures.signatures.map(({ signature }) => signature.keyid)).toHaveLength(2);
    await publisher.publishPrepared(request, [signatures]);
    expect((await resolve('1')).keyIds).toEqual([alice.keyId]);
  });

  test.each(['snapshot', 'timestamp'])('a ceremony signs no %s', async (role) => {
    const request = await draft().setTarget(target('1')).prepare();
    const file = Buffer.from(new EvilNotary(notary, collection, keys).bytes(role)).toString('utf8');
    const asked = { ...request, roles: [...request.roles, { role, file, keys: {}, needs: [] }] };
    const refusal = { code: 'MALFORMED', message: expect.stringContaining(`${role} is not signed this way`) };
    await expect(signDetached(asked, keys)).rejects.toMatchObject(refusal);
    await expect(draft().publishPrepared(asked, [])).rejects.toMatchObject(refusal);
  });

  test('a tag is staged for no role that is not there, nor for one that may not sign it', async () => {
    const alice = await keys.generate({ role: 'alice' });
    await draft()
      .setDelegation({ name: 'targets/alice', keys: [alice.publicKey], threshold: 1, paths: ['1.'] })
      .publish();
    const stage = (tag: string, role: string) =>
      draft()
        .setTarget(target(tag), { roles: [role] })
        .publish();
    const before = notary.requests.length;
    await expect(stage('1.0', 'targets/bob')).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringContaining('not a role of the collection'),
    });
    await expect(stage('2.0', 'targets/alice')).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringContaining('may not sign this name'),
    });
    expect(notary.requests.slice(before).some((request) => request.startsWith('POST'))).toBe(false);
    expect((await stage('1.0', 'targets/alice')).roles).toEqual(['targets/alice']);
    expect((await stage('2.0', 'targets')).roles).toEqual(['targets']);
  });

  test('a role that nobody delegates to any more is read back too', async () => {
    const alice = await keys.generate({ role: 'alice' });
    await draft().addSigner('alice', [alice.publicKey]).publish();
    await signTag(target('1'), { collection, server: notary.server, keys });
    await draft().removeSigner('alice').publish();
    await signTag(target('2'), { collection, server: notary.server, keys });
    notary.intercept = (request, reply) =>
      /\/alice\./.test(request.path) ? { ...reply, status: 404, body: Buffer.from('{}') } : reply;
    await expect(signTag(target('3'), { collection, server: notary.server, keys })).rejects.toMatchObject({
      code: 'BROKEN_COLLECTION',
      message: expect.stringContaining('targets/alice'),
    });
  });

  test('more delegations than anybody has are a limit', async () => {
    const evil = new EvilNotary(notary, collection, keys);
    const roles = Array.from({ length: 10_000 }, (_, index) => ({
      keyids: [],
      name: `targets/${index}`,
      paths: [''],
      threshold: 1,
    }));
    await evil.mutate('targets', (signed) => ({ ...signed, delegations: { keys: {}, roles } }));
    await evil.updateSnapshotHashes();
    await evil.updateTimestampHash();
    await expect(resolve('absent')).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    expect((await resolve('0')).digest).toBe(digestOf('0'));
  });
});
