import { setTimeout as delay } from 'node:timers/promises';
import {
  type Fetcher,
  ImagevetError,
  type OperationOptions,
  type ResolvedImage,
  resolveImage,
} from '@imagevet/registry';
import type { BuildRequest, BuiltImage } from './types.ts';

/** Longer than it takes from seeing that a name is free to writing it. */
const SETTLE_MS = 100;

/**
 * Gives what was built its name, unless another run named its own image meanwhile: then both go on with that one. No registry
 * writes a name only if it is free, so two that write at the same moment read it again a little later, and go on with what it
 * shows then.
 *
 * @param write - puts the image there
 */
export async function claimName(
  request: Pick<BuildRequest, 'target' | 'platform' | 'replace'>,
  { registry, signal }: OperationOptions & { readonly registry: Fetcher },
  write: () => Promise<BuiltImage>,
): Promise<BuiltImage> {
  if (request.replace === true) return write();
  const first = await existingImage(request, registry, { signal });
  if (first !== undefined) return first;
  const own = await write();
  await delay(SETTLE_MS, undefined, { signal }).catch(() => signal?.throwIfAborted());
  const named = await existingImage(request, registry, { signal });
  return named === undefined || named.descriptor.digest === own.descriptor.digest ? own : named;
}

/** The image a target names in the registry, or undefined when it names none. */
export async function existingImage(
  { target, platform }: Pick<BuildRequest, 'target' | 'platform'>,
  registry: Fetcher,
  { signal }: OperationOptions,
): Promise<BuiltImage | undefined> {
  try {
    return toBuiltImage(target, await resolveImage(target, { source: registry, platform, signal }));
  } catch (error) {
    if (ImagevetError.is(error) && (error.code === 'NOT_FOUND' || error.code === 'PLATFORM_NOT_FOUND'))
      return undefined;
    throw error;
  }
}

/** What a registry shows, as the result of a build. */
export function toBuiltImage(target: BuildRequest['target'], image: ResolvedImage): BuiltImage {
  return {
    reference: { ...target, digest: image.manifest.digest },
    descriptor: image.manifest,
    diffIds: image.diffIds,
    imageId: image.config.digest,
  };
}
