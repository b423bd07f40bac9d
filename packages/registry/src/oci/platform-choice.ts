import { RegistryError } from '../errors.ts';
import {
  EXACT,
  fitOf,
  formatPlatform,
  isAttestation,
  normalizePlatform,
  type PlatformMismatch,
} from './platform.ts';
import type { Descriptor, ImageIndex, Platform } from './types.ts';

/** What became of one manifest of an index when a platform was chosen. Plain data. */
export interface PlatformChoice {
  readonly descriptor: Descriptor;
  /** `os/architecture[/variant]`, as the index spells it; absent where it does not say. */
  readonly platform?: string;
  /** True for the one that was chosen. */
  readonly chosen: boolean;
  /**
   * `exact`: it is for the platform. `lower-variant`: the machine runs it too. `no-platform`: the index does not say.
   * `attestation`: it is about an image, and none itself. Otherwise why it does not fit. What fits and was not chosen
   * stands behind a better one, or the first of several alike.
   */
  readonly reason: 'exact' | 'lower-variant' | 'no-platform' | 'attestation' | PlatformMismatch;
}

/**
 * Says of every manifest of an index, in its order, whether it fits a platform, and which one is chosen. Where none has the
 * variant asked for, the highest below it that the same machine runs is taken (arm/v6 for arm/v7), the first of several
 * alike. Attestations (`unknown/unknown`) and entries without a platform are never chosen.
 */
export function explainPlatform(index: ImageIndex, platform: Platform): readonly PlatformChoice[] {
  const wanted = normalizePlatform(platform);
  const fits = index.manifests.map((descriptor) => {
    if (isAttestation(descriptor)) return 'attestation' as const;
    if (descriptor.platform === undefined) return 'no-platform' as const;
    return fitOf(normalizePlatform(descriptor.platform), wanted);
  });
  const best = Math.max(...fits.map((fit) => (typeof fit === 'number' ? fit : -1)));
  const chosen = fits.indexOf(best);
  return index.manifests.map((descriptor, position) => {
    const fit = fits[position] ?? 'no-platform';
    return {
      descriptor,
      ...(descriptor.platform === undefined ? {} : { platform: formatPlatform(descriptor.platform) }),
      chosen: position === chosen,
      reason: typeof fit === 'string' ? fit : fit === EXACT ? 'exact' : 'lower-variant',
    };
  });
}

/**
 * Chooses the manifest of a platform from an index; {@link explainPlatform} says why.
 *
 * @throws {@link RegistryError} `PLATFORM_NOT_FOUND`, with what is there and why it does not fit in `details.offered` and
 * `details.considered`
 */
export function selectPlatform(index: ImageIndex, platform: Platform): Descriptor {
  const choices = explainPlatform(index, platform);
  const choice = choices.find(({ chosen }) => chosen);
  if (choice !== undefined) return choice.descriptor;
  const wanted = formatPlatform(normalizePlatform(platform));
  const images = choices.filter(({ reason }) => reason !== 'attestation' && reason !== 'no-platform');
  const offered = images.map(({ platform: text }) => text).slice(0, MAX_TOLD);
  throw new RegistryError('PLATFORM_NOT_FOUND', `no image for ${wanted}`, {
    hint: offered.length === 0 ? 'The index names no platform.' : `There is ${offered.join(', ')}.`,
    details: {
      ...{ wanted, offered },
      considered: choices.slice(0, MAX_TOLD).map(({ descriptor, platform: text, reason }) => ({
        digest: descriptor.digest,
        ...(text === undefined ? {} : { platform: text }),
        reason,
      })),
    },
  });
}

const MAX_TOLD = 40;
