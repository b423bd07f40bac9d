import { RegistryClient } from '@imagevet/registry';
import { pushTestImage, startRegistry, type TestFile, type TestRegistry } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MachineCheck } from './check-machine.ts';

const amd64 = { os: 'linux', architecture: 'amd64' };

/** The head of an ELF program. */
function elf(machine: number, order: 'little' | 'big' = 'little'): Uint8Array {
  const bytes = Buffer.alloc(64);
  bytes.write('\x7fELF', 'latin1');
  bytes[4] = 2;
  bytes[5] = order === 'little' ? 1 : 2;
  if (order === 'little') bytes.writeUInt16LE(machine, 18);
  else bytes.writeUInt16BE(machine, 18);
  return bytes;
}

describe('MachineCheck', () => {
  const client = new RegistryClient();
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(async () => {
    await client.close();
    await registry.close();
  });
  const check = async (layers: readonly (readonly TestFile[])[], architecture = 'amd64') => {
    const platform = { os: 'linux', architecture };
    const tag = `t${Math.random().toString(36).slice(2)}`;
    const reference = { registry: registry.host, repository: 'base', tag };
    const image = await pushTestImage(client, reference, { layers, config: { architecture } });
    return new MachineCheck().check({ ...reference, digest: image.manifest.digest }, platform, {
      source: client,
    });
  };

  test.each([
    ['amd64', 62, 'little'],
    ['arm64', 183, 'little'],
    ['s390x', 22, 'big'],
  ] as const)(
    'takes a base whose programs are what its label says: %s',
    async (architecture, machine, order) => {
      await check([[{ path: 'usr/bin/env', content: elf(machine, order) }]], architecture);
    },
  );

  test('refuses a base whose programs are for another machine under the right label', async () => {
    await expect(check([[{ path: 'bin/sh', content: elf(62) }]], 'arm64')).rejects.toMatchObject({
      code: 'BUILD_UNSUPPORTED',
      message: expect.stringMatching(/says it is for linux\/arm64, but its programs are for amd64$/),
    });
  });

  test('finds programs in a later layer, and takes another kind beside the right one', async () => {
    await expect(
      check([[{ path: 'etc/x', content: 'x' }], [{ path: 'usr/local/bin/x', content: elf(183) }]]),
    ).rejects.toThrow(expect.objectContaining({ code: 'BUILD_UNSUPPORTED' }));
    await check([
      [
        { path: 'bin/a', content: elf(3) },
        { path: 'bin/b', content: elf(62) },
      ],
    ]);
  });

  test('says nothing of a base without programs', async () => {
    await check([
      [
        { path: 'bin/script', content: '#!/bin/sh\n'.repeat(9) },
        { path: 'bin/short', content: '\x7fELF' },
      ],
    ]);
  });

  test('reads a layer once', async () => {
    const own = new MachineCheck();
    const reference = { registry: registry.host, repository: 'once', tag: '1' };
    const { layers } = await pushTestImage(client, reference, {
      layers: [[{ path: 'bin/sh', content: elf(62) }]],
    });
    for (let time = 0; time < 3; time += 1) await own.check(reference, amd64, { source: client });
    const blob = `GET /v2/once/blobs/${layers[0]?.digest}`;
    expect(registry.requests.filter((line) => line === blob)).toHaveLength(1);
  });

  test('refuses a base whose label is another', async () => {
    const reference = { registry: registry.host, repository: 'base', tag: 'other' };
    await pushTestImage(client, reference, { layers: [[]], config: { architecture: 'arm64' } });
    await expect(new MachineCheck().check(reference, amd64, { source: client })).rejects.toThrow(
      expect.objectContaining({ code: 'BUILD_UNSUPPORTED' }),
    );
  });
});
