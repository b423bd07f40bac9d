import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { OperationOptions } from '../options.ts';
import { listBlobs, walkLayout } from './check-layout.ts';
import type { OciLayout } from './oci-layout.ts';
import { PARTIAL_PREFIX } from './write-file.ts';

/** Options of {@link pruneOciLayout}. */
export interface PruneOciLayoutOptions extends OperationOptions {
  /**
   * How old a blob must be to go, in milliseconds: an image that is being copied names its blobs last.
   *
   * @defaultValue one hour
   */
  readonly minAgeMs?: number;
  /** Tells what would go, and leaves it. @defaultValue false */
  readonly dryRun?: boolean;
  /** The time, in milliseconds since 1970. @defaultValue Date.now */
  readonly now?: () => number;
}

/** What {@link pruneOciLayout} removed. */
export interface PruneReport {
  readonly removed: readonly Digest[];
  readonly freedBytes: number;
  /** Blobs nothing names that are too young to go. */
  readonly spared: readonly Digest[];
}

const HOUR_MS = 3_600_000;

/**
 * Removes the blobs of a layout that nothing names, and what interrupted writes left behind.
 *
 * @throws {@link RegistryError} `INVALID_MANIFEST` when a manifest is there that cannot be read, as what it names is not
 * known then; nothing is removed.
 */
export async function pruneOciLayout(
  layout: OciLayout,
  options: PruneOciLayoutOptions = {},
): Promise<PruneReport> {
  const { minAgeMs = HOUR_MS, dryRun = false, now = Date.now } = options;
  // Listed before the walk: what comes while it runs is not looked at.
  const files = await listBlobs(layout);
  const named = new Set<Digest>();
  for await (const { descriptor, failure } of walkLayout(layout, options)) {
    named.add(descriptor.digest);
    const gone = failure instanceof RegistryError && failure.code === 'NOT_FOUND';
    if (failure === undefined || gone) continue;
    throw new RegistryError(
      'INVALID_MANIFEST',
      `pruning ${layout.directory}: manifest ${descriptor.digest} cannot be read`,
      { cause: failure, hint: 'Check the layout, and copy the image into it again.' },
    );
  }
  const before = now() - minAgeMs;
  const unnamed = [...files.values()].filter(({ digest }) => !named.has(digest));
  const old = unnamed.filter(({ modifiedMs }) => modifiedMs <= before);
  for (const { path } of dryRun ? [] : old) {
    options.signal?.throwIfAborted();
    await rm(path, { force: true });
  }
  if (!dryRun) await removePartials(layout, before);
  return {
    removed: old.map(({ digest }) => digest),
    freedBytes: old.reduce((sum, { size }) => sum + size, 0),
    spared: unnamed.filter(({ modifiedMs }) => modifiedMs > before).map(({ digest }) => digest),
  };
}

async function removePartials(layout: OciLayout, before: number): Promise<void> {
  for (const name of await readdir(layout.directory)) {
    if (!name.startsWith(PARTIAL_PREFIX)) continue;
    const path = join(layout.directory, name);
    const state = await lstat(path).catch(() => undefined);
    if (state?.isFile() === true && state.mtimeMs <= before) await rm(path, { force: true });
  }
}
