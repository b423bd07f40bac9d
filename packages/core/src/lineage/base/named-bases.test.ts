import { type HistoryEntry, parseReference, type ResolvedImage } from '@imagevet/registry';
import { pushTestImage, pushTestIndex, type TestImage } from '@imagevet/registry/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { imageLabelSource } from '../../provenance/image/labels.ts';
import { serveDockerHub } from '../__fixtures__/docker-hub.ts';
import { resolveLineage } from '../resolve-lineage.ts';
import type { Lineage, ProvenanceClaim, ProvenanceSource } from '../types.ts';

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
  const hub = serveDockerHub('each');
  let base: ResolvedImage;
  let other: ResolvedImage;
  beforeEach(async () => {
    base = await push('base:1', layer('base'));
    other = await push('other:1', layer('other'));
    await push('app:1', { base, ...layer('app') });
  });

  const push = (name: string, image: TestImage): Promise<ResolvedImage> =>
    pushTestImage(hub.client, parseReference(name), image);
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
    return resolveLineage('app:1', { registry: hub.client, sources: [source, imageLabelSource()] });
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

  test('contradicts a second claim that names the image of another platform', async () => {
    const foreign = await push('base:arm', {
      ...layer('arm'),
      config: { os: 'linux', architecture: 'arm64' },
    });
    const lineage = await resolve(
      'base:1',
      attests('base:1', base.manifest.digest),
      annotates('base:1', foreign.manifest.digest),
    );
    expect(edgeOf(lineage)?.grade).toBe('contradicted');
    expect(edgeOf(lineage)?.evidence.find(({ verdict }) => verdict === 'refutes')?.message).toMatch(
      /which is of linux\/arm64(?:\/v8)? and is not its base$/,
    );
  });

  test('holds a label that names the base as its Dockerfile does against its digest, though the tag is gone', async () => {
    const labels = { [`${BASE}.name`]: 'other:gone', [`${BASE}.digest`]: other.manifest.digest };
    await push('app:1', { base, ...layer('app'), config: { config: { Labels: labels } } });
    const lineage = await resolve('other:gone');
    expect(edgeOf(lineage)?.grade).toBe('contradicted');
    expect(said(lineage)).toContain('image-label refutes');
  });

  test('says that a digest could not be read', async () => {
    const lineage = await resolve('base:1', annotates('other:1', GONE));
    expect(edgeOf(lineage)?.grade).toBe('proven');
    expect(said(lineage)).toEqual(['dockerfile supports', 'oci-annotation neutral', 'layers supports']);
  });

  test('knows an index and the manifest in it for one image', async () => {
    const index = await pushTestIndex(hub.client, parseReference('base:1'), [base]);
    const claims = [attests('base:1', index.digest), annotates('base:1', base.manifest.digest)];
    for (const from of ['base:1', `base:1@${base.manifest.digest}`]) {
      const lineage = await resolve(from, ...claims);
      expect(edgeOf(lineage)?.grade).toBe('proven');
      expect(said(lineage)?.filter((text) => !text.endsWith('supports'))).toEqual([]);
      expect(lineage.conflicts).toEqual([]);
    }
  });

  describe('by name alone', () => {
    const naming = (
      reference: string,
      kind: ProvenanceClaim['kind'] = 'oci-annotation',
    ): ProvenanceClaim => ({
      ...{ kind, foundAt: 'manifest', base: { reference } },
    });
    const nameOnly = (name: string) => ({ config: { config: { Labels: { [`${BASE}.name`]: name } } } });
    const own = { kind: 'buildkit-attestation', foundAt: 'source' };

    test('keeps an annotation that names another image, beside what is proven', async () => {
      const lineage = await resolve('base:1', naming('other:1'));
      expect(edgeOf(lineage)?.grade).toBe('proven');
      expect(said(lineage)).toEqual(['dockerfile supports', 'oci-annotation neutral', 'layers supports']);
      expect(edgeOf(lineage)?.evidence[1]?.message).toBe(
        'names other:1, which is not its base as it is today',
      );
      expect(lineage.conflicts).toEqual([
        {
          ...{ node: lineage.root, about: 'base' },
          statements: [
            { ...own, value: 'base:1' },
            { kind: 'oci-annotation', foundAt: 'manifest', value: 'other:1' },
          ],
        },
      ]);
    });

    test('keeps one that names what no registry has, and one that names what is no name', async () => {
      for (const name of ['gone:1', 'no/Name', 'scratch']) {
        const lineage = await resolve('base:1', naming(name));
        expect(said(lineage)).toContain('oci-annotation neutral');
        expect(lineage.conflicts).toMatchObject([{ statements: [{ value: 'base:1' }, { value: name }] }]);
      }
    });

    test('finds no conflict in another name of the base, or in what that is built on', async () => {
      await push('alias:1', layer('base'));
      const on = await push('middle:1', { base, ...layer('middle') });
      await push('app:1', { base: on, ...layer('app') });
      const lineage = await resolve('middle:1', naming('alias:1'));
      expect(edgeOf(lineage)?.evidence[1]?.message).toBe('names alias:1, which it is built on too');
      expect(lineage.conflicts).toEqual([]);
      const between = await resolve('base:1', naming('middle:1'));
      expect(edgeOf(between)?.evidence[1]?.message).toContain('which is above it');
      expect(between.conflicts).toMatchObject([{ statements: [{ value: 'base:1' }, { value: 'middle:1' }] }]);
    });

    test('finds a conflict in a nearer base, also where it only adds configuration', async () => {
      const nearer = await push('nearer:1', {
        ...{ base, layers: [] },
        history: [{ created: '2018-01-01T00:00:00Z', created_by: 'CMD ["x"]', empty_layer: true }],
      });
      await push('app:1', { base: nearer, ...layer('app') });
      const lineage = await resolve('base:1', {
        kind: 'oci-annotation',
        foundAt: 'manifest',
        base: { reference: 'nearer:1' },
      });
      expect(lineage.conflicts).toMatchObject([{ about: 'base' }]);
      expect(edgeOf(lineage)?.evidence.map(({ message }) => message)).toContainEqual(
        expect.stringContaining('is above it'),
      );
    });

    test('finds no conflict in the same name written otherwise', async () => {
      for (const name of ['docker.io/library/base:1', 'index.docker.io/library/base:1']) {
        const lineage = await resolve('base:1', naming(name));
        expect(said(lineage)).toEqual(['dockerfile supports', 'oci-annotation supports', 'layers supports']);
        expect(lineage.conflicts).toEqual([]);
      }
      const pinned = await resolve(`base@${base.manifest.digest}`, naming('base:1'));
      expect(pinned.conflicts).toEqual([]);
    });

    test('holds a label against the base only when it is its own', async () => {
      await push('app:1', { base, ...layer('app'), ...nameOnly('other:1') });
      expect((await resolve('base:1')).conflicts).toMatchObject([
        { statements: [own, { value: 'other:1' }] },
      ]);
      expect((await resolve('unseen:1')).conflicts).toEqual([]);
      const labelledBase = await push('base:1', { ...layer('base'), ...nameOnly('other:1') });
      await push('app:1', { base: labelledBase, ...layer('app'), ...nameOnly('other:1') });
      const inherited = await resolve('base:1');
      expect(said(inherited)).toEqual(['dockerfile supports', 'layers supports']);
      expect(inherited.conflicts).toEqual([]);
    });

    test('finds a conflict between claims where no Dockerfile says', async () => {
      const sources: ProvenanceSource[] = [
        {
          kind: 'oci-annotation',
          async *claims({ reference }) {
            if (reference.repository !== 'library/app') return;
            yield naming('base:1');
            yield naming('other:1', 'docker-hub-description');
          },
        },
      ];
      const lineage = await resolveLineage('app:1', { registry: hub.client, sources });
      expect(edgeOf(lineage)?.name).toBe('base:1');
      expect(lineage.conflicts).toMatchObject([
        {
          about: 'base',
          statements: [{ value: 'base:1' }, { kind: 'docker-hub-description', value: 'other:1' }],
        },
      ]);
    });

    test('finds a conflict with a Dockerfile that begins with nothing', async () => {
      const lineage = await resolve('scratch', naming('other:1'));
      expect(lineage.nodes[0]?.end).toBe('scratch');
      expect(lineage.conflicts).toMatchObject([{ statements: [{ value: 'scratch' }, { value: 'other:1' }] }]);
      // An attestation lists what the build read, such as the image of an earlier stage.
      expect((await resolve('scratch', naming('other:1', 'buildkit-attestation'))).conflicts).toEqual([]);
    });
  });
});
