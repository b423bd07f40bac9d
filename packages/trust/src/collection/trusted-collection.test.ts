import { digestOf } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createKeyStore } from '../keys/key-store.ts';
import { certificateExpiry, issueRootCertificate } from '../keys/root-certificate.ts';
import { signTag } from '../sign.ts';
import { type RunningNotary, startNotary } from '../testing/notary.ts';
import { createMemoryTrustState } from '../verify/state.ts';
import { resolveTrusted } from '../verify.ts';
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
});
