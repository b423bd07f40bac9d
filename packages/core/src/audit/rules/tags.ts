import type { ImageReference } from '@imagevet/registry';

const CHANNEL =
  /^(?:latest|stable|edge|rolling|nightly|main|master|dev|devel|develop|development|testing|unstable|sid|rawhide|lts|current|canary|next|mainline|beta|alpha|rc|head|trunk|snapshot|release|prod|production|debug|nonroot|slim|alpine)(?:-[a-z][a-z0-9.-]*)?$/;

/** Distributions whose bare number is a release with a support period, not a major version that gains features. */
const NUMBERED_RELEASES =
  /^(?:library\/)?(?:debian|ubuntu|centos|fedora|rockylinux|almalinux|amazonlinux|oraclelinux|photon|mageia|sl|clearlinux)$|(?:^|\/)ubi\d|\/centos$|^windows\//;

/** Why a tag floats; undefined for one that names a release. */
export function floatingTag(
  reference: ImageReference,
): { readonly reason: string; readonly major: boolean } | undefined {
  const { tag, repository } = reference;
  if (tag === undefined || tag === 'latest') return { reason: 'follows whatever is latest', major: false };
  if (CHANNEL.test(tag)) return { reason: `follows the channel ${tag}`, major: false };
  if (/^v?\d+(?:-[a-z][a-z0-9.-]*)?$/.test(tag) && !NUMBERED_RELEASES.test(repository)) {
    return { reason: `follows a whole major version, ${tag}`, major: true };
  }
  return undefined;
}
