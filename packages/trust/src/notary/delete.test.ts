import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { notaryServers, type ServerUnderTest } from '../../test/servers.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import { signTag } from '../sign.ts';
import { createMemoryTrustState } from '../verify/state.ts';
import { resolveTrusted } from '../verify.ts';
import { NotaryClient } from './client.ts';

const target = { tag: '1', digest: digestOf('1'), size: 1 };

describe.each(notaryServers)('deleteCollection() against $name', ({ start }) => {
  let running: ServerUnderTest;
  let client: NotaryClient;
  beforeAll(async () => {
    running = await start();
    client = new NotaryClient(running.server);
  });
  afterAll(async () => {
    await client.close();
    await running.close();
  });

  test('takes away one collection, whose name may be used again', async () => {
    const { server } = running;
    const [collection, neighbour] = ['delete.example.com/one', 'delete.example.com/two'];
    const keys = createKeyStore();
    for (const name of [collection, neighbour]) await signTag(target, { collection: name, server, keys });
    const read = (name: string) =>
      resolveTrusted({ collection: name, tag: '1' }, { server, root: { firstUse: true } });
    expect((await read(collection)).digest).toBe(target.digest);
    await client.deleteCollection(collection);
    await expect(read(collection)).rejects.toMatchObject({ code: 'NOT_SIGNED' });
    expect((await read(neighbour)).digest).toBe(target.digest);
    expect((await signTag(target, { collection, server, keys })).created).toBe(true);
    expect((await read(collection)).digest).toBe(target.digest);
  });

  test('is seen by those who knew the collection: it is neither unsigned nor new to them', async () => {
    const { server } = running;
    const collection = 'known.example.com/app';
    const [state, keys] = [createMemoryTrustState(), createKeyStore()];
    await signTag(target, { collection, server, keys, state });
    const read = () => resolveTrusted({ collection, tag: '1' }, { server, state });
    expect((await read()).digest).toBe(target.digest);
    await client.deleteCollection(collection);
    await expect(read()).rejects.toMatchObject({ code: 'NOT_SIGNED' });
    // Nor does a publisher set it up again unasked.
    await expect(signTag(target, { collection, server, keys, state })).rejects.toMatchObject({
      code: 'NOT_SIGNED',
    });
    await signTag(target, { collection, server, keys: createKeyStore() });
    await expect(read()).rejects.toMatchObject({ code: 'WRONG_KEY' });
  });

  test('succeeds where nothing is', async () => {
    await expect(client.deleteCollection('never.example.com/was')).resolves.toBeUndefined();
  });
});
