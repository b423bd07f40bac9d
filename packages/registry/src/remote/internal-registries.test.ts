// Where names out of content may lead. Only the name service is replaced: no real public name leads to loopback.
import type { lookup } from 'node:dns';
import { describe, expect, test, vi } from 'vitest';
import { parseReference } from '../reference.ts';
import { pushTestImage } from '../testing/image.ts';
import { startRegistry } from '../testing/registry.ts';
import { RegistryClient } from './client.ts';

vi.mock(import('node:dns'), async (original) => {
  const dns = await original();
  const answer = (name: string, options: object, callback: (...answer: readonly unknown[]) => void) =>
    name === 'registry.example'
      ? callback(null, [{ address: '127.0.0.1', family: 4 }])
      : dns.lookup(name, options, callback);
  return { ...dns, lookup: answer as typeof lookup };
});

async function start() {
  const registry = await startRegistry();
  const { port } = new URL(registry.url);
  await using client = new RegistryClient();
  await pushTestImage(client, parseReference(`${registry.host}/app:1`), {
    layers: [[{ path: 'a', content: 'a' }]],
  });
  const before = registry.requests.length;
  const name = `registry.example:${port}`;
  const fetch = async (image: string, options: ConstructorParameters<typeof RegistryClient>[0]) => {
    await using asking = new RegistryClient({ attempts: 1, ...options });
    return (await asking.fetchManifest(parseReference(image))).kind;
  };
  return {
    registry,
    name,
    fetch,
    asked: () => registry.requests.length - before,
    [Symbol.asyncDispose]: () => registry.close(),
  };
}

describe('RegistryClient with internalRegistries', () => {
  test('connects to no other internal address', async () => {
    await using it = await start();
    const { host } = it.registry;
    for (const image of [
      `${host}/app:1`,
      `${host.replace('127.0.0.1', 'localhost')}/app:1`,
      `${it.name}/app:1`,
    ]) {
      await expect(it.fetch(image, { internalRegistries: ['other.example'] })).rejects.toMatchObject({
        code: 'EGRESS_REFUSED',
      });
    }
    expect(it.asked()).toBe(0);
  });

  test('connects to those listed, to those configured, and without a list to all', async () => {
    await using it = await start();
    const { host, url } = it.registry;
    expect(await it.fetch(`${host}/app:1`, { internalRegistries: [host] })).toBe('image');
    expect(await it.fetch(`${host}/app:1`, {})).toBe('image');
    const hosts = { [it.name]: { url: url.replace('127.0.0.1', 'registry.example') } };
    expect(await it.fetch(`${it.name}/app:1`, { hosts, internalRegistries: [] })).toBe('image');
    expect(it.asked()).toBeGreaterThan(0);
  });
});
