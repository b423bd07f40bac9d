import { buffer } from 'node:stream/consumers';
import { type RegistryClient, type ResolvedImage, resolveImage } from '@imagevet/registry';
import type { SlsaProvenance } from '../attest/slsa-provenance.ts';
import type { RebuildOutcome } from '../types.ts';

/** The image an outcome made, as the registry shows it. */
export async function builtBy(
  outcomes: readonly RebuildOutcome[],
  name: string,
  client: RegistryClient,
): Promise<ResolvedImage> {
  const outcome = outcomes.find(({ step }) => step.startsWith(`docker.io/library/${name}:`));
  if (outcome?.status !== 'built') throw new Error(`${name} was not built`);
  return resolveImage({ ...outcome.image.reference, tag: undefined }, { source: client });
}

/** Every provenance statement that refers to an image. */
export async function provenanceOf(image: ResolvedImage, client: RegistryClient): Promise<SlsaProvenance[]> {
  const statements: SlsaProvenance[] = [];
  const artifactType = 'application/vnd.in-toto+json';
  for await (const { digest } of client.referrers(image.reference, image.manifest.digest, { artifactType })) {
    const found = await client.fetchManifest({ ...image.reference, tag: undefined, digest });
    if (found.kind !== 'image') throw new Error('not an artifact');
    const [layer] = found.manifest.layers;
    const bytes = await buffer(client.openBlob(image.reference, layer!));
    statements.push(JSON.parse(bytes.toString('utf8')) as SlsaProvenance);
  }
  return statements;
}
