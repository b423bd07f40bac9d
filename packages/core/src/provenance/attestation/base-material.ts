import { type Digest, isDigest } from '@imagevet/registry';
import type { BuildMaterial, BuildProvenance } from './statement.ts';

/** An image a build read: the name it was asked for by, and what that was. */
export interface ImageMaterial {
  /** `php:8.3-apache`, as BuildKit names it. */
  readonly reference: string;
  /** Of an index or a manifest, whichever the name resolved to. */
  readonly digest: Digest;
}

/**
 * Lists the images a build read, except the frontend that read its Dockerfile. A name that stood in for another
 * (`--build-context php:8=docker-image://mirror/php@sha256:...`) is given as the name in the Dockerfile.
 */
export function imageMaterials(provenance: BuildProvenance): readonly ImageMaterial[] {
  const aliases = contextAliases(provenance);
  const frontend = [
    provenance.args.source,
    provenance.args.cmdline,
    provenance.args['build-arg:BUILDKIT_SYNTAX'],
  ]
    .flatMap((name) => (name === undefined ? [] : [withoutTag(name)]))
    .concat('docker/dockerfile', 'docker/dockerfile-upstream');
  return provenance.materials.flatMap((material) => {
    const image = toImage(material);
    if (image === undefined || frontend.includes(withoutTag(image.reference))) return [];
    return [{ ...image, reference: aliases.get(image.digest) ?? image.reference }];
  });
}

/**
 * Finds the base among the images a build read: the one whose layers the image starts with, by the layers the
 * statement records per step. Without that record it is inferred when there was one
 * image, which a stage may have been built on that the image only copies from.
 *
 * @param layers digests of the image's layers, base first
 */
export function findBase(
  provenance: BuildProvenance,
  layers: readonly Digest[],
): (ImageMaterial & { readonly inferred?: true }) | undefined {
  const images = imageMaterials(provenance);
  let best: { readonly digest: string; readonly length: number } | undefined;
  for (const [step, identifier] of provenance.sources) {
    const digest = /^docker-image:\/\/.+@(sha256:[0-9a-f]{64})$/.exec(identifier)?.[1];
    for (const chain of provenance.layers.get(`${step}:0`) ?? []) {
      const isPrefix = chain.length > 0 && chain.every((layer, index) => layer === layers[index]);
      if (digest !== undefined && isPrefix && chain.length > (best?.length ?? 0))
        best = { digest, length: chain.length };
    }
  }
  if (best !== undefined) return images.find(({ digest }) => digest === best.digest);
  const [only, ...more] = images;
  return provenance.layers.size === 0 && only !== undefined && more.length === 0
    ? { ...only, inferred: true }
    : undefined;
}

/** `pkg:docker/<name>@<tag>?digest=sha256:...&platform=...` */
function toImage({ uri, digest }: BuildMaterial): ImageMaterial | undefined {
  if (!uri.startsWith('pkg:docker/')) return undefined;
  const [path = '', query = ''] = uri.slice('pkg:docker/'.length).split('?', 2);
  const parameters = new URLSearchParams(query);
  if (parameters.has('ref_type')) return undefined;
  const hash = digest.sha256 === undefined ? parameters.get('digest') : `sha256:${digest.sha256}`;
  const at = path.lastIndexOf('@');
  const name = decode(at < 0 ? path : path.slice(0, at));
  const version = at < 0 ? '' : decode(path.slice(at + 1));
  if (hash === null || !isDigest(hash) || name === undefined || name === '' || version === undefined)
    return undefined;
  return { reference: version === '' || isDigest(version) ? name : `${name}:${version}`, digest: hash };
}

function contextAliases({ args }: BuildProvenance): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(args).flatMap(([name, value]) => {
      const digest = /^docker-image:\/\/.+@(sha256:[0-9a-f]{64})$/.exec(value)?.[1];
      return name.startsWith('context:') && digest !== undefined
        ? [[digest, name.slice('context:'.length)]]
        : [];
    }),
  );
}

function withoutTag(name: string): string {
  const familiar = name.replace(/^docker\.io\//, '').split('@', 1)[0] ?? '';
  return familiar.replace(/:[\w.-]+$/, '');
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
