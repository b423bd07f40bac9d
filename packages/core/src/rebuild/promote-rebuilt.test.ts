import {
  type Digest,
  digestOf,
  formatReference,
  parseReference,
  RegistryClient,
  resolveImage,
} from '@imagevet/registry';
import { pushTestImage, startRegistry } from '@imagevet/registry/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { provenanceOf } from './__fixtures__/provenance.ts';
import { attestRebuild } from './attest/attest-rebuild.ts';
import { toBuiltImage } from './claim-name.ts';
import { promoteRebuilt } from './promote-rebuilt.ts';
import type { RebuildPlan, RebuildResult, RebuildStep } from './types.ts';

const platform = { os: 'linux', architecture: 'amd64' };

/** A plan of one image that was built, and one that failed. */
async function prepare() {
  const registry = await startRegistry();
  const client = new RegistryClient();
  onTestFinished(async () => {
    await client.close();
    await registry.close();
  });
  const stepOf = (name: string): RebuildStep => ({
    id: name,
    key: 'c'.repeat(64),
    reference: parseReference(`docker.io/library/${name}:1`),
    platform,
    location: {
      ...{ repository: 'https://git.example/x', commit: 'a'.repeat(40) },
      ...{ directory: '.', path: 'Dockerfile' },
    },
    dockerfile: 'FROM scratch',
    inputs: [],
    target: { registry: registry.host, repository: `vetted/${name}`, tag: '1' },
    scratch: { registry: registry.host, repository: `scratch/${name}` },
  });
  const steps = [stepOf('app'), stepOf('broken')];
  const plan: RebuildPlan = { id: digestOf('plan'), platform, steps, gaps: [] };
  const built = { ...steps[0]!.scratch, tag: 'build-k' };
  await pushTestImage(client, built, { layers: [[{ path: 'x', content: 'x' }]] });
  const image = toBuiltImage(built, await resolveImage(built, { source: client }));
  const result: RebuildResult = {
    plan: plan.id,
    engine: { name: 'x', version: '1' },
    outcomes: [
      { step: 'app', status: 'built', image, durationMs: 1 },
      { step: 'broken', status: 'failed', code: 'BUILD_FAILED', message: 'x', log: [], durationMs: 1 },
    ],
  };
  const place = { registry: registry.host, repository: 'vetted/app' };
  const held = (digest: Digest) => client.fetchManifest({ ...place, digest }).then(Boolean, () => false);
  return { registry, client, plan, result, image, place, held };
}

describe('promoteRebuilt()', () => {
  test('puts what was built by digest where its target is, whole, and gives it no tag', async () => {
    const { registry, client, plan, result, image, place, held } = await prepare();
    expect(await held(image.descriptor.digest)).toBe(false);
    const promoted = await promoteRebuilt(plan, result, { registry: client });
    const reference = { ...place, digest: image.descriptor.digest };
    expect(promoted).toEqual([{ step: 'app', reference }]);
    const moved = await resolveImage(reference, { source: client });
    for (const layer of moved.layers) for await (const _chunk of client.openBlob(reference, layer));
    const written = registry.requests.filter((line) => line.startsWith('PUT /v2/vetted/app/manifests/'));
    expect(written).toEqual([expect.stringContaining(`/manifests/${image.descriptor.digest}`)]);
  });

  test('takes the provenance along, and nothing else that refers to the image', async () => {
    const { client, plan, result, image, place } = await prepare();
    await attestRebuild(plan, result, { registry: client });
    // Somebody who may write to the scratch repository says something too.
    const { digest, mediaType, size } = image.descriptor;
    const own = { ...image.reference, tag: undefined };
    const { bytes, descriptor } = await client.fetchManifest({ ...own, digest });
    const say = async (about: object) => {
      const manifest = JSON.parse(Buffer.from(bytes).toString('utf8')) as object;
      const said = Buffer.from(
        JSON.stringify({ ...manifest, subject: { mediaType, digest, size }, ...about }),
      );
      const beside = { ...own, digest: digestOf(said) };
      await client.pushManifest(beside, { bytes: said, mediaType: descriptor.mediaType });
    };
    await say({ artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json' });
    await say({
      artifactType: 'application/vnd.in-toto+json',
      annotations: { 'in-toto.io/predicate-type': 'https://cosign.sigstore.dev/attestation/vuln/v1' },
    });
    const said = async (where: typeof place) => {
      const found: (string | undefined)[] = [];
      for await (const { artifactType } of client.referrers(where, digest)) found.push(artifactType);
      return found;
    };
    expect(await said(own)).toHaveLength(3);
    await promoteRebuilt(plan, result, { registry: client });
    expect(await said(place)).toEqual(['application/vnd.in-toto+json']);
    const promoted = await resolveImage({ ...place, digest }, { source: client });
    expect((await provenanceOf(promoted, client))[0]?.subject[0]?.name).toBe(formatReference(place));
  });

  test('is done once, however often it is asked for', async () => {
    const { registry, client, plan, result } = await prepare();
    await attestRebuild(plan, result, { registry: client });
    await promoteRebuilt(plan, result, { registry: client });
    const before = registry.requests.length;
    await promoteRebuilt(plan, result, { registry: client });
    const again = registry.requests.slice(before).filter((line) => /^(?:POST|PATCH)/.test(line));
    expect(again).toEqual([]);
  });

  test('fails when the image is not there any more', async () => {
    const { client, plan, result } = await prepare();
    const [outcome] = result.outcomes;
    if (outcome?.status !== 'built') throw new Error('not built');
    const digest = digestOf('gone');
    const image = { ...outcome.image, descriptor: { ...outcome.image.descriptor, digest } };
    const gone: RebuildResult = { ...result, outcomes: [{ ...outcome, image }] };
    await expect(promoteRebuilt(plan, gone, { registry: client })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});
