import { RegistryError } from '../errors.ts';
import type { Descriptor, ImageIndex, Platform } from './types.ts';

/** The platform asked for when nobody says. */
export const DEFAULT_PLATFORM: Platform = { os: 'linux', architecture: 'amd64' };

/**
 * Parses `os/architecture[/variant]`.
 *
 * @throws {@link RegistryError} `PLATFORM_NOT_FOUND` for another shape.
 */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/');
  const valid = [os, architecture, variant].every(
    (part) => part === undefined || /^[a-z0-9_.-]{1,64}$/.test(part),
  );
  if (!valid || os === undefined || architecture === undefined || rest.length > 0) {
    throw new RegistryError('PLATFORM_NOT_FOUND', `invalid platform ${JSON.stringify(text.slice(0, 80))}`, {
      hint: 'Write os/architecture[/variant], for example linux/arm64/v8.',
    });
  }
  return normalizePlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}

/** `os/architecture[/variant]` */
export function formatPlatform(platform: Platform): string {
  const variant = platform.variant === undefined || platform.variant === '' ? '' : `/${platform.variant}`;
  return `${platform.os}/${platform.architecture}${variant}`;
}

/**
 * The one spelling of a platform: `aarch64` is `arm64`, and arm64's variant v8 is implied.
 *
 * @see containerd platforms, `Normalize`
 */
export function normalizePlatform(platform: Platform): Platform {
  const aliases: Readonly<Record<string, string>> = {
    x86_64: 'amd64',
    'x86-64': 'amd64',
    aarch64: 'arm64',
    i686: '386',
  };
  const architecture = Object.hasOwn(aliases, platform.architecture)
    ? (aliases[platform.architecture] ?? platform.architecture)
    : platform.architecture;
  const implied = (architecture === 'arm64' && platform.variant === 'v8') || platform.variant === '';
  const { variant, ...rest } = platform;
  return { ...rest, architecture, ...(variant === undefined || implied ? {} : { variant }) };
}

/**
 * Chooses the manifest of a platform from an index. A variant asked for must match; without one, the entry that has
 * none is taken, else the highest. Attestation descriptors (`unknown/unknown`) are never chosen.
 *
 * @throws {@link RegistryError} `PLATFORM_NOT_FOUND`, listing the platforms that are there.
 */
export function selectPlatform(index: ImageIndex, platform: Platform): Descriptor {
  const wanted = normalizePlatform(platform);
  const fitting = index.manifests.filter((descriptor) => {
    if (descriptor.platform === undefined || descriptor.platform.os === 'unknown') return false;
    const offered = normalizePlatform(descriptor.platform);
    return (
      offered.os === wanted.os &&
      offered.architecture === wanted.architecture &&
      (wanted.variant === undefined || offered.variant === wanted.variant) &&
      (wanted['os.version'] === undefined || offered['os.version'] === wanted['os.version'])
    );
  });
  const [chosen] = [...fitting].sort((left, right) =>
    (right.platform?.variant ?? '').localeCompare(left.platform?.variant ?? ''),
  );
  if (chosen !== undefined) return wanted.variant === undefined ? (plain(fitting) ?? chosen) : chosen;
  const offered = index.manifests
    .flatMap(({ platform: offer }) =>
      offer === undefined || offer.os === 'unknown' ? [] : [formatPlatform(offer)],
    )
    .slice(0, 40);
  throw new RegistryError('PLATFORM_NOT_FOUND', `no image for ${formatPlatform(platform)}`, {
    hint: offered.length === 0 ? 'The index names no platform.' : `There is ${offered.join(', ')}.`,
    details: { offered },
  });
}

function plain(descriptors: readonly Descriptor[]): Descriptor | undefined {
  return descriptors.find(
    ({ platform }) => platform !== undefined && normalizePlatform(platform).variant === undefined,
  );
}
