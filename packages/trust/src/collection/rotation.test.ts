import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { notaryServers, type ServerUnderTest } from '../../test/servers.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { signTag } from '../sign.ts';
import { createMemoryTrustState, type TrustStateStore } from '../verify/state.ts';
import { resolveTrusted } from '../verify.ts';
import { createMemoryRotationJournal, rotateKey } from './rotation.ts';

const target = (tag: string) => ({ tag, digest: digestOf(tag), size: tag.length });

describe.each(notaryServers)('rotateKey() against $name', ({ start }) => {
  let running: ServerUnderTest;
  beforeAll(async () => {
    running = await start();
  });
  afterAll(() => running.close());

  async function collectionWith(name: string, snapshotKey: 'server' | 'client' = 'server') {
    const collection = `rotate-${name}.example.com/app`;
    const keys = createKeyStore();
    const { server } = running;
    const { rootKeyIds } = await signTag(target('1'), { collection, server, keys, snapshotKey });
    const state = createMemoryTrustState();
    const ask = (store: TrustStateStore = state) =>
      resolveTrusted({ collection, tag: '1' }, { server, state: store, root: { keyIds: rootKeyIds } });
    await ask();
    const rotate = (role: Parameters<typeof rotateKey>[1], more = {}) =>
      rotateKey(collection, role, { server, keys, journal: createMemoryRotationJournal(), ...more });
    return { collection, keys, server, ask, rotate };
  }

  test('of every role: old clients follow, new ones with the first pin too, and signing goes on', async () => {
    const { collection, keys, server, ask, rotate } = await collectionWith('all');
    for (const role of ['targets', 'snapshot', 'timestamp', 'root'] as const) {
      const { newKeyId, oldKeyIds, published } = await rotate(role);
      expect(published?.versions.root).toBeGreaterThan(1);
      expect(oldKeyIds).not.toContain(newKeyId);
      expect((await ask()).digest).toBe(digestOf('1'));
      expect((await ask(createMemoryTrustState())).digest).toBe(digestOf('1'));
      await signTag(target(role), { collection, server, keys });
    }
    expect((await ask()).versions).toMatchObject({ root: 5, targets: 6 });
  });

  test('of the snapshot between publisher and server', async () => {
    const { collection, keys, server, ask, rotate } = await collectionWith('snapshot', 'client');
    await rotate('snapshot', { holder: 'server' });
    await signTag(target('2'), { collection, server, keys });
    await ask();
    await rotate('snapshot', { holder: 'client' });
    await signTag(target('3'), { collection, server, keys });
    expect((await ask()).versions).toMatchObject({ root: 3, targets: 3 });
  });

  test('of the root certificate keeps the key', async () => {
    const { keys, ask, rotate } = await collectionWith('certificate');
    const count = async () => (await ids(keys)).length;
    const before = await count();
    const { oldKeyIds, published } = await rotate('root', { renewCertificate: true });
    expect(await count()).toBe(before);
    const [pin] = oldKeyIds;
    expect((await ask()).rootKeyIds).toEqual(published?.rootKeyIds);
    expect(pin).toMatch(/^[0-9a-f]{64}$/);
  });
});

async function ids(keys: KeyStore): Promise<string[]> {
  const result: string[] = [];
  for await (const { keyId } of keys.list()) result.push(keyId);
  return result;
}
