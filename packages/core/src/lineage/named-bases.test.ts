import { type HistoryEntry, parseReference, RegistryClient, type ResolvedImage } from '@imagevet/registry';
import {
  pushTestImage,
  pushTestIndex,
  startRegistry,
  type TestImage,
  type TestRegistry,
} from '@imagevet/registry/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { imageLabelSource } from '../provenance/image/labels.ts';
import { resolveLineage } from './resolve-lineage.ts';
import type { Lineage, ProvenanceClaim, ProvenanceSource } from './types.ts';

const BASE = 'org.opencontainers.image.base';
const GONE = `sha256:${'0'.repeat(64)}` as const;
const made = (name: string): HistoryEntry => ({
  created: '2018-01-01T00:00:00Z',
  created_by: `COPY ${name} / # buildkit`,
});
const layer = (name: string): TestImage => ({
  layers: [[{ path: name, content: name }]],
  history: [made(name)],
});

describe('resolveLineage() and what else is said to be the base', () => {
  let registry: TestRegistry;
  let client: RegistryClient;
  let base: ResolvedImage;
  let other: ResolvedImage;
  beforeEach(async () => {
    registry = await startRegistry();
    client = new RegistryClient({ attempts: 1, hosts: { 'docker.io': { url: registry.url } } });
    base = await push('base:1', layer('base'));
    other = await push('other:1', layer('other'));
    await push('app:1', { base, ...layer('app') });
  });
  afterEach(async () => {
    await client.close();
    await registry.close();
  });

  const push = (name: string, image: TestImage): Promise<ResolvedImage> =>
    pushTestImage(client, parseReference(name), image);
  const labelled = (digest: string) => ({
    config: { config: { Labels: { [`${BASE}.name`]: 'other:1', [`${BASE}.digest`]: digest } } },
  });
  const attests = (reference: string, digest: ResolvedImage['manifest']['digest']): ProvenanceClaim => ({
    ...{ kind: 'buildkit-attestation', foundAt: 'statement' },
    base: { reference, digest },
  });
  const annotates = (reference: string, digest: ResolvedImage['manifest']['digest']): ProvenanceClaim => ({
    ...{ kind: 'oci-annotation', foundAt: 'manifest' },
    base: { reference, digest },
  });

  /** The Dockerfile of `app:1` is embedded in its provenance, and says `from`. */
  function resolve(from: string, ...claims: readonly ProvenanceClaim[]): Promise<Lineage> {
    const source: ProvenanceSource = {
      kind: 'buildkit-attestation',
      async *claims({ reference }) {
        if (reference.repository !== 'library/app') return;
        yield { kind: 'buildkit-attestation', foundAt: 'source', dockerfile: `FROM ${from}\nCOPY app /` };
        yield* claims;
      },
    };
    return resolveLineage('app:1', { registry: client, sources: [source, imageLabelSource()] });
  }
  const edgeOf = (lineage: Lineage) => lineage.edges.find(({ kind }) => kind === 'base');
  const said = (lineage: Lineage) =>
    edgeOf(lineage)?.evidence.map(({ kind, verdict }) => `${kind} ${verdict}`);

  test('contradicts an annotation that lies beside an attestation that does not', async () => {
    const again = await push('base:2', layer('more'));
    const lineage = await resolve(
      'base:1',
      attests('base:1', base.manifest.digest),
      annotates('base:1', again.manifest.digest),
    );
    expect(edgeOf(lineage)?.grade).toBe('contradicted');
    expect(said(lineage)).toContain('oci-annotation refutes');
    expect(said(lineage)).toContain('buildkit-attestation supports');
    expect(lineage.conflicts).toMatchObject([{ about: 'base' }]);
  });

  test('contradicts an annotation that lies beside a digest in FROM', async () => {
    const again = await push('base:2', layer('more'));
    const lineage = await resolve(
      `base:1@${base.manifest.digest}`,
      annotates('base:1', again.manifest.digest),
    );
    expect(edgeOf(lineage)?.grade).toBe('contradicted');
    expect(said(lineage)).toEqual(['dockerfile supports', 'oci-annotation refutes', 'layers supports']);
  });

  test('contradicts an annotation and a label that name another image than the Dockerfile', async () => {
    expect(edgeOf(await resolve('base:1', annotates('other:1', other.manifest.digest)))?.grade).toBe(
      'contradicted',
    );
    await push('app:1', { base, ...layer('app'), ...labelled(other.manifest.digest) });
    const lineage = await resolve('base:1');
    expect(edgeOf(lineage)?.grade).toBe('contradicted');
    expect(said(lineage)).toEqual(['dockerfile supports', 'image-label refutes', 'layers supports']);
  });

  test('takes no notice of a label that the base has too, or may have', async () => {
    const labelledBase = await push('base:1', { ...layer('base'), ...labelled(other.manifest.digest) });
    await push('app:1', { base: labelledBase, ...layer('app'), ...labelled(other.manifest.digest) });
    const lineage = await resolve('base:1');
    expect(edgeOf(lineage)?.grade).toBe('proven');
    expect(said(lineage)).toEqual(['dockerfile supports', 'layers supports']);
    const unseen = await resolve('unseen:1');
    expect(edgeOf(unseen)?.grade).toBe('claimed');
    expect(said(unseen)).toEqual(['dockerfile supports', 'image-label neutral']);
  });

  test('says that a digest could not be read', async () => {
    const lineage = await resolve('base:1', annotates('other:1', GONE));
    expect(edgeOf(lineage)?.grade).toBe('proven');
    expect(said(lineage)).toEqual(['dockerfile supports', 'oci-annotation neutral', 'layers supports']);
  });

  test('knows an index and the manifest in it for one image', async () => {
    const index = await pushTestIndex(client, parseReference('base:1'), [base]);
    const claims = [attests('base:1', index.digest), annotates('base:1', base.manifest.digest)];
    for (const from of ['base:1', `base:1@${base.manifest.digest}`]) {
      const lineage = await resolve(from, ...claims);
      expect(edgeOf(lineage)?.grade).toBe('proven');
      expect(said(lineage)?.filter((text) => !text.endsWith('supports'))).toEqual([]);
      expect(lineage.conflicts).toEqual([]);
    }
  });
});
