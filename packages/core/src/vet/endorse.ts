import {
  copyImage,
  type Fetcher,
  formatReference,
  type ImageReference,
  type OperationOptions,
  type Pusher,
} from '@imagevet/registry';
import { type KeyStore, type NotaryServer, resolveTrusted, signTags } from '@imagevet/trust';
import { CoreError } from '../errors.ts';
import type { BuiltImage } from '../rebuild/types.ts';
import type { Endorsement } from '../report/types.ts';

/** Options of {@link endorse}. */
export interface EndorseOptions extends OperationOptions {
  /** The internal registry the images are in. */
  readonly registry: Fetcher & Pusher;
  readonly server: NotaryServer;
  /** Root and targets keys; made on first use. */
  readonly keys: KeyStore;
  /** The clock. @defaultValue the system's */
  readonly now?: () => Date;
}

/** An admitted image and the name it gets. */
export interface Endorsable {
  /** Lineage node it is the rebuild of. */
  readonly node: string;
  readonly image: BuiltImage;
  readonly target: ImageReference;
}

/**
 * Signs admitted images, reads the signatures back as a stranger would who knows only the root key, and then gives the
 * images their names. Each gets two tags: the rolling one, and an immutable one with date and digest, so that an image stays
 * signed after the rolling tag has moved on. Nothing gets a name before its signature was verified.
 *
 * Running it again for the same images signs the same digests under the same names.
 *
 * @throws {@link TrustError} when a collection cannot be signed or does not verify, {@link RegistryError} when a tag cannot be
 * written, {@link CoreError} `PROMOTION_CONFLICT` when another run gave the name to another image meanwhile.
 */
export async function endorse(
  images: readonly Endorsable[],
  options: EndorseOptions,
): Promise<readonly Endorsement[]> {
  const endorsements: SignedNames[] = [];
  for (const image of images) endorsements.push(await sign(image, options));
  for (const { image, target } of images) {
    for (const tag of tagsOf(target, image, options)) await promote(image, { ...target, tag }, options);
  }
  for (const [index, image] of images.entries()) {
    const endorsement = endorsements[index];
    if (endorsement !== undefined) await settle(image, endorsement, options);
  }
  return endorsements.map(({ rootKeyIds: _known, ...endorsement }) => endorsement);
}

/**
 * Neither a signature nor a tag can be set only if nobody else did meanwhile. Both are read again at the end: the signature
 * decides, the tag is made to follow it, and who lost is told.
 */
async function settle(
  { image, target }: Endorsable,
  { collection, tags: [tag = 'latest'], rootKeyIds }: SignedNames,
  options: EndorseOptions,
): Promise<void> {
  const { server, signal, now, registry } = options;
  const operation = { ...(signal === undefined ? {} : { signal }), ...(now === undefined ? {} : { now }) };
  const name = { registry: target.registry, repository: target.repository, tag };
  const signed = await resolveTrusted(name, { server, root: { keyIds: rootKeyIds }, ...operation });
  const shown = await registry.resolve(name, signal === undefined ? {} : { signal });
  if (shown.digest !== signed.digest) {
    const reference = { ...name, tag: undefined, digest: signed.digest };
    const { bytes, descriptor } = await registry.fetchManifest(reference, { signal });
    await registry.pushManifest(name, { bytes, mediaType: descriptor.mediaType }, { signal });
  }
  const own = image.descriptor.digest;
  if (signed.digest === own) return;
  throw new CoreError('PROMOTION_CONFLICT', `${collection}:${tag} was signed as ${signed.digest} meanwhile`, {
    hint: 'Another run endorsed another image under this name. See which is wanted, and run that one again.',
    details: { own, signed: signed.digest },
  });
}

interface SignedNames extends Endorsement {
  readonly rootKeyIds: readonly string[];
}

async function sign({ node, image, target }: Endorsable, options: EndorseOptions): Promise<SignedNames> {
  const { server, keys, signal, now } = options;
  const { registry, repository } = target;
  const collection = formatReference({ registry, repository });
  const { digest, size } = image.descriptor;
  const tags = tagsOf(target, image, options);
  const operation = { ...(signal === undefined ? {} : { signal }), ...(now === undefined ? {} : { now }) };
  const published = await signTags({
    collection,
    server,
    keys,
    targets: tags.map((tag) => ({ tag, digest, size })),
    ...operation,
  });
  const verified = await Promise.all(
    tags.map((tag) =>
      resolveTrusted(
        { registry, repository, tag, digest },
        { server, root: { keyIds: published.rootKeyIds }, ...operation },
      ),
    ),
  );
  const [first] = verified;
  return {
    node,
    collection,
    server: server.url,
    tags,
    digest,
    keyIds: first?.keyIds ?? [],
    expires: verified.map(({ expires }) => expires).sort()[0] ?? '',
    verified: verified.every((target) => target.digest === digest),
    rootKeyIds: published.rootKeyIds,
  };
}

/** Puts a tag on the exact bytes of the manifest. */
async function promote(image: BuiltImage, name: ImageReference, options: EndorseOptions): Promise<void> {
  const { registry, signal } = options;
  await copyImage({ ...image.reference, tag: undefined }, name, {
    ...{ source: registry, destination: registry, referrers: false, digestTags: false, signal },
  });
}

/** The rolling tag, and the immutable one: `7.2-apache` and `7.2-apache-20261123-1a2b3c4d`. */
function tagsOf(target: ImageReference, image: BuiltImage, options: EndorseOptions): readonly string[] {
  const rolling = target.tag ?? 'latest';
  const date = (options.now?.() ?? new Date()).toISOString().slice(0, 10).replaceAll('-', '');
  const short = image.descriptor.digest.split(':')[1]?.slice(0, 12) ?? '';
  // A tag has at most 128 characters.
  return [rolling, `${rolling.slice(0, 100)}-${date}-${short}`];
}
