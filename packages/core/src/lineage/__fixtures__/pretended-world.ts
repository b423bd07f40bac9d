import type {
  Digest,
  Fetcher,
  ImageManifest,
  ImageReference,
  Repository,
  VerifiedManifest,
} from '@imagevet/registry';
import { digestOf, MediaType, RegistryError } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import type { ProvenanceClaim, ProvenanceSource, SourceHost } from '../types.ts';

/** An image of a pretended world. */
export interface PretendedImage {
  /** `GONE` stands for a commit that cannot be read. */
  readonly dockerfile: string;
  /** Diff ids and history are those of its base, and one of its own. Without it no registry shows the image. */
  readonly shownOn?: string | 'scratch';
  /** Triggers of its configuration, which builds on it run. */
  readonly onBuild?: readonly string[];
  /** What its annotations say of its base: a name, and the digest it has or had. */
  readonly names?: { readonly base: string; readonly digest: 'now' | 'before' | 'none' };
  /** A second commit that the description names. */
  readonly conflicting?: boolean;
  /** A second annotation names a base nobody has. */
  readonly stranger?: boolean;
  /** Sources that fail when asked about it. */
  readonly failing?: boolean;
}

/** Lets something happen when its turn comes. */
export type Turn = <Value>(label: string, make: () => Value) => Promise<Value>;

const REPOSITORY = 'https://git.example/world';
const COMMIT = 'a'.repeat(40);

/**
 * A registry, sources and a host over a table of images by `name:tag`; every answer waits for its turn. Images whose base is
 * later in the table, or missing, are shown as built from nothing.
 */
export function pretendWorld(
  images: Readonly<Record<string, PretendedImage>>,
  turn: Turn,
): { readonly registry: Fetcher; readonly sources: readonly ProvenanceSource[]; readonly host: SourceHost } {
  const nameOf = ({ repository, tag }: ImageReference) => `${repository.replace('library/', '')}:${tag}`;
  const blobs = new Map<string, Uint8Array>();
  const manifests = new Map<string, VerifiedManifest>();
  const configs = new Map<string, { diff_ids: Digest[]; history: { created: string; created_by: string }[] }>();
  for (const name of Object.keys(images).reverse()) {
    publish(name, `${name} before`);
    publish(name, name);
  }

  function publish(name: string, version: string): void {
    const image = images[name];
    if (image?.shownOn === undefined) return;
    const base = configs.get(image.shownOn);
    const diff_ids = [...(base?.diff_ids ?? []), digestOf(`layer of ${version}`)];
    const history = [
      ...(base?.history ?? []),
      { created: '2018-01-02T03:04:05Z', created_by: `RUN /bin/sh -c ${name} # buildkit` },
    ];
    configs.set(version, { diff_ids, history });
    const config = Buffer.from(
      JSON.stringify({
        ...{ created: '2018-01-02T03:04:05Z', os: 'linux', architecture: 'amd64' },
        config: image.onBuild === undefined ? {} : { OnBuild: image.onBuild },
        ...{ rootfs: { type: 'layers', diff_ids }, history },
      }),
    );
    const descriptor = { mediaType: MediaType.ociConfig, digest: digestOf(config), size: config.byteLength };
    blobs.set(descriptor.digest, config);
    const { names } = image;
    const { base: named, digest: which = 'none' } = names ?? {};
    const digest = which === 'none' ? undefined : manifests.get(which === 'now' ? `${named}` : `${named} before`);
    const manifest: ImageManifest = {
      ...{ schemaVersion: 2, mediaType: MediaType.ociManifest, config: descriptor },
      layers: diff_ids.map((each) => ({ mediaType: MediaType.ociLayerGzip, digest: each, size: 1 })),
      annotations: {
        ...(names === undefined ? {} : { base: names.base }),
        ...(digest === undefined ? {} : { digest: digest.descriptor.digest }),
      },
    };
    const bytes = Buffer.from(JSON.stringify(manifest));
    const own = { mediaType: MediaType.ociManifest, digest: digestOf(bytes), size: bytes.byteLength };
    const verified: VerifiedManifest = { kind: 'image', descriptor: own, bytes, manifest };
    manifests.set(version, verified).set(own.digest, verified);
  }

  const registry: Fetcher = {
    resolve: async (reference) => (await registry.fetchManifest(reference)).descriptor,
    fetchManifest: (reference) =>
      turn(`manifest ${nameOf(reference)}`, () => {
        const found = manifests.get(reference.digest ?? nameOf(reference));
        if (found === undefined) throw new RegistryError('NOT_FOUND', `no ${nameOf(reference)}`);
        return found;
      }),
    async *openBlob(_repository: Repository, { digest }) {
      yield await turn(`blob ${digest}`, () => blobs.get(digest)!);
    },
  };
  const location = (name: string, commit: string) => ({
    ...{ repository: REPOSITORY, commit, directory: '.', path: name },
  });
  const library: ProvenanceSource = {
    kind: 'official-images',
    needsImage: false,
    async *claims({ reference }) {
      const name = nameOf(reference);
      await turn(`commit ${name}`, () => COMMIT);
      await turn(`library ${name}`, () => '');
      if (images[name]?.failing === true) throw new CoreError('SOURCE_INVALID', `${name} is no library file`);
      if (Object.hasOwn(images, name)) {
        yield { kind: 'official-images', foundAt: 'library', location: location(name, COMMIT) };
      }
    },
  };
  const description: ProvenanceSource = {
    kind: 'docker-hub-description',
    needsImage: false,
    async *claims({ reference }) {
      const name = nameOf(reference);
      const image = await turn(`description ${name}`, () => images[name]);
      const claim: ProvenanceClaim = { kind: 'docker-hub-description', foundAt: 'description' };
      if (image?.conflicting === true) yield { ...claim, location: location(name, 'b'.repeat(40)) };
      if (image?.failing === true) throw new CoreError('SOURCE_UNREACHABLE', `nobody knows ${name}`);
    },
  };
  const annotations: ProvenanceSource = {
    kind: 'oci-annotation',
    async *claims({ image }) {
      const { base, digest } = image?.annotations ?? {};
      if (base === undefined) return;
      const named = digest === undefined ? {} : { digest: digest as Digest };
      yield { kind: 'oci-annotation', foundAt: 'annotations', base: { reference: base, ...named } };
    },
  };
  const second: ProvenanceSource = {
    kind: 'oci-annotation',
    async *claims({ image, reference }) {
      if (image === undefined) return;
      const foundAt = await turn(`second annotations ${nameOf(reference)}`, () => 'second annotations');
      if (images[nameOf(reference)]?.stranger !== true) return;
      yield { kind: 'oci-annotation', foundAt, base: { reference: 'stranger:1' } };
    },
  };
  const host: SourceHost = {
    supports: (repository) => repository === REPOSITORY,
    readFile: (_repository, commit, path) =>
      turn(`file ${path}`, () => {
        const text = images[path]?.dockerfile ?? 'GONE';
        if (text === 'GONE') throw new CoreError('SOURCE_COMMIT_NOT_FOUND', `no commit ${commit}`);
        return { content: Buffer.from(text), url: `${REPOSITORY}/${commit}/${path}` };
      }),
    async *readDirectory() {},
    commitOf: async () => COMMIT,
    reachability: (_repository, commit) =>
      turn(`reachability ${commit}`, () => (commit === COMMIT ? 'reachable' : 'unreachable')),
  };
  return { registry, sources: [second, annotations, library, description], host };
}
