import { RegistryError } from '../errors.ts';
import type { Descriptor, ImageIndex, Platform } from './types.ts';

/** The platform asked for when nobody says. */
export const DEFAULT_PLATFORM: Platform = { os: 'linux', architecture: 'amd64' };

/** Spellings of an architecture, and the variant some imply. @see containerd platforms, `normalizeArch` */
const ARCHITECTURES: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  aarch64: ['arm64'],
  i386: ['386'],
  i686: ['386'],
  armel: ['arm', 'v6'],
  armhf: ['arm', 'v7'],
};

/** The variant an architecture has when none is said. */
const IMPLIED_VARIANTS: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8', arm: 'v7' };

/**
 * Parses `os/architecture[/variant]`.
 *
 * @throws {@link RegistryError} `PLATFORM_NOT_FOUND` for another shape.
 */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/');
  const valid = [os, architecture, variant].every(
    (part) => part === undefined || /^[A-Za-z0-9_.-]{1,64}$/.test(part),
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
 * The one spelling of a platform: `aarch64` is `arm64`, `armhf` is `arm/v7`, and arm64's v8 and amd64's v1 are implied.
 *
 * @see containerd platforms, `Normalize`
 */
export function normalizePlatform(platform: Platform): Platform {
  const { variant: said, architecture: spelled, os: system, ...rest } = platform;
  const lower = spelled.toLowerCase();
  const [architecture, ownVariant] = Object.hasOwn(ARCHITECTURES, lower)
    ? (ARCHITECTURES[lower] ?? [lower])
    : [lower];
  const os = system.toLowerCase() === 'macos' ? 'darwin' : system.toLowerCase();
  const digits = /^\d+$/.test(said ?? '') && architecture.startsWith('arm') ? `v${said}` : said;
  const variant = digits === undefined || digits === '' ? ownVariant : digits.toLowerCase();
  const implied =
    variant === undefined || (architecture !== 'arm' && IMPLIED_VARIANTS[architecture] === variant);
  return { os, architecture, ...rest, ...(implied ? {} : { variant }) };
}

/**
 * Chooses the manifest of a platform from an index. Where none has the variant asked for, the highest below it that the
 * same machine runs is taken (arm/v6 for arm/v7), the first of several alike. Attestations (`unknown/unknown`) and
 * entries without a platform are never chosen.
 *
 * @throws {@link RegistryError} `PLATFORM_NOT_FOUND`, with what is there.
 */
export function selectPlatform(index: ImageIndex, platform: Platform): Descriptor {
  const wanted = normalizePlatform(platform);
  const fitting = index.manifests.flatMap((descriptor) => {
    if (descriptor.platform === undefined || isAttestation(descriptor)) return [];
    const offered = normalizePlatform(descriptor.platform);
    const rank = rankOf(offered, wanted);
    return rank === undefined ? [] : [{ descriptor, rank }];
  });
  // Sorting is stable: the first of the best wins.
  const [best] = fitting.sort((left, right) => right.rank - left.rank);
  if (best !== undefined) return best.descriptor;
  const offered = index.manifests
    .flatMap((descriptor) =>
      descriptor.platform === undefined || isAttestation(descriptor)
        ? []
        : [formatPlatform(descriptor.platform)],
    )
    .slice(0, 40);
  throw new RegistryError('PLATFORM_NOT_FOUND', `no image for ${formatPlatform(wanted)}`, {
    hint: offered.length === 0 ? 'The index names no platform.' : `There is ${offered.join(', ')}.`,
    details: { wanted: formatPlatform(wanted), offered },
  });
}

/** Tells whether a descriptor is BuildKit's attestation of an image beside it. */
export function isAttestation(descriptor: Descriptor): boolean {
  return (
    descriptor.platform?.os === 'unknown' ||
    descriptor.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest'
  );
}

/** How well an offer fits, higher is better; undefined when it does not. */
function rankOf(offered: Platform, wanted: Platform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined;
  if (wanted['os.version'] !== undefined && offered['os.version'] !== wanted['os.version']) return undefined;
  const missing = (wanted['os.features'] ?? []).filter(
    (feature) => !offered['os.features']?.includes(feature),
  );
  if (missing.length > 0) return undefined;
  const implied = IMPLIED_VARIANTS[wanted.architecture];
  const have = offered.variant ?? implied;
  const want = wanted.variant ?? implied;
  if (have === want) return Number.MAX_SAFE_INTEGER;
  const [haveNumber, wantNumber] = [have, want].map((variant) =>
    Number(/^v(\d{1,3})$/.exec(variant ?? '')?.[1]),
  );
  if (haveNumber === undefined || wantNumber === undefined || !(haveNumber < wantNumber)) return undefined;
  // An image for the plain architecture runs on every variant of it; arm below v5 is another instruction set.
  return implied === undefined || (wanted.architecture === 'arm' && haveNumber < 5) ? undefined : haveNumber;
}
