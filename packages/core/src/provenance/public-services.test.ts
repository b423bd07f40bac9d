import { parseReference, RegistryClient } from '@imagevet/registry';
import { pushTestImage, startRegistry } from '@imagevet/registry/testing';
import { expect, test } from 'vitest';
import { resolveLineage } from '../lineage/resolve-lineage.ts';
import type { ProvenanceSource } from '../lineage/types.ts';
import { publicServices } from './public-services.ts';

const layers = [[{ path: 'a', content: 'a' }]];
const dockerfileOf = (image: string, dockerfile: string): ProvenanceSource => ({
  kind: 'buildkit-attestation',
  async *claims({ reference }) {
    if (reference.repository === image) yield { kind: 'buildkit-attestation', foundAt: 'test', dockerfile };
  },
});

test('publicServices() follows no FROM line into the network of the caller', async () => {
  await using outside = await startRegistry();
  await using inside = await startRegistry();
  await using client = new RegistryClient();
  await pushTestImage(client, parseReference(`${outside.host}/library/app:1`), { layers });
  await pushTestImage(client, parseReference(`${inside.host}/secret:1`), { layers });
  const asked = inside.requests.length;
  const resolve = async (image: string, internalRegistries: readonly string[]) => {
    const hosts = { 'docker.io': { url: outside.url } };
    const { registry, host } = publicServices({ hosts, internalRegistries });
    const sources = [dockerfileOf('library/app', `FROM ${inside.host}/secret:1`)];
    const lineage = await resolveLineage(image, { registry, host, sources });
    await registry.close();
    return lineage;
  };

  const refused = await resolve('app:1', []);
  expect(refused.gaps.map(({ stage, code }) => `${stage} ${code}`)).toContain('resolve EGRESS_REFUSED');
  expect(refused.nodes[1]).not.toHaveProperty('image');
  expect(inside.requests.length).toBe(asked);

  const named = await resolve(`${inside.host}/secret:1`, [inside.host]);
  expect(named.nodes[0]?.image).toBeDefined();
});
