import { type ImageReference, parseReference, RegistryClient } from '@imagevet/registry';
import { pushTestImage, startRegistry, type TestRegistry } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimName, toBuiltImage } from './claim-name.ts';

const platform = { os: 'linux', architecture: 'amd64' };

describe('claimName()', () => {
  let registry: TestRegistry;
  const client = new RegistryClient();
  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(async () => {
    await client.close();
    await registry.close();
  });
  const push = async (target: ImageReference, content: string) =>
    toBuiltImage(target, await pushTestImage(client, target, { layers: [[{ path: 'x', content }]] }));
  const nameAt = (tag: string) => parseReference(`${registry.host}/app:${tag}`);

  test('goes on with the image that had the name first, and writes nothing', async () => {
    const target = nameAt('first');
    const first = await push(target, 'first');
    const found = await claimName({ target, platform }, { registry: client }, () => {
      throw new Error('written');
    });
    expect(found.descriptor.digest).toBe(first.descriptor.digest);
  });

  test('row 48: goes on with the image of another run that wrote at the same moment and won', async () => {
    const target = nameAt('race');
    let winner = '';
    const found = await claimName({ target, platform }, { registry: client }, async () => {
      const own = await push(target, 'own');
      winner = (await push(target, 'other')).descriptor.digest;
      return own;
    });
    expect(found.descriptor.digest).toBe(winner);
  });

  test('takes the name from another image when told to', async () => {
    const target = nameAt('replace');
    await push(target, 'first');
    const own = await claimName({ target, platform, replace: true }, { registry: client }, () =>
      push(target, 'own'),
    );
    expect((await client.resolve(target)).digest).toBe(own.descriptor.digest);
  });
});
