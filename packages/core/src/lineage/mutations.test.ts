// One honest family, and each way it can be made to lie: what the real sources say of it is held against a real registry.
import {
  blobOf,
  type Descriptor,
  type Digest,
  digestOf,
  type HistoryEntry,
  MediaType,
  parseReference,
  type ResolvedImage,
} from '@imagevet/registry';
import { pushTestImage, pushTestIndex, type TestImage } from '@imagevet/registry/testing';
import { expect, test } from 'vitest';
import { buildkitAttestationSource } from '../provenance/attestation/source.ts';
import { ociAnnotationSource } from '../provenance/image/annotations.ts';
import { imageHistorySource } from '../provenance/image/history.ts';
import { imageLabelSource } from '../provenance/image/labels.ts';
import { serveDockerHub } from './__fixtures__/docker-hub.ts';
import type { ResolveLineageOptions } from './options.ts';
import { resolveLineage } from './resolve-lineage.ts';
import type { Lineage, ProvenanceSource, SourceHost } from './types.ts';

const REPOSITORY = 'https://git.example/org/family';
const COMMIT = 'e'.repeat(40);
const BASE = 'org.opencontainers.image.base';
const DOCKERFILES: Readonly<Record<string, string>> = {
  app: 'FROM base:1\nCOPY app /\n',
  second: 'FROM base:1\nCOPY --from=app:1 app /\nCOPY second /\n',
  base: 'FROM scratch\nCOPY one /\nCOPY two /\n',
};

const hub = serveDockerHub('all');

const content = (name: string) => [{ path: name, content: name }];
const copied = (name: string): HistoryEntry => ({
  ...{ created: '2018-01-01T00:00:00Z', created_by: `COPY ${name} / # buildkit` },
});
const push = (name: string, image: TestImage): Promise<ResolvedImage> =>
  pushTestImage(hub.client, parseReference(name), image);
const naming = (digest: Digest) => ({ [`${BASE}.name`]: 'base:1', [`${BASE}.digest`]: digest });

const BASE_IMAGE = {
  layers: [content('one'), content('two')],
  history: [copied('one'), copied('two')],
};
const pushBase = () => push('base:1', BASE_IMAGE);
const pushApp = (base: ResolvedImage, change: Partial<TestImage> = {}, name = 'app:1') =>
  push(name, { base, layers: [content('app')], history: [copied('app')], ...change });

function resolve(name = 'app:1', options: Partial<ResolveLineageOptions> = {}): Promise<Lineage> {
  const library: ProvenanceSource = {
    kind: 'official-images',
    async *claims({ reference }) {
      const path = reference.repository.replace('library/', '');
      const location = { repository: REPOSITORY, commit: COMMIT, directory: '.', path };
      if (Object.hasOwn(DOCKERFILES, path)) yield { kind: 'official-images', foundAt: 'library', location };
    },
  };
  const host: SourceHost = {
    supports: () => true,
    readFile: async (_repository, _commit, path) => ({
      ...{ content: Buffer.from(DOCKERFILES[path] ?? ''), url: `${REPOSITORY}/${path}` },
    }),
    async *readDirectory() {},
    commitOf: async () => COMMIT,
    reachability: async () => 'reachable',
  };
  const sources = [
    buildkitAttestationSource({ registry: hub.client }),
    ociAnnotationSource(),
    library,
    imageLabelSource(),
  ];
  return resolveLineage(name, { registry: hub.client, sources, host, ...options });
}

const edgeOf = (lineage: Lineage) =>
  lineage.edges.find(({ kind, from }) => kind === 'base' && from === lineage.root);
const gradeOf = (lineage: Lineage) => edgeOf(lineage)?.grade;
const refutations = (lineage: Lineage) =>
  edgeOf(lineage)
    ?.evidence.filter(({ verdict }) => verdict === 'refutes')
    .map(({ message }) => message);

test('the honest family is proven, by its tag and by its digest', async () => {
  const base = await pushBase();
  await pushApp(base);
  expect(gradeOf(await resolve())).toBe('proven');
  await pushApp(base, { annotations: naming(base.manifest.digest) });
  expect(gradeOf(await resolve())).toBe('proven');
});

test('a layer that was swapped is a contradiction at a digest, and no proof at a tag', async () => {
  const base = await pushBase();
  const swapped = await push('swapped:1', { ...BASE_IMAGE, layers: [content('evil'), content('two')] });
  await pushApp(swapped, { annotations: naming(base.manifest.digest) });
  const lied = await resolve();
  expect(gradeOf(lied)).toBe('contradicted');
  expect(refutations(lied)).toEqual([expect.stringMatching(/^layer 0 of .*base:1@sha256/)]);
  await pushApp(swapped);
  expect(gradeOf(await resolve())).toBe('claimed');
});

test('layers in another order are other layers', async () => {
  const base = await pushBase();
  const turned = await push('turned:1', { ...BASE_IMAGE, layers: [content('two'), content('one')] });
  await pushApp(turned, { annotations: naming(base.manifest.digest) });
  expect(gradeOf(await resolve())).toBe('contradicted');
});

test('a base of another architecture is a contradiction', async () => {
  const base = await pushBase();
  const foreign = await push('base:arm', {
    layers: [content('arm')],
    history: [copied('arm')],
    config: { architecture: 'arm64' },
  });
  await pushTestIndex(hub.client, parseReference('base:1'), [base, foreign]);
  await pushApp(base, { annotations: naming(foreign.manifest.digest) });
  const lineage = await resolve();
  expect(gradeOf(lineage)).toBe('contradicted');
  expect(refutations(lineage)).toEqual([expect.stringContaining('is of linux/arm64')]);
  expect(lineage.nodes[1]?.image?.manifest.digest).toBe(base.manifest.digest);
});

test('an index that shows another architecture under the name of this one is not believed', async () => {
  const foreign = await push('base:arm', { ...BASE_IMAGE, config: { architecture: 'arm64' } });
  await pushApp(await pushBase());
  const lying = { ...foreign, platform: { os: 'linux', architecture: 'amd64' } };
  await pushTestIndex(hub.client, parseReference('base:1'), [lying]);
  const lineage = await resolve();
  expect(gradeOf(lineage)).toBe('claimed');
  expect(lineage.nodes[1]?.image).toBeUndefined();
  expect(lineage.gaps.map(({ code }) => code)).toEqual(['PLATFORM_NOT_FOUND']);
});

test('a tag that moved is no contradiction, and the digest in the annotation still proves', async () => {
  const base = await pushBase();
  await pushApp(base, { annotations: naming(base.manifest.digest) }, 'second:1');
  await pushApp(base);
  await push('base:1', { layers: [content('new')], history: [copied('one'), copied('two')] });
  const moved = await resolve();
  expect(gradeOf(moved)).toBe('claimed');
  expect(refutations(moved)).toEqual([]);
  expect(edgeOf(moved)?.evidence.at(-1)?.message).toContain('the tag has moved');
  const pinned = await resolve('second:1');
  expect(gradeOf(pinned)).toBe('proven');
  expect(edgeOf(pinned)?.to).toBe('docker.io/library/base:1 linux/amd64');
});

test('a squashed child shares no layer: unproven at a tag, refuted at a digest', async () => {
  const base = await pushBase();
  const squashed = {
    layers: [[...content('one'), ...content('two'), ...content('app')]],
    history: [{ ...copied('app'), comment: 'merge' }],
  };
  await push('app:1', squashed);
  const lineage = await resolve();
  expect(gradeOf(lineage)).toBe('claimed');
  expect(refutations(lineage)).toEqual([]);
  await push('app:1', { ...squashed, annotations: naming(base.manifest.digest) });
  expect(gradeOf(await resolve())).toBe('contradicted');
});

test('an annotation that names another image is a contradiction, and one that names none is only a claim', async () => {
  const base = await pushBase();
  const other = await push('base:2', { layers: [content('other')] });
  await pushApp(base, { annotations: naming(other.manifest.digest) });
  const lied = await resolve();
  expect(gradeOf(lied)).toBe('contradicted');
  expect(edgeOf(lied)?.evidence.map(({ kind, verdict }) => `${kind} ${verdict}`)).toEqual([
    'dockerfile supports',
    'oci-annotation supports',
    'layers refutes',
  ]);
  await pushApp(base, { annotations: naming(digestOf('nothing')) });
  expect(gradeOf(await resolve())).not.toBe('contradicted');
});

test('an image that has the name of its base too is not proven to be built on itself', async () => {
  const base = await pushBase();
  for (const name of ['app:1', 'base:1']) await pushApp(base, {}, name);
  const lineage = await resolve();
  expect(gradeOf(lineage)).toBe('claimed');
  expect(edgeOf(lineage)?.evidence.at(-1)?.message).toContain('is the very same image');
});

test('a base of empty layers and another history is a contradiction at a digest', async () => {
  const base = await push('base:1', { layers: [[]], history: [copied('one')] });
  const other = await push('other:1', { layers: [[]], history: [copied('two')] });
  await pushApp(other);
  expect(gradeOf(await resolve())).toBe('claimed');
  await pushApp(other, { annotations: naming(base.manifest.digest) });
  const lineage = await resolve();
  expect(gradeOf(lineage)).toBe('contradicted');
  expect(refutations(lineage)).toEqual([expect.stringContaining('only empty layers, but entry 0')]);
});

test('a Dockerfile reconstructed from the history does not hide the base an annotation names', async () => {
  const base = await pushBase();
  await pushApp(base, { annotations: naming(base.manifest.digest) });
  const sources = [ociAnnotationSource(), imageHistorySource()];
  const lineage = await resolve('app:1', { sources });
  expect(gradeOf(lineage)).toBe('proven');
  expect(lineage.nodes.map(({ end }) => end)).toEqual([undefined, 'unresolved']);
});

test('the only image a build read is the base when layers say so, and no lie when they do not', async () => {
  const base = await pushBase();
  const builder = await push('builder:1', { layers: [content('go')], history: [copied('go')] });
  const read = ({ manifest }: ResolvedImage, reference: string): ProvenanceSource => ({
    kind: 'buildkit-attestation',
    async *claims(subject) {
      if (subject.reference.repository !== 'library/app') return;
      const said = { reference, digest: manifest.digest, inferred: true } as const;
      yield { kind: 'buildkit-attestation', foundAt: 'statement', base: said };
    },
  });
  await pushApp(base);
  expect(gradeOf(await resolve('app:1', { sources: [read(base, 'base:1')] }))).toBe('proven');
  // FROM builder:1 AS build, FROM scratch, COPY --from=build: and no Dockerfile at hand.
  const from = await resolve('app:1', { sources: [read(builder, 'builder:1')] });
  expect([gradeOf(from), refutations(from)]).toEqual(['unknown', []]);
  expect(edgeOf(from)?.evidence.at(-1)?.message).toContain('the only image its build read is not its base');
  // What says outright which image it is goes first, and is not contradicted by it.
  await pushApp(base, { annotations: naming(base.manifest.digest) });
  const sources = [read(builder, 'builder:1'), ociAnnotationSource()];
  const said = await resolve('app:1', { sources });
  expect([gradeOf(said), edgeOf(said)?.name, refutations(said)]).toEqual(['proven', 'base:1', []]);
  expect(said.conflicts).toEqual([]);
});

test('a place that is guessed from an annotation stands behind one that is written down', async () => {
  const base = await pushBase();
  // A repository and a commit, and no word of the directory: at its root is the Dockerfile of something else.
  const annotations = {
    'org.opencontainers.image.source': REPOSITORY,
    'org.opencontainers.image.revision': COMMIT,
  };
  await pushApp(base, { annotations });
  const lineage = await resolve();
  expect(lineage.nodes[0]?.claims.map(({ kind, heuristic }) => [kind, heuristic])).toEqual([
    ['official-images', undefined],
    ['oci-annotation', true],
  ]);
  expect(lineage.nodes[0]?.dockerfile).toMatchObject({ kind: 'official-images', location: { path: 'app' } });
});

test('a prefix of empty layers proves nothing, even at a digest', async () => {
  const base = await push('base:1', { layers: [[]], history: [copied('one')] });
  await pushApp(base, { annotations: naming(base.manifest.digest) });
  const lineage = await resolve();
  expect(gradeOf(lineage)).toBe('claimed');
  expect(edgeOf(lineage)?.evidence.at(-1)?.message).toContain('only empty layers');
});

test('a label is not the own one of a child whose history does not say so', async () => {
  const labels = {
    'org.opencontainers.image.source': `${REPOSITORY}.git#${COMMIT}:base`,
    'org.opencontainers.image.revision': COMMIT,
  };
  const config = { config: { Labels: labels } };
  const base = await push('base:1', { ...BASE_IMAGE, config });
  await push('app:1', { layers: ['one', 'two', 'app'].map(content), history: [], config });
  const dockerfile = 'FROM scratch\nCOPY one /\nCOPY two /\n';
  const host: SourceHost = {
    supports: () => true,
    readFile: async () => ({ content: Buffer.from(dockerfile), url: REPOSITORY }),
    async *readDirectory() {},
    commitOf: async () => COMMIT,
    reachability: async () => 'reachable',
  };
  const stripped = await resolve('app:1', { sources: [imageLabelSource()], host });
  const codes = stripped.gaps.map(({ code }) => code);
  const { kind, consistency } = stripped.nodes[0]!.dockerfile;
  expect([kind, consistency, codes]).toEqual(['image-label', 'unchecked', ['LABEL_UNPROVEN']]);
  await pushApp(base, { config });
  const inherited = await resolve('app:1', { sources: [imageLabelSource()], host });
  expect(inherited.nodes[0]?.dockerfile.status).toBe('not-named');
  expect(inherited.gaps.map(({ code }) => code)).toContain('LABEL_INHERITED');
  const own = await resolve('base:1', { sources: [imageLabelSource()], host });
  expect(own.nodes[0]?.dockerfile).toMatchObject({ kind: 'image-label', consistency: 'consistent' });
  expect(own.gaps).toEqual([]);
});

test('the name of a base stays what the Dockerfile says when another stood in for it', async () => {
  const base = await pushBase();
  await push('oisupport/staging-amd64:x', BASE_IMAGE);
  const app = await pushApp(base, {}, 'app:1');
  await attest(app, {
    'context:base:1': `docker-image://oisupport/staging-amd64:x@${base.manifest.digest}`,
  });
  const lineage = await resolve();
  const [claim] = lineage.nodes[0]?.claims ?? [];
  expect(claim).toMatchObject({
    ...{ kind: 'buildkit-attestation', base: { reference: 'base:1', digest: base.manifest.digest } },
  });
  expect(edgeOf(lineage)).toMatchObject({ name: 'base:1', to: 'docker.io/library/base:1 linux/amd64' });
  expect(gradeOf(lineage)).toBe('proven');
  expect(lineage.conflicts).toEqual([]);
  expect(JSON.stringify(lineage)).not.toContain('"reference":"oisupport/staging-amd64');

  // Without the argument the material is only what it is called.
  await attest(app, {});
  const bare = await resolve();
  expect(bare.nodes[0]?.claims[0]?.base?.reference).toBe('oisupport/staging-amd64:x');
  expect(edgeOf(bare)?.evidence.filter(({ kind }) => kind === 'buildkit-attestation')).toMatchObject([
    { verdict: 'neutral', message: expect.stringContaining('which is the same image') as string },
  ]);
  expect(bare.conflicts).toEqual([]);

  /** Puts provenance beside an image, as BuildKit does; its one material is the staging image. */
  async function attest(
    { reference, manifest, platform }: ResolvedImage,
    args: Readonly<Record<string, string>>,
  ) {
    const hex = (digest: Digest) => digest.slice('sha256:'.length);
    const statement = Buffer.from(
      JSON.stringify({
        ...{ _type: 'https://in-toto.io/Statement/v1', predicateType: 'https://slsa.dev/provenance/v1' },
        subject: [{ name: 'app', digest: { sha256: hex(manifest.digest) } }],
        predicate: {
          buildDefinition: {
            externalParameters: { request: { frontend: 'dockerfile.v0', args } },
            resolvedDependencies: [
              {
                uri: `pkg:docker/oisupport/staging-amd64@x?digest=${base.manifest.digest}`,
                digest: { sha256: hex(base.manifest.digest) },
              },
            ],
          },
        },
      }),
    );
    const pushed = async (
      bytes: Buffer,
      mediaType: string,
      annotations?: Readonly<Record<string, string>>,
    ) => {
      const descriptor: Descriptor = {
        ...{ mediaType, digest: digestOf(bytes), size: bytes.byteLength },
        ...(annotations === undefined ? {} : { annotations }),
      };
      await hub.client.pushBlob(reference, blobOf(bytes, descriptor));
      return descriptor;
    };
    const document = Buffer.from(
      JSON.stringify({
        ...{ schemaVersion: 2, mediaType: MediaType.ociManifest },
        config: await pushed(Buffer.from('{}'), MediaType.ociConfig),
        layers: [
          await pushed(statement, 'application/vnd.in-toto+json', {
            'in-toto.io/predicate-type': 'https://slsa.dev/provenance/v1',
          }),
        ],
      }),
    );
    const attestation = await hub.client.pushManifest(
      { ...reference, tag: undefined, digest: digestOf(document) },
      { bytes: document, mediaType: MediaType.ociManifest },
    );
    const annotations = {
      'vnd.docker.reference.type': 'attestation-manifest',
      'vnd.docker.reference.digest': manifest.digest,
    };
    const unknown = { os: 'unknown', architecture: 'unknown' };
    const manifests = [
      { ...manifest, platform },
      { ...attestation, platform: unknown, annotations },
    ];
    const index = { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests };
    const bytes = Buffer.from(JSON.stringify(index));
    await hub.client.pushManifest(reference, { bytes, mediaType: MediaType.ociIndex });
  }
});

test('two images of a lineage built on two images of one name are each held against their own', async () => {
  const before = await pushBase();
  await pushApp(before, { annotations: naming(before.manifest.digest) });
  const after = await push('base:1', { layers: [content('new')], history: [copied('new')] });
  await push('second:1', {
    ...{ base: after, annotations: naming(after.manifest.digest) },
    ...{ layers: [content('app'), content('second')], history: [copied('app'), copied('second')] },
  });
  const lineage = await resolve('second:1');
  const grades = lineage.edges
    .filter(({ kind }) => kind === 'base')
    .map(({ from, grade }) => [from.split(' ')[0], grade]);
  expect(grades).toEqual([
    ['docker.io/library/second:1', 'proven'],
    ['docker.io/library/app:1', 'proven'],
  ]);
  expect(lineage.gaps).toMatchObject([
    { code: 'BASE_NOT_FOLLOWED', node: 'docker.io/library/app:1 linux/amd64' },
  ]);
  expect(lineage.gaps[0]?.message).toContain(before.manifest.digest);
});
