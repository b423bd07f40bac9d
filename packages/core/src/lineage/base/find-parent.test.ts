import {
  type HistoryEntry,
  type ImageReference,
  parseReference,
  type ResolvedImage,
} from '@imagevet/registry';
import { pushTestImage, type TestImage } from '@imagevet/registry/testing';
import { describe, expect, test } from 'vitest';
import { CoreError } from '../../errors.ts';
import { imageLabelSource } from '../../provenance/image/labels.ts';
import { serveDockerHub } from '../__fixtures__/docker-hub.ts';
import type { OtherVersions, OtherVersionsOptions, ResolveLineageOptions } from '../options.ts';
import { resolveLineage } from '../resolve-lineage.ts';
import type { Lineage, ProvenanceSource, SourceHost } from '../types.ts';

const REPOSITORY = 'https://git.example/org/family';
const COMMIT = 'd'.repeat(40);
const BASE = 'org.opencontainers.image.base';
const made = (created_by: string, empty_layer?: true): HistoryEntry => ({
  created: '2018-01-01T00:00:00Z',
  created_by,
  ...(empty_layer === undefined ? {} : { empty_layer }),
});
const content = (name: string) => [{ path: name, content: name }];

describe('resolveLineage() finds the base', () => {
  const hub = serveDockerHub('each');

  const push = (name: string, image: TestImage): Promise<ResolvedImage> =>
    pushTestImage(hub.client, parseReference(name), image);

  const labelled = (labels: Readonly<Record<string, string>>) => ({ config: { config: { Labels: labels } } });

  /** `base:1` has moved since `app:1` was built on it; what it was is still at `base:old`. */
  async function moved(labels: (base: ResolvedImage) => Readonly<Record<string, string>> = () => ({})) {
    const base = await push('base:1', {
      layers: [content('base')],
      history: [made('COPY base / # buildkit')],
    });
    await push('base:old', { layers: [content('base')], history: [made('COPY base / # buildkit')] });
    const other = await push('base:1', {
      layers: [content('new')],
      history: [made('COPY base / # buildkit')],
    });
    await push('app:1', {
      base,
      layers: [content('app')],
      history: [made('COPY app / # buildkit')],
      ...labelled(labels(base)),
    });
    return { base, other };
  }

  /** Dockerfiles come from one trusted source unless `trusted` is false; labels are always read. */
  function resolve(
    dockerfiles: Readonly<Record<string, string>>,
    { trusted = true, ...options }: Partial<ResolveLineageOptions> & { readonly trusted?: boolean } = {},
  ): Promise<Lineage> {
    const source: ProvenanceSource = {
      kind: 'official-images',
      async *claims({ reference }) {
        const path = reference.repository.replace('library/', '');
        const location = { repository: REPOSITORY, commit: COMMIT, directory: '.', path };
        if (trusted && Object.hasOwn(dockerfiles, path)) {
          yield { kind: 'official-images', foundAt: 'library', location };
        }
      },
    };
    const host: SourceHost = {
      supports: () => true,
      readFile: async (_repository, _commit, path) => ({
        content: Buffer.from(dockerfiles[path] ?? ''),
        url: `${REPOSITORY}/${path}`,
      }),
      async *readDirectory() {},
      commitOf: async () => COMMIT,
      reachability: async () => 'reachable',
    };
    const sources = [source, imageLabelSource()];
    return resolveLineage('app:1', { registry: hub.client, sources, host, ...options });
  }

  const APP = { app: 'FROM base:1\nCOPY app /' };
  const edgeOf = (lineage: Lineage) => lineage.edges.find(({ kind }) => kind === 'base');
  const said = (lineage: Lineage) =>
    edgeOf(lineage)?.evidence.map(({ kind, verdict }) => `${kind} ${verdict}`);

  test('by another tag, when its own has moved', async () => {
    const { base, other } = await moved();
    // Its layers and history are those of the base, and its name is not.
    await push('stranger:1', {
      ...{ layers: [content('base')], history: [made('COPY base / # buildkit')] },
      ...labelled({ of: 'a stranger' }),
    });
    const asked: ImageReference[] = [];
    const lineage = await resolve(APP, {
      otherVersions: (reference) => {
        asked.push(reference);
        return ['base:gone', 'stranger:1', 'base:old'].map((name) => parseReference(name));
      },
    });
    expect(asked.map(({ repository, tag }) => `${repository}:${tag}`)).toEqual(['library/base:1']);
    expect(edgeOf(lineage)?.grade).toBe('proven');
    expect(lineage.nodes[1]?.image?.manifest.digest).toBe(base.manifest.digest);
    expect(edgeOf(lineage)?.evidence.at(-1)?.message).toContain(other.manifest.digest);
    expect(lineage.nodes[0]?.dockerfile.consistency).toBe('consistent');
  });

  test('by what was current when the child was built', async () => {
    await moved();
    const told: OtherVersionsOptions[] = [];
    const otherVersions: OtherVersions = (_reference, options) => {
      told.push(options);
      return [];
    };
    await push('app:1', { layers: [content('app')], config: { created: '2018-01-04T10:11:12Z' } });
    await resolve(APP, { otherVersions, asOf: new Date('2018-02-01') });
    await push('app:1', { layers: [content('app')], config: { created: '1970-01-01T00:00:01Z' } });
    await resolve(APP, { otherVersions, asOf: new Date('2018-02-01') });
    await resolve(APP, { otherVersions });
    const times = told.map(({ asOf }) => asOf?.toISOString());
    expect(times).toEqual(['2018-01-04T10:11:12.000Z', '2018-02-01T00:00:00.000Z', undefined]);
    expect(told[2]?.platform).toEqual({ os: 'linux', architecture: 'amd64' });
  });

  test('by the digest its label names, when the tag has moved', async () => {
    const { base } = await moved(({ manifest }) => ({
      [`${BASE}.name`]: 'base:1',
      [`${BASE}.digest`]: manifest.digest,
    }));
    const lineage = await resolve(APP);
    expect(edgeOf(lineage)?.grade).toBe('proven');
    expect(lineage.nodes[1]?.image?.manifest.digest).toBe(base.manifest.digest);
    expect(said(lineage)).toContain('image-label supports');
  });

  test('not at all, when none of the known images is it', async () => {
    const { other } = await moved();
    const lineage = await resolve(APP, { otherVersions: () => [parseReference('base:1')] });
    expect(edgeOf(lineage)?.grade).toBe('claimed');
    expect(edgeOf(lineage)?.evidence.at(-1)).toMatchObject({
      verdict: 'neutral',
      message: expect.stringMatching(/is unknown \(of 1 on record none is it\)$/) as string,
    });
    expect(lineage.nodes[1]?.image?.manifest.digest).toBe(other.manifest.digest);
  });

  test('says so when the known images could not be listed', async () => {
    await moved();
    const otherVersions = () => {
      throw new CoreError('SOURCE_UNREACHABLE', 'the record is down');
    };
    const lineage = await resolve(APP, { otherVersions });
    expect(edgeOf(lineage)?.grade).toBe('claimed');
    expect(lineage.gaps).toContainEqual(
      expect.objectContaining({
        stage: 'lineage',
        code: 'SOURCE_UNREACHABLE',
        message: 'what base:1 was could not be looked up: the record is down',
      }),
    );
  });

  test('asks for nothing more when the tag still names it', async () => {
    const base = await push('base:1', { layers: [content('base')] });
    await push('app:1', { base, layers: [content('app')], history: [made('COPY app / # buildkit')] });
    const before = hub.registry.requests.length;
    expect(edgeOf(await resolve(APP))?.grade).toBe('proven');
    const plain = hub.registry.requests.length - before;
    const never = () => {
      throw new Error('asked');
    };
    expect(edgeOf(await resolve(APP, { otherVersions: never }))?.grade).toBe('proven');
    expect(plain).toBeGreaterThan(0);
  });

  test('contradicts a label that lies, even where the tag is the base', async () => {
    const base = await push('base:1', { layers: [content('base')] });
    const other = await push('base:2', { layers: [content('other')] });
    const image = { base, layers: [content('app')], history: [made('COPY app / # buildkit')] };
    const labels = { [`${BASE}.name`]: 'base:1', [`${BASE}.digest`]: other.manifest.digest };
    await push('app:1', { ...image, ...labelled(labels) });
    const lineage = await resolve(APP);
    expect(edgeOf(lineage)?.grade).toBe('contradicted');
    expect(said(lineage)).toEqual(['dockerfile supports', 'image-label refutes', 'layers supports']);
  });

  test('takes no notice of a label about the base of its base', async () => {
    const ground = await push('base:0', { layers: [content('other')] });
    const labels = { [`${BASE}.name`]: 'base:1', [`${BASE}.digest`]: ground.manifest.digest };
    const base = await push('base:1', { layers: [content('base')], ...labelled(labels) });
    const image = { base, layers: [content('app')], history: [made('COPY app / # buildkit')] };
    await push('app:1', { ...image, ...labelled(labels) });
    const lineage = await resolve(APP);
    expect(edgeOf(lineage)?.grade).toBe('proven');
    expect(said(lineage)).toEqual(['dockerfile supports', 'layers supports']);
  });

  test.each([
    ['the empty layer every builder makes', [[]], [made('WORKDIR / # buildkit')]],
    ['a configuration alone', [], [made('ENV A=1', true), made('CMD ["x"]', true)]],
  ])('proves nothing by %s', async (_name, layers, history) => {
    const base = await push('base:1', { layers, history });
    await push('app:1', { base, layers: [content('app')], history: [made('COPY app / # buildkit')] });
    if (layers.length > 0) expect(base.diffIds[0]).toMatch(/^sha256:5f70bf18a0860070/);
    const lineage = await resolve(APP, { otherVersions: () => [parseReference('base:1')] });
    expect(edgeOf(lineage)?.grade).toBe('claimed');
    expect(edgeOf(lineage)?.evidence.at(-1)?.message).toContain('proves nothing');
  });

  describe('and knows whose the labels are', () => {
    const labels = (path: string) => ({
      'org.opencontainers.image.source': `${REPOSITORY}.git#${COMMIT}:${path}`,
      'org.opencontainers.image.revision': COMMIT,
    });
    const DOCKERFILES = {
      'base/Dockerfile': 'FROM scratch\nCOPY base /\nLABEL source=x\n',
      'app/Dockerfile': 'FROM base:1\nCOPY app /\n',
    };
    async function family(childLabels: Readonly<Record<string, string>>) {
      const base = await push('base:1', {
        layers: [content('base')],
        history: [made('COPY base / # buildkit'), made('LABEL source=x', true)],
        ...labelled(labels('base')),
      });
      const image = { base, layers: [content('app')], history: [made('COPY app / # buildkit')] };
      await push('app:1', { ...image, ...labelled(childLabels) });
    }

    test("does not take the base's Dockerfile for the child's", async () => {
      await family(labels('base'));
      const lineage = await resolve(DOCKERFILES, { trusted: false });
      expect(lineage.nodes[0]?.dockerfile.status).toBe('not-named');
      expect(lineage.nodes[0]?.dockerfile.text).toBeUndefined();
      expect(lineage.gaps.map(({ code }) => code)).toContain('LABEL_INHERITED');
      expect(lineage.edges).toEqual([]);
    });

    test("takes the child's own", async () => {
      await family(labels('app'));
      const lineage = await resolve(DOCKERFILES, { trusted: false });
      expect(lineage.nodes[0]?.dockerfile).toMatchObject({
        status: 'found',
        kind: 'image-label',
        consistency: 'consistent',
      });
      expect(edgeOf(lineage)?.grade).toBe('proven');
      expect(lineage.nodes[1]?.dockerfile.consistency).toBe('consistent');
    });
  });
});
