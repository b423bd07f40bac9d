import { RegistryError } from '../errors.ts';
import type { Descriptor, Platform } from './types.ts';

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

/** Tells whether a descriptor is BuildKit's attestation of an image beside it. */
export function isAttestation(descriptor: Descriptor): boolean {
  return (
    descriptor.platform?.os === 'unknown' ||
    descriptor.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest'
  );
}

/** Why an offer does not fit a wish. */
export type PlatformMismatch =
  | 'other-os'
  | 'other-architecture'
  /** A variant the machine does not run: a higher one, another instruction set, or one that is not known. */
  | 'other-variant'
  | 'other-os-version'
  | 'missing-os-features';

/** How well an offer fits, higher is better; or why it does not. Both are to be normal. */
export function fitOf(offered: Platform, wanted: Platform): number | PlatformMismatch {
  if (offered.os !== wanted.os) return 'other-os';
  if (offered.architecture !== wanted.architecture) return 'other-architecture';
  if (wanted['os.version'] !== undefined && offered['os.version'] !== wanted['os.version'])
    return 'other-os-version';
  const features = offered['os.features'] ?? [];
  if ((wanted['os.features'] ?? []).some((feature) => !features.includes(feature)))
    return 'missing-os-features';
  const implied = IMPLIED_VARIANTS[wanted.architecture];
  const have = offered.variant ?? implied;
  const want = wanted.variant ?? implied;
  if (have === want) return EXACT;
  const [haveNumber, wantNumber] = [have, want].map((variant) =>
    Number(/^v(\d{1,3})$/.exec(variant ?? '')?.[1]),
  );
  if (haveNumber === undefined || wantNumber === undefined || !(haveNumber < wantNumber))
    return 'other-variant';
  // An image for the plain architecture runs on every variant of it; arm below v5 is another instruction set.
  if (implied === undefined || (wanted.architecture === 'arm' && haveNumber < 5)) return 'other-variant';
  return haveNumber;
}

/** The best fit. */
export const EXACT: number = Number.MAX_SAFE_INTEGER;
