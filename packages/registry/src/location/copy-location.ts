import { type CopyImageOptions, type CopyReport, copyImage } from '../content/copy.ts';
import { resolveImage } from '../content/image.ts';
import { type ImageLocation, parseLocation } from './location.ts';
import { type OpenLocationOptions, openDestination, openSource } from './open-location.ts';

/** Options of {@link copyLocation}. */
export interface CopyLocationOptions
  extends Omit<CopyImageOptions, 'source' | 'destination'>,
    Omit<OpenLocationOptions, 'platform'> {
  /** Copies one image of an index instead of all of them. */
  readonly platform?: OpenLocationOptions['platform'];
}

/**
 * Copies an image between registries, OCI layouts and docker-archives, in any direction, by {@link copyImage}. A docker-archive
 * holds referrers but no tags beside the image's names, so cosign's tags do not go there.
 *
 * @example
 * ```ts
 * await copyLocation('docker://registry.corp/app:1', 'docker-archive:app.tar:registry.corp/app:1', { client });
 * ```
 *
 * @throws {@link RegistryError} what reading, writing and {@link parseLocation} can end with.
 */
export async function copyLocation(
  from: ImageLocation | string,
  to: ImageLocation | string,
  options: CopyLocationOptions = {},
): Promise<CopyReport> {
  const { platform, signal } = options;
  const target = typeof to === 'string' ? parseLocation(to) : to;
  await using opened = await openSource(from, options);
  const { source, reference } = opened;
  const image = platform && (await resolveImage(reference, { source, platform, signal }));
  const { registry, repository } = reference;
  const wanted = image ? { registry, repository, digest: image.manifest.digest } : reference;
  await using written = await openDestination(target, options);
  const { destination } = written;
  const report = await copyImage(wanted, written.reference, {
    ...options,
    ...{ source, destination },
    ...(target.transport === 'docker-archive' ? { digestTags: false } : {}),
  });
  await written.commit();
  return report;
}
