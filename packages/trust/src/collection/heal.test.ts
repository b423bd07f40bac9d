import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { notaryServers, type ServerUnderTest } from '../../test/servers.ts';
import { diagnoseCollection } from '../doctor/diagnose-collection.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { signTag } from '../sign.ts';
import { EvilNotary } from '../testing/evil-notary.ts';
import { startNotary } from '../testing/notary.ts';
import { resolveTrusted } from '../verify.ts';
import { healCollection } from './heal.ts';

const target = (tag: string) => ({ tag, digest: digestOf(tag), size: tag.length });
const LIFETIME_MS = 1095 * 86_400_000;
/** Longer than one publish takes on a busy machine. */
const SHORT_LIFE_MS = 4_000;

describe.each(notaryServers)('healCollection() against $name', ({ start }) => {
  let running: ServerUnderTest;
  beforeAll(async () => {
    running = await start();
  });
  afterAll(() => running.close());

  /** A collection whose publisher signs the snapshot, published so often; targets and snapshot have expired. */
  async function expired(collection: string, times: number): Promise<KeyStore> {
    const keys = createKeyStore();
    const now = () => new Date(Date.now() - LIFETIME_MS + SHORT_LIFE_MS);
    for (let tag = 1; tag <= times; tag += 1) {
      const options = { collection, server: running.server, keys, now, snapshotKey: 'client' } as const;
      await signTag(target(`${tag}`), options);
    }
    await sleep(SHORT_LIFE_MS + 1_000);
    return keys;
  }

  test.concurrent.each([1, 3, 6])(
    'signs a snapshot again that expired in the hands of the publisher, after %d publishes',
    async (times) => {
      const { server } = running;
      const collection = `heal.example.com/after-${times}-publishes`;
      const keys = await expired(collection, times);
      const read = (tag: string) => resolveTrusted({ collection, tag }, { server, root: { firstUse: true } });
      await expect(read('1')).rejects.toMatchObject({ code: 'UNREACHABLE' });
      await expect(signTag(target('new'), { collection, server, keys })).rejects.toMatchObject({
        code: 'UNREACHABLE',
      });
      const diagnose = () => diagnoseCollection(collection, { server, root: { firstUse: true } });
      expect(await diagnose()).toMatchObject([
        {
          code: 'broken-collection',
          message: expect.stringContaining('snapshot expired'),
          remedy: expect.stringContaining('healCollection()'),
        },
      ]);
      const healed = await healCollection(collection, { server, keys });
      expect(healed).toMatchObject({
        roles: ['targets'],
        versions: { snapshot: times + 1, targets: times + 1 },
      });
      expect((await read(`${times}`)).digest).toBe(digestOf(`${times}`));
      await signTag(target('new'), { collection, server, keys });
      expect((await read('new')).digest).toBe(digestOf('new'));
      expect(await healCollection(collection, { server, keys })).toBeUndefined();
    },
  );

  test.concurrent('signs nothing without the key of the snapshot', async () => {
    const collection = 'heal.example.com/without-key';
    const keys = await expired(collection, 1);
    const others = createKeyStore();
    for await (const { keyId, role = '' } of keys.list())
      if (role !== 'snapshot') await others.add(await keys.open(keyId), { role });
    const healing = healCollection(collection, { server: running.server, keys: others });
    await expect(healing).rejects.toMatchObject({ code: 'SERVER_REFUSED' });
  });
});

test('healCollection() takes no expired snapshot its owner did not sign', async () => {
  const notary = await startNotary();
  const [collection, keys] = ['heal.example.com/snapshot', createKeyStore()];
  const { server } = notary;
  for (const tag of ['1', '2'])
    await signTag(target(tag), { collection, server, keys, snapshotKey: 'client' });
  const evil = new EvilNotary(notary, collection, keys);
  await evil.expire('snapshot');
  await evil.signWithInvalidKey('snapshot');
  const before = notary.requests.length;
  await expect(healCollection(collection, { server, keys })).rejects.toMatchObject({ code: 'WRONG_KEY' });
  expect(notary.requests.slice(before).some((request) => request.startsWith('POST'))).toBe(false);
  await notary.close();
});

test.each(['targets', 'root'])('healCollection() vouches for no %s its owner did not sign', async (role) => {
  const notary = await startNotary();
  const [collection, keys] = ['heal.example.com/forged', createKeyStore()];
  const { server } = notary;
  await signTag(target('1'), { collection, server, keys });
  const evil = new EvilNotary(notary, collection, keys);
  // The hashes above it no longer fit: broken, and what is there is of somebody else.
  if (role === 'targets') await evil.signWithInvalidKey('targets');
  else {
    notary.store.delete(collection);
    await signTag(target('evil'), { collection, server, keys: createKeyStore() });
  }
  const before = notary.requests.length;
  await expect(healCollection(collection, { server, keys })).rejects.toMatchObject({
    code: role === 'targets' ? 'WRONG_KEY' : 'ROOT_MISMATCH',
  });
  expect(notary.requests.slice(before).some((request) => request.startsWith('POST'))).toBe(false);
  await notary.close();
});
