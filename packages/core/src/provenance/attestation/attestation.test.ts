import {
  blobOf,
  type Digest,
  digestOf,
  MediaType,
  RegistryClient,
  type ResolvedImage,
  resolveImage,
} from '@imagevet/registry';
import { pushTestImage, startRegistry, type TestRegistry } from '@imagevet/registry/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

  it('takes the longest chain of layers for the base: an image below it is read too', () => {
    const layers = {
      'step0:0': [[{ digest: LAYERS[0] }]],
      'step1:0': [[{ digest: LAYERS[0] }, { digest: LAYERS[1] }]],
    };
    const read = (extension: object) => {
      const metadata = { ...V1.predicate.runDetails.metadata, buildkit_metadata: extension };
      return parseProvenance({ ...V1, predicate: { ...V1.predicate, runDetails: { metadata } } })!;
    };
    expect(findBase(read({ ...EXTENSION, layers }), LAYERS)?.reference).toBe('runtime:7-web');
    const swapped = { 'step0:0': layers['step1:0'], 'step1:0': layers['step0:0'] };
    expect(findBase(read({ ...EXTENSION, layers: swapped }), LAYERS)?.reference).toBe('build:1');
  });
  it('does not take the only image for the base when the layers say that it is none', () => {
    const { buildDefinition } = V1.predicate;
    const only = { ...buildDefinition, resolvedDependencies: [material('build@1', BUILDER)] };
    const provenance = parseProvenance({ ...V1, predicate: { ...V1.predicate, buildDefinition: only } })!;
    expect(imageMaterials(provenance)).toHaveLength(1);
    expect(findBase(provenance, [LAYERS[1]!])).toBeUndefined();
  });
  it('takes no blob or bundle for an image', () => {
    const { uri, digest } = material('cache@1', BUILDER);
    const { buildDefinition } = V1.predicate;
    const read = { ...buildDefinition, resolvedDependencies: [{ uri: `${uri}&ref_type=blob`, digest }] };
    expect(
      imageMaterials(parseProvenance({ ...V1, predicate: { ...V1.predicate, buildDefinition: read } })!),
    ).toEqual([]);
  });
  it('infers the base without layers only when there is one image', () => {
    const min = (materials: unknown) =>
      parseProvenance({ ...V02, predicate: { ...V02.predicate, materials, buildConfig: {}, metadata: {} } })!;
    expect(findBase(min(MATERIALS), LAYERS)).toBeUndefined();
    const only = { reference: 'runtime:7-web', digest: RUNTIME, inferred: true };
    expect(findBase(min([MATERIALS[0], MATERIALS[2]]), LAYERS)).toEqual(only);
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
  let registry: TestRegistry;
  let client: RegistryClient;

  beforeAll(async () => {
    registry = await startRegistry();
    client = new RegistryClient();
  });

  afterAll(async () => registry.close());

  const claims = (image: ResolvedImage, maxBytes?: number): Promise<ProvenanceClaim[]> =>
    collect(
      buildkitAttestationSource({ registry: client, maxBytes }).claims({
        reference: image.reference,
        platform: image.platform,
        image,
      }),
    );

  /** Puts a statement beside an image, in an index, as BuildKit does. */
  async function publish(
    write: (image: ResolvedImage) => unknown,
    form: { readonly artifact?: boolean; readonly subject?: Digest } = {},
  ): Promise<{ readonly image: ResolvedImage; readonly statement: Digest }> {
    const reference = {
      registry: registry.host,
      repository: 'acme/blog',
      tag: `t${registry.requests.length}`,
    };
    const single = await pushTestImage(client, reference, {
      layers: [[{ path: 'a', content: reference.tag }], [{ path: 'b' }]],
    });
    const push = async (content: Uint8Array, mediaType: string, annotations?: Record<string, string>) => {
      const descriptor = {
        mediaType,
        digest: digestOf(content),
        size: content.byteLength,
        ...(annotations && { annotations }),
      };
      await client.pushBlob(reference, blobOf(content, descriptor));
      return descriptor;
    };
    const pushDocument = async (document: object) => {
      const bytes = Buffer.from(JSON.stringify(document));
      const { mediaType } = document as { mediaType: string };
      return client.pushManifest(
        { ...reference, tag: undefined, digest: digestOf(bytes) },
        { bytes, mediaType },
      );
    };
    const inToto = 'application/vnd.in-toto+json';
    const statement = write(single);
    const { predicateType = 'https://slsa.dev/provenance/v1' } = Object(statement) as {
      predicateType?: string;
    };
    const bytes = Buffer.from(typeof statement === 'string' ? statement : JSON.stringify(statement));
    const layer = await push(bytes, inToto, { 'in-toto.io/predicate-type': predicateType });
    const sbom = await push(Buffer.from('{"sbom":1}'), inToto, {
      'in-toto.io/predicate-type': 'https://spdx.dev/Document',
    });
    const attestation = await pushDocument({
      schemaVersion: 2,
      mediaType: MediaType.ociManifest,
      config: await push(
        Buffer.from('{}'),
        form.artifact ? 'application/vnd.oci.empty.v1+json' : MediaType.ociConfig,
      ),
      layers: [sbom, layer],
      ...(form.artifact && {
        artifactType: 'application/vnd.docker.attestation.manifest.v1+json',
        subject: { ...single.manifest, digest: form.subject ?? single.manifest.digest },
      }),
    });
    const beside = (digest: Digest) => ({
      ...attestation,
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: {
        'vnd.docker.reference.type': 'attestation-manifest',
        'vnd.docker.reference.digest': digest,
      },
    });
    await client.pushManifest(reference, {
      mediaType: MediaType.ociIndex,
      bytes: Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: MediaType.ociIndex,
          manifests: [
            { ...single.manifest, platform: single.platform },
            beside(digestOf('another image')),
            beside(single.manifest.digest),
          ],
        }),
      ),
    });
    return { image: await resolveImage(reference, { source: client }), statement: layer.digest };
  }

  /** The statement of the fixture, about another image and with its layers. */
  const about = (statement: typeof V1 | typeof V02, { manifest, layers }: ResolvedImage): unknown =>
    JSON.parse(
      JSON.stringify(statement)
        .replaceAll(hex(MANIFEST), hex(manifest.digest))
        .replaceAll(LAYERS[0]!, layers[0]!.digest)
        .replaceAll(LAYERS[1]!, layers[1]!.digest),
    );

  it.each([
    ['SLSA v0.2 in the manifest form before BuildKit 0.32', V02, false],
    ['SLSA v1 in the artifact form since', V1, true],
  ])('reads %s', async (_, document, artifact) => {
    const { image, statement } = await publish((single) => about(document, single), { artifact });
    expect(image.index).toBeDefined();
    expect(await claims(image)).toEqual([
      {
        kind: 'buildkit-attestation',
        foundAt: statement,
        location: {
          repository: 'https://github.com/acme/blog',
          commit: SHA,
          directory: 'web',
          path: 'web/Dockerfile',
          ref: 'refs/heads/main',
        },
        dockerfile: DOCKERFILE,
        base: { reference: 'runtime:7-web', digest: RUNTIME },
        finishedOn: '2026-01-01T00:01:00Z',
        note: expect.stringMatching(
          /^SLSA v(0\.2|1), unsigned; built by https:\/\/ci\.example\/1; finished 2026-01-01T00:01:00Z$/,
        ),
      },
    ]);
  });

  it('reads the build arguments and the stage', async () => {
    const args = { source: 'docker/dockerfile:1', 'build-arg:VERSION': '4.9', target: 'web' };
    const parameters = { frontend: 'gateway.v0', args };
    const predicate = { ...V02.predicate, invocation: { ...V02.predicate.invocation, parameters } };
    const { image } = await publish((single) => about({ ...V02, predicate } as typeof V02, single));
    expect((await claims(image))[0]?.parameters).toEqual({ buildArgs: { VERSION: '4.9' }, target: 'web' });
  });

  it('reads what the build ran on, and takes nothing that is no platform for it', async () => {
    const on = async (platform: unknown) => {
      const environment = { platform };
      const old = {
        ...V02,
        predicate: { ...V02.predicate, invocation: { ...V02.predicate.invocation, environment } },
      };
      const definition = V1.predicate.buildDefinition;
      const internalParameters = { ...definition.internalParameters, builderPlatform: platform };
      const buildDefinition = { ...definition, internalParameters };
      const now = { ...V1, predicate: { ...V1.predicate, buildDefinition } };
      const read = async (statement: typeof V02 | typeof V1) =>
        (await claims((await publish((single) => about(statement, single))).image))[0]?.buildPlatform;
      return [await read(old), await read(now)];
    };
    const amd = { os: 'linux', architecture: 'amd64' };
    expect(await on('linux/amd64')).toEqual([amd, amd]);
    expect(await on('linux')).toEqual([undefined, undefined]);
    expect(await on(7)).toEqual([undefined, undefined]);
  });
  it('ignores a statement about another image, and an attestation whose subject is another', async () => {
    const lying = await publish(() => V1);
    expect(await claims(lying.image)).toEqual([
      {
        kind: 'buildkit-attestation',
        foundAt: lying.statement,
        note: 'ignored: the statement is about another image',
      },
    ]);
    const foreign = await publish((single) => about(V1, single), {
      artifact: true,
      subject: digestOf('other'),
    });
    expect(await claims(foreign.image)).toEqual([]);
  });

  it('claims nothing for an image outside an index', async () => {
    const { image } = await publish((single) => about(V1, single));
    expect(await claims({ ...image, index: undefined })).toEqual([]);
  });

  it('refuses a statement that is too large, altered or not JSON', async () => {
    const { image, statement } = await publish((single) => about(V1, single));
    await expect(claims(image, 10)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    registry.corruptBlob(statement, Buffer.from(JSON.stringify(V1).replace('acme', 'evil')));
    await expect(claims(image)).rejects.toMatchObject({ name: 'RegistryError' });
    const broken = await publish(() => '{');
    await expect(claims(broken.image)).rejects.toMatchObject({ code: 'SOURCE_INVALID' });
  });
});
