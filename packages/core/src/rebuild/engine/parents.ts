import {
  formatPlatform,
  formatReference,
  type ImageReference,
  type Keychain,
  type Platform,
} from '@imagevet/registry';
import { externalImages } from '../../dockerfile/queries.ts';
import type { Dockerfile } from '../../dockerfile/types.ts';
import { CoreError } from '../../errors.ts';
import { readTriggers } from '../../lineage/dockerfile/triggered-inputs.ts';
import type { BuildEvent } from '../types.ts';
import type { Engine } from './engine.ts';
import { readTransfer } from './read-build.ts';
import { registryAuth } from './registry-auth.ts';

/** How often an image is pulled that is gone again right after. */
const PULL_ATTEMPTS = 3;

interface FetchOptions {
  readonly keychain?: Keychain;
  readonly platform: Platform;
  readonly signal: AbortSignal;
  readonly maxBytes: number;
  readonly onProgress?: (event: BuildEvent) => void;
}

/**
 * Has the engine pull every image a Dockerfile names that it does not hold, each with the credentials of its own registry.
 * The build itself then needs none: engines ignore a build's credentials when their base64 has `+` or `/`, and BuildKit shows
 * one registry's to all.
 *
 * @returns the names that were pulled
 * @throws {@link CoreError} `BUILD_FAILED`; `BUILD_UNSUPPORTED` for a base of another platform, which an engine may build on
 * and label as asked, and for a base whose ONBUILD triggers name images nobody pinned
 */
export async function fetchParents(
  engine: Engine,
  dockerfile: Dockerfile,
  options: FetchOptions,
): Promise<readonly string[]> {
  const pulled: string[] = [];
  const bases = new Set(
    dockerfile.stages.flatMap(({ base }) => (base.kind === 'image' ? [nameOf(base.reference)] : [])),
  );
  const images = externalImages(dockerfile).flatMap(({ name }) =>
    name.kind === 'image' ? [name.reference] : [],
  );
  for (const reference of new Map(images.map((image) => [nameOf(image), image])).values()) {
    const name = nameOf(reference);
    let image = await engine.inspect(name, options.signal);
    // Another run on this engine that ends now takes the images away it had pulled, by the same names.
    for (let attempt = 0; image === undefined && attempt < PULL_ATTEMPTS; attempt += 1) {
      await pull(engine, reference, options);
      image = await engine.inspect(name, options.signal);
      if (attempt === 0) pulled.push(name);
    }
    if (image === undefined)
      throw new CoreError('BUILD_FAILED', `the engine does not hold ${name} after it was pulled`);
    if (!bases.has(name)) continue;
    const stage = dockerfile.stages.find(
      ({ base }) => base.kind === 'image' && nameOf(base.reference) === name,
    );
    if (stage?.platform === undefined) checkPlatform(name, image, options.platform);
    for (const built of dockerfile.stages) {
      if (built.base.kind !== 'image' || nameOf(built.base.reference) !== name) continue;
      checkTriggers(name, image.Config?.OnBuild ?? [], {
        ...{ earlier: dockerfile.stages.slice(0, built.index), line: built.startLine },
        platform: options.platform,
      });
    }
  }
  return pulled;
}

async function pull(engine: Engine, reference: ImageReference, options: FetchOptions): Promise<void> {
  const { tag = 'latest', digest } = reference;
  const auth = await registryAuth(options.keychain, reference, { signal: options.signal });
  const repository = formatReference({ registry: reference.registry, repository: reference.repository });
  const doing = `pulling ${nameOf(reference)}`;
  try {
    const stream = await engine.pull(repository, digest ?? tag, auth, options.signal);
    await readTransfer(stream, { ...options, engine: engine.address, code: 'BUILD_FAILED', doing });
  } catch (error) {
    // Some engines say before the stream begins what others say in it.
    if (!(error instanceof CoreError) || error.code !== 'ENGINE_REFUSED') throw error;
    throw new CoreError('BUILD_FAILED', `${doing} failed: ${error.message}`, { cause: error });
  }
}

/** With a digest the tag says nothing, and an engine may not know it. */
export function nameOf(reference: ImageReference): string {
  return formatReference(reference.digest === undefined ? reference : { ...reference, tag: undefined });
}

function checkPlatform(
  name: string,
  image: { readonly Os: string; readonly Architecture: string },
  asked: Platform,
): void {
  if (image.Os === asked.os && image.Architecture === asked.architecture) return;
  const found = formatPlatform({ os: image.Os, architecture: image.Architecture });
  throw new CoreError('BUILD_UNSUPPORTED', `${name} is ${found}, the build is for ${formatPlatform(asked)}`, {
    hint: 'Rebuild the base for that platform first.',
  });
}

function checkTriggers(
  name: string,
  triggers: readonly string[],
  stage: Parameters<typeof readTriggers>[1],
): void {
  const foreign = triggers.find((trigger) => {
    const { inputs, unreadable } = readTriggers([trigger], stage);
    return inputs.length > 0 || unreadable.length > 0;
  });
  if (foreign === undefined) return;
  throw new CoreError('BUILD_UNSUPPORTED', `${name} has an ONBUILD trigger that copies from another image`, {
    hint: 'The trigger names the image without a digest, in every image built on it.',
    details: { trigger: foreign.slice(0, 500) },
  });
}
