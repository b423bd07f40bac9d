import {
  type Descriptor,
  type Digest,
  digestOf,
  type Fetcher,
  ImagevetError,
  type ResolvedImage,
  type VerifiedManifest,
} from '@imagevet/registry';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ProvenanceClaim } from '../../lineage/types.ts';
import { collect } from '../__fixtures__/collect.ts';
import { findBase, imageMaterials } from './base-material.ts';
import { buildkitAttestationSource } from './source.ts';
import { parseProvenance } from './statement.ts';

// Statements written after BuildKit's published schema, for an image of our own: no build's output is copied.
const SHA = 'a'.repeat(40);
const MANIFEST = digestOf('manifest');
const RUNTIME = digestOf('runtime');
const BUILDER = digestOf('builder');
const FRONTEND = digestOf('frontend');
const LAYERS = ['one', 'two', 'three'].map((name) => digestOf(name));
const DOCKERFILE = 'FROM build:1 AS build\nFROM runtime:7-web\nCOPY --from=build /x /x\n';
const GIT = 'https://github.com/acme/blog.git#refs/heads/main:web';

const hex = (digest: Digest) => digest.slice('sha256:'.length);
const material = (name: string, digest: Digest) => ({
  uri: `pkg:docker/${name}?digest=${digest}&platform=linux%2Famd64`,
  digest: { sha256: hex(digest) },
});
const MATERIALS = [
  material('docker/dockerfile@1', FRONTEND),
  material('build@1', BUILDER),
  material('runtime@7-web', RUNTIME),
  { uri: 'https://github.com/acme/blog.git#refs/heads/main', digest: { sha1: SHA } },
];
const STEPS = [
  {
    id: 'step0',
    op: { Op: { source: { identifier: `docker-image://docker.io/library/build:1@${BUILDER}` } } },
  },
  {
    id: 'step1',
    op: { Op: { source: { identifier: `docker-image://docker.io/library/runtime:7-web@${RUNTIME}` } } },
  },
];
const EXTENSION = {
  source: {
    infos: [
      { filename: 'Dockerfile', language: 'Dockerfile', data: Buffer.from(DOCKERFILE).toString('base64') },
    ],
  },
  layers: {
    'step0:0': [[{ digest: LAYERS[2] }]],
    'step1:0': [[{ digest: LAYERS[0] }, { digest: LAYERS[1] }]],
  },
};
const SUBJECT = [{ name: 'pkg:docker/acme/blog@4', digest: { sha256: hex(MANIFEST) } }];

const V02 = {
  _type: 'https://in-toto.io/Statement/v0.1',
  predicateType: 'https://slsa.dev/provenance/v0.2',
  subject: SUBJECT,
  predicate: {
    builder: { id: 'https://ci.example/1' },
    invocation: {
      configSource: { uri: GIT, digest: { sha1: SHA }, entryPoint: 'Dockerfile' },
      parameters: { frontend: 'gateway.v0', args: { source: 'docker/dockerfile:1', target: '' } },
    },
    materials: MATERIALS,
    buildConfig: { llbDefinition: STEPS },
    metadata: {
      buildStartedOn: '2026-01-01T00:00:00Z',
      buildFinishedOn: '2026-01-01T00:01:00Z',
      'https://mobyproject.org/buildkit@v1#metadata': EXTENSION,
    },
  },
};
const V1 = {
  _type: 'https://in-toto.io/Statement/v1',
  predicateType: 'https://slsa.dev/provenance/v1',
  subject: SUBJECT,
  predicate: {
    buildDefinition: {
      externalParameters: {
        configSource: { uri: GIT, digest: { sha1: SHA }, path: 'Dockerfile' },
        request: { frontend: 'gateway.v0', args: { source: 'docker/dockerfile:1' } },
      },
      internalParameters: { buildConfig: { llbDefinition: STEPS } },
      resolvedDependencies: MATERIALS,
    },
    runDetails: {
      builder: { id: 'https://ci.example/1' },
      metadata: {
        startedOn: '2026-01-01T00:00:00Z',
        finishedOn: '2026-01-01T00:01:00Z',
        buildkit_metadata: EXTENSION,
      },
    },
  },
};

describe('parseProvenance()', () => {
  it('reads SLSA v0.2 and v1 to the same', () => {
    const [old, now] = [parseProvenance(V02), parseProvenance(V1)];
    expect({ ...old, version: 'v1', args: {} }).toEqual({ ...now, args: {} });
    expect(now).toMatchObject({
      subjects: [MANIFEST],
      configSource: { uri: GIT, commit: SHA, path: 'Dockerfile' },
      files: [{ filename: 'Dockerfile', text: DOCKERFILE }],
      builderId: 'https://ci.example/1',
      finishedOn: '2026-01-01T00:01:00Z',
    });
  });

  it('takes anything else for no provenance, and never throws', () => {
    expect(parseProvenance({ ...V1, predicateType: 'https://spdx.dev/Document' })).toBeUndefined();
    expect(parseProvenance({ ...V1, _type: 'x' })).toBeUndefined();
    fc.assert(
      fc.property(fc.jsonValue(), (predicate) => {
        expect(parseProvenance(predicate)).toBeUndefined();
        expect(parseProvenance({ ...V1, predicate })?.subjects).toEqual([MANIFEST]);
        expect(parseProvenance({ ...V02, predicate, subject: predicate })?.version).toBe('v0.2');
        const metadata = { buildkit_metadata: { layers: predicate, source: predicate } };
        expect(parseProvenance({ ...V1, predicate: { runDetails: { metadata } } })?.version).toBe('v1');
      }),
    );
  });
});

describe('findBase()', () => {
  it('finds the image whose layers come first, not the stages', () => {
    expect(findBase(parseProvenance(V1)!, LAYERS)).toEqual({ reference: 'runtime:7-web', digest: RUNTIME });
    expect(findBase(parseProvenance(V1)!, [LAYERS[1]!])).toBeUndefined();
  });

  it('knows the base without layers only when there is one image', () => {
    const min = (materials: unknown) =>
      parseProvenance({ ...V02, predicate: { ...V02.predicate, materials, buildConfig: {}, metadata: {} } })!;
    expect(findBase(min(MATERIALS), LAYERS)).toBeUndefined();
    expect(findBase(min([MATERIALS[0], MATERIALS[2]]), LAYERS)?.reference).toBe('runtime:7-web');
  });

  it('gives the name in the Dockerfile for an image that stood in for it', () => {
    const args = { 'context:runtime:7-web': `docker-image://mirror/staging:x@${RUNTIME}` };
    const predicate = {
      ...V02.predicate,
      materials: [material('mirror/staging@x', RUNTIME)],
      invocation: { parameters: { args } },
    };
    expect(imageMaterials(parseProvenance({ ...V02, predicate })!)).toEqual([
      { reference: 'runtime:7-web', digest: RUNTIME },
    ]);
  });
});

describe('buildkitAttestationSource()', () => {
  it.each([
    ['SLSA v0.2 in the manifest form before BuildKit 0.32', V02, false],
    ['SLSA v1 in the artifact form since', V1, true],
  ])('reads %s', async (_, statement, artifact) => {
    const { image, registry } = store(statement, { artifact });
    expect(await claims(image, registry)).toEqual([
      {
        kind: 'buildkit-attestation',
        foundAt: digestOf(JSON.stringify(statement)),
        location: {
          repository: 'https://github.com/acme/blog',
          commit: SHA,
          directory: 'web',
          path: 'web/Dockerfile',
          ref: 'refs/heads/main',
        },
        dockerfile: DOCKERFILE,
        base: { reference: 'runtime:7-web', digest: RUNTIME },
        note: expect.stringMatching(
          /^SLSA v(0\.2|1), unsigned; built by https:\/\/ci\.example\/1; finished 2026-01-01T00:01:00Z$/,
        ),
      },
    ]);
  });

  it('ignores a statement about another image, and an attestation whose subject is another', async () => {
    const other = { ...V1, subject: [{ name: 'x', digest: { sha256: hex(digestOf('other')) } }] };
    const lying = store(other, {});
    const [claim] = await claims(lying.image, lying.registry);
    expect(claim).toEqual({
      kind: 'buildkit-attestation',
      foundAt: expect.any(String),
      note: 'ignored: the statement is about another image',
    });
    const foreign = store(V1, { artifact: true, subject: digestOf('other') });
    expect(await claims(foreign.image, foreign.registry)).toEqual([]);
  });

  it('claims nothing for an image outside an index', async () => {
    const { image, registry } = store(V1, {});
    expect(await claims({ ...image, index: undefined }, registry)).toEqual([]);
  });

  it('refuses a statement that is too large or not JSON', async () => {
    const { image, registry } = store(V1, {});
    const limited = collect(
      buildkitAttestationSource({ registry, maxBytes: 10 }).claims({
        reference: image.reference,
        platform: image.platform,
        image,
      }),
    );
    await expect(limited).rejects.toMatchObject({ code: 'SOURCE_LIMIT_EXCEEDED' });
    const broken = store('{', {});
    await expect(claims(broken.image, broken.registry)).rejects.toSatisfy(
      (error) => ImagevetError.is(error) && error.code === 'SOURCE_INVALID',
    );
  });
});

async function claims(image: ResolvedImage, registry: Fetcher): Promise<ProvenanceClaim[]> {
  const source = buildkitAttestationSource({ registry });
  return collect(source.claims({ reference: image.reference, platform: image.platform, image }));
}

/** An index with an image and its attestation, held in memory. */
function store(
  statement: unknown,
  { artifact = false, subject = MANIFEST }: { artifact?: boolean; subject?: Digest },
): { readonly image: ResolvedImage; readonly registry: Fetcher } {
  const blobs = new Map<string, Uint8Array>();
  const manifests = new Map<string, VerifiedManifest>();
  const put = (content: string, mediaType: string, annotations?: Record<string, string>): Descriptor => {
    const digest = digestOf(content);
    blobs.set(digest, Buffer.from(content));
    return { mediaType, digest, size: content.length, ...(annotations && { annotations }) };
  };
  const putManifest = (document: object, kind: 'image' | 'index'): Descriptor => {
    const bytes = Buffer.from(JSON.stringify(document));
    const mediaType = `application/vnd.oci.image.${kind === 'image' ? 'manifest' : 'index'}.v1+json`;
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    manifests.set(descriptor.digest, {
      descriptor,
      bytes,
      kind,
      [kind === 'image' ? 'manifest' : 'index']: document,
    } as never);
    return descriptor;
  };
  const { predicateType } = Object(statement) as { predicateType?: string };
  const layer = put(
    typeof statement === 'string' ? statement : JSON.stringify(statement),
    'application/vnd.in-toto+json',
    {
      'in-toto.io/predicate-type': predicateType ?? 'https://slsa.dev/provenance/v1',
    },
  );
  const sbom = put('{}', 'application/vnd.in-toto+json', {
    'in-toto.io/predicate-type': 'https://spdx.dev/Document',
  });
  const attestation = putManifest(
    {
      schemaVersion: 2,
      config: put(
        '{}',
        artifact ? 'application/vnd.oci.empty.v1+json' : 'application/vnd.oci.image.config.v1+json',
      ),
      layers: [sbom, layer],
      ...(artifact && {
        artifactType: 'application/vnd.docker.attestation.manifest.v1+json',
        subject: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: subject, size: 1 },
      }),
    },
    'image',
  );
  const manifest = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: MANIFEST, size: 1 };
  const reference = (digest: Digest) => ({
    'vnd.docker.reference.type': 'attestation-manifest',
    'vnd.docker.reference.digest': digest,
  });
  const index = putManifest(
    {
      schemaVersion: 2,
      manifests: [
        manifest,
        {
          ...attestation,
          digest: digestOf('of another image'),
          annotations: reference(digestOf('another image')),
        },
        { ...attestation, annotations: reference(MANIFEST) },
      ],
    },
    'index',
  );
  const registry: Fetcher = {
    resolve: async () => index,
    fetchManifest: async ({ digest }) => manifests.get(digest ?? '')!,
    async *openBlob(_, { digest }) {
      yield blobs.get(digest)!;
    },
  };
  const image: ResolvedImage = {
    reference: { registry: 'docker.io', repository: 'acme/blog', tag: '4' },
    index,
    manifest,
    config: put('{}', 'application/vnd.oci.image.config.v1+json'),
    layers: LAYERS.map((digest) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest,
      size: 1,
    })),
    platform: { os: 'linux', architecture: 'amd64' },
    diffIds: [],
    history: [],
    annotations: {},
    labels: {},
    execution: {},
  };
  return { image, registry };
}
