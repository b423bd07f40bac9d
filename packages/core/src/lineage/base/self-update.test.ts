// An image that is updated from itself: `FROM app:latest`, pushed as `app:latest`.
import { type HistoryEntry, parseReference, type ResolvedImage } from '@imagevet/registry';
import { pushTestImage } from '@imagevet/registry/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { ociAnnotationSource } from '../../provenance/image/annotations.ts';
import { serveDockerHub } from '../__fixtures__/docker-hub.ts';
import type { ResolveLineageOptions } from '../options.ts';
import { resolveLineage } from '../resolve-lineage.ts';
import { spine } from '../spine.ts';
import type { Lineage, ProvenanceSource } from '../types.ts';

const made = (name: string): HistoryEntry => ({
  ...{ created: '2018-01-01T00:00:00Z', created_by: `COPY ${name} / # buildkit` },
});
const layer = (name: string) => ({ layers: [[{ path: name, content: name }]], history: [made(name)] });
/** The newer image of the name says so; of the older ones nothing is known but what they name. */
const dockerfiles: ProvenanceSource = {
  kind: 'buildkit-attestation',
  async *claims({ reference: { tag, digest } }) {
    if (tag === 'latest' && digest === undefined) {
      yield { kind: 'buildkit-attestation', foundAt: 'x', dockerfile: 'FROM app:latest\nCOPY two /\n' };
    }
  },
};

describe('resolveLineage() of an image that is updated from itself', () => {
  const hub = serveDockerHub('each');
  let before: ResolvedImage;
  beforeEach(async () => {
    before = await pushTestImage(hub.client, parseReference('app:latest'), layer('one'));
  });

  const update = (annotations: Readonly<Record<string, string>> = {}) =>
    pushTestImage(hub.client, parseReference('app:latest'), { base: before, ...layer('two'), annotations });
  const resolve = (options: Partial<ResolveLineageOptions> = {}): Promise<Lineage> =>
    resolveLineage('app', {
      registry: hub.client,
      sources: [dockerfiles, ociAnnotationSource()],
      ...options,
    });
  const codes = ({ gaps }: Lineage) =>
    gaps.filter(({ stage }) => stage === 'lineage').map(({ code }) => code);

  test('follows what had the name before, by its digest', async () => {
    await update({
      'org.opencontainers.image.base.name': 'app:latest',
      'org.opencontainers.image.base.digest': before.manifest.digest,
    });
    const found = await resolve();
    const known = await resolve({
      sources: [dockerfiles],
      otherVersions: () => [parseReference(`app@${before.manifest.digest}`)],
    });
    for (const lineage of [found, known]) {
      expect(spine(lineage).map(({ image }) => image?.manifest.digest)).toContain(before.manifest.digest);
      expect(lineage.edges).toMatchObject([
        {
          grade: 'proven',
          name: 'app:latest',
          to: `docker.io/library/app@${before.manifest.digest} linux/amd64`,
        },
      ]);
      expect(lineage.nodes[0]?.end).toBeUndefined();
      expect(codes(lineage)).not.toContain('LINEAGE_CYCLE');
    }
  });

  test('says that it is an earlier one where nothing tells which, and takes itself for none', async () => {
    await update();
    for (const options of [
      {},
      { otherVersions: () => [parseReference('app:latest')] },
      { registry: undefined },
    ]) {
      const lineage = await resolve(options);
      expect(lineage.nodes.map(({ end }) => end)).toEqual(['unresolved']);
      expect(codes(lineage)).toEqual(['BASE_EARLIER_VERSION']);
      expect(lineage.edges).toEqual([]);
    }
  });

  test('does not go round where a digest it names is its own', async () => {
    const { manifest } = await update();
    const own: ProvenanceSource = {
      kind: 'oci-annotation',
      async *claims() {
        yield {
          kind: 'oci-annotation',
          foundAt: 'x',
          base: { reference: 'app:latest', digest: manifest.digest },
        };
      },
    };
    const lineage = await resolve({ sources: [dockerfiles, own] });
    expect(codes(lineage)).toEqual(['BASE_EARLIER_VERSION']);
  });
});
