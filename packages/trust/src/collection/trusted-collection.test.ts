import { digestOf } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createKeyStore } from '../keys/create-key-store.ts';
import { generateKeypair } from '../keys/keypair.ts';
import { tufKeyId } from '../keys/public-key.ts';
import { certificateExpiry, issueRootCertificate } from '../keys/root-certificate.ts';
import type { PublicKey } from '../metadata/types.ts';
import { signTag } from '../sign.ts';
import { type NotaryReply, type RunningNotary, startNotary } from '../testing/notary.ts';
import { createMemoryTrustState } from '../verify/state.ts';
import { listTrusted, resolveTrusted } from '../verify.ts';
import { createMemoryRotationJournal, rotateKey } from './rotation.ts';
import { TrustedCollection } from './trusted-collection.ts';

const target = (tag: string) => ({ tag, digest: digestOf(tag), size: tag.length });

describe('TrustedCollection.publish()', () => {
  const collection = 'registry.example.com/app';
  let notary: RunningNotary;
  beforeEach(async () => {
    notary = await startNotary();
  });
  afterEach(() => notary.close());

  test('does not set a collection up again that was there and is gone', async () => {
    const [own, state] = [{ server: notary.server, keys: createKeyStore() }, createMemoryTrustState()];
    await signTag(target('1'), { collection, ...own, state });
    notary.store.delete(collection);
    await expect(signTag(target('2'), { collection, ...own, state })).rejects.toMatchObject({
      code: 'NOT_SIGNED',
    });
    expect(notary.store.roles(collection)).toEqual([]);
    // Whoever says so by another state does.
    expect((await signTag(target('2'), { collection, ...own })).created).toBe(true);
  });

  test('gives up after 24 lost races, and keeps the changes', async () => {
    const own = { server: notary.server, keys: createKeyStore() };
    await signTag(target('1'), { collection, ...own });
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const conflict = Buffer.from(JSON.stringify({ errors: [{ code: 'VERSION', message: '', detail: {} }] }));
    notary.intercept = ({ method }, reply) => (method === 'POST' ? { status: 400, body: conflict } : reply);
    const before = notary.requests.length;
    const draft = new TrustedCollection(collection, own).setTarget(target('2'));
    await expect(draft.publish()).rejects.toMatchObject({ code: 'VERSION_CONFLICT' });
    expect(notary.requests.slice(before).filter((request) => request.startsWith('POST'))).toHaveLength(24);
    expect(draft.changes).toHaveLength(1);
    notary.intercept = undefined;
    expect((await draft.publish()).roles).toEqual(['targets']);
    expect(draft.changes).toHaveLength(0);
  });

  test('takes a refusal for a lost race when something newer is there, and only then', async () => {
    const own = { server: notary.server, keys: createKeyStore() };
    await signTag(target('1'), { collection, ...own });
    const detail = { Name: 'ErrBadRoot', Error: { Msg: 'Root modifications must increment the version.' } };
    const refused = Buffer.from(
      JSON.stringify({ errors: [{ code: 'INVALID_UPDATE', message: '', detail }] }),
    );
    // The first publish is stored, as if somebody else had made it just before, and refused.
    let posts = 0;
    notary.intercept = ({ method }, reply) => {
      if (method !== 'POST') return reply;
      posts += 1;
      return posts === 1 ? { status: 400, body: refused } : reply;
    };
    expect((await signTag(target('2'), { collection, ...own })).versions.targets).toBe(3);
    expect(posts).toBe(2);
    const before = notary.store
      .roles(collection)
      .map((role) => notary.store.versions(collection, role).length);
    notary.intercept = ({ method }, reply) => {
      if (method !== 'POST') return reply;
      posts += 1;
      for (const role of ['targets', 'snapshot', 'timestamp']) notary.store.pop(collection, role);
      return { status: 400, body: refused };
    };
    await expect(signTag(target('3'), { collection, ...own })).rejects.toMatchObject({
      code: 'SERVER_REFUSED',
    });
    expect(posts).toBe(3);
    expect(
      notary.store.roles(collection).map((role) => notary.store.versions(collection, role).length),
    ).toEqual(before);
  });

  test('tells when a root certificate ends before all else', async () => {
    const own = { server: notary.server, keys: createKeyStore() };
    const root = await own.keys.generate({ role: 'root' });
    const certificate = await issueRootCertificate(root, collection, { lifetimeDays: 3 });
    const published = await new TrustedCollection(collection, own)
      .stage({ type: 'role-keys', role: 'root', keys: [certificate], threshold: 1 })
      .setTarget(target('1'))
      .publish();
    const found = await resolveTrusted(
      { collection, tag: '1' },
      { server: notary.server, root: { keyIds: published.rootKeyIds } },
    );
    const ends = certificateExpiry(certificate)?.toISOString();
    expect([published.expires, found.expires]).toEqual([ends, ends]);
  });

  test('remembers what it published: who shows the time before is refused', async () => {
    const [keys, state] = [createKeyStore(), createMemoryTrustState()];
    const own = { server: notary.server, keys };
    await signTag(target('1'), { collection, ...own, state });
    const old = notary.store.current(collection, 'timestamp');
    await signTag(target('2'), { collection, ...own, state });
    notary.store.replace(collection, 'timestamp', old?.bytes);
    const root = { firstUse: true } as const;
    await expect(
      resolveTrusted({ collection, tag: '1' }, { server: notary.server, root, state }),
    ).rejects.toMatchObject({ code: 'ROLLBACK' });
  });

  test('tells when the server took a publish and still serves what was before', async () => {
    const own = { server: notary.server, keys: createKeyStore() };
    await signTag(target('1'), { collection, ...own });
    // A cache between that holds what it had.
    const past = new Map<string, NotaryReply>();
    let isCaching = false;
    notary.intercept = ({ method, path }, reply) => {
      if (method !== 'GET') isCaching = true;
      else if (!isCaching) past.set(path, reply);
      return (isCaching && method === 'GET' ? past.get(path) : undefined) ?? reply;
    };
    const draft = new TrustedCollection(collection, own).setTarget(target('2'));
    await expect(draft.publish()).rejects.toMatchObject({
      code: 'BROKEN_COLLECTION',
      message: expect.stringContaining('serves an older one'),
    });
    notary.intercept = undefined;
  });

  test('a delegation that was removed and comes back counts on from its last version', async () => {
    const own = { server: notary.server, keys: createKeyStore() };
    const alice = await own.keys.generate({ role: 'alice' });
    const draft = () => new TrustedCollection(collection, own);
    const delegation = { name: 'targets/alice', keys: [alice.publicKey], threshold: 1, paths: [''] };
    const roles = { roles: ['targets/alice'] };
    await draft().setTarget(target('0')).setDelegation(delegation).publish();
    await draft().setTarget(target('1'), roles).publish();
    await draft().setTarget(target('2'), roles).publish();
    await draft().removeDelegation('targets/alice').publish();
    const back = await draft().setDelegation(delegation).setTarget(target('3'), roles).publish();
    expect(back.versions['targets/alice']).toBe(3);
    const { rootKeyIds } = back;
    const options = { server: notary.server, root: { keyIds: rootKeyIds }, ...roles };
    expect((await listTrusted({ collection }, options)).map(({ tag }) => tag)).toEqual(['3']);
  });

  test('lists the root certificate that was replaced beside the new one, and no other former key', async () => {
    const own = { server: notary.server, keys: createKeyStore(), journal: createMemoryRotationJournal() };
    const { rootKeyIds } = await signTag(target('1'), { collection, ...own });
    const before = notary.store.current(collection, 'root')?.signed;
    await rotateKey(collection, 'targets', own);
    await rotateKey(collection, 'root', own);
    const { keys = {}, roles } = notary.store.current(collection, 'root')?.signed ?? {};
    expect(Object.keys(keys)).toEqual(expect.arrayContaining([...rootKeyIds]));
    expect(roles?.root.keyids).not.toEqual(rootKeyIds);
    for (const id of before?.roles.targets.keyids ?? []) expect(Object.keys(keys)).not.toContain(id);
  });

  test('a rotation is of one key: a root or targets of two are changed by a ceremony', async () => {
    const own = { server: notary.server, keys: createKeyStore() };
    const pair = [await own.keys.generate({ role: 'x' }), await own.keys.generate({ role: 'y' })];
    await new TrustedCollection(collection, own)
      .stage({
        type: 'role-keys',
        role: 'targets',
        keys: pair.map(({ publicKey }) => publicKey),
        threshold: 2,
      })
      .setTarget(target('1'))
      .publish();
    const journal = createMemoryRotationJournal();
    await expect(rotateKey(collection, 'targets', { ...own, journal })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      hint: expect.stringContaining('prepare()'),
    });
    expect(notary.store.current(collection, 'root')?.signed.version).toBe(1);
  });

  test('a rotation the server refuses goes on with the key it made, which the store has', async () => {
    const own = { server: notary.server, keys: createKeyStore(), journal: createMemoryRotationJournal() };
    await signTag(target('1'), { collection, ...own });
    for (const newKey of [undefined, generateKeypair()]) {
      notary.intercept = ({ method }, reply) => (method === 'POST' ? { ...reply, status: 503 } : reply);
      const before = notary.store.versions(collection, 'root').length;
      const given = newKey === undefined ? {} : { newKey };
      await expect(rotateKey(collection, 'targets', { ...own, ...given })).rejects.toMatchObject({
        code: 'UNREACHABLE',
      });
      notary.intercept = undefined;
      const begun = await own.journal.load(collection, 'targets');
      const newKeyId = tufKeyId(begun?.newKey as PublicKey);
      expect((await own.keys.open(newKeyId)).keyId).toBe(newKey?.keyId ?? newKeyId);
      // It was published, and only the answer was lost: the same call finds that out.
      expect(notary.store.versions(collection, 'root')).toHaveLength(before + 1);
      expect(await rotateKey(collection, 'targets', own)).toMatchObject({ newKeyId, resumed: true });
      expect(await own.journal.load(collection, 'targets')).toBeUndefined();
      const next = await rotateKey(collection, 'targets', own);
      expect(next).toMatchObject({ resumed: false, oldKeyIds: [newKeyId] });
      expect(await own.journal.load(collection, 'targets')).toBeUndefined();
    }
  });
});
