import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { act } from '../../test/publisher.ts';
import { notaryServers, type ServerUnderTest } from '../../test/servers.ts';
import { createKeyStore, type KeyStore } from '../keys/key-store.ts';
import { signTag } from '../sign.ts';
import { startNotary } from '../testing/notary.ts';
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

test.each(['root', 'targets', 'publish'] as const)(
  '%s killed at every request loses no key, breaks nothing, and is finished by the next call',
  async (action) => {
    const collection = 'killed.example.com/app';
    const tag = '1';
    // Each request is a moment to die: the server acted, the client never learns.
    for (let step = 1, finished = false; !finished; step += 1) {
      expect(step).toBeLessThan(60);
      const directory = mkdtempSync(join(tmpdir(), 'imagevet-killed-'));
      const notary = await startNotary();
      const { server } = notary;
      const keyStore = () => createKeyStore({ directory, passphrase: 'passphrase one' });
      if (action !== 'publish') await signTag(target(tag), { collection, server, keys: keyStore() });
      const before = await ids(keyStore());
      const script = join(import.meta.dirname, '../../test/publisher.ts');
      const args = ['--conditions=@imagevet/source', script, server.url, directory, collection, action];
      const child = spawn(process.execPath, args, { stdio: 'ignore' });
      const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
      let requests = 0;
      notary.intercept = async (_, reply) => {
        requests += 1;
        if (requests === step) {
          child.kill('SIGKILL');
          await ended;
        }
        return reply;
      };
      finished = (await ended) === 0;
      notary.intercept = undefined;
      expect(await ids(keyStore())).toEqual(expect.arrayContaining(before));
      await act(action, { url: server.url, directory, collection });
      const { rootKeyIds } = await signTag(target('2'), { collection, server, keys: keyStore() });
      // At most one key was made that nobody asked to use; none that is in use is missing.
      const expected = action === 'publish' ? 2 : before.length + 1;
      expect((await ids(keyStore())).length - expected).toBeLessThanOrEqual(1);
      for (const name of [tag, '2']) {
        const options = { server, root: { keyIds: rootKeyIds } };
        expect((await resolveTrusted({ collection, tag: name }, options)).digest).toBe(digestOf(name));
      }
      await notary.close();
      rmSync(directory, { recursive: true });
    }
  },
  120_000,
);

async function ids(keys: KeyStore): Promise<string[]> {
  const result: string[] = [];
  for await (const { keyId } of keys.list()) result.push(keyId);
  return result;
}
