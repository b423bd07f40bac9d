import type { Platform } from '@imagevet/registry';

/** Every architecture bashbrew builds for, with its platform. */
export const ARCHITECTURES: ReadonlyMap<string, Platform> = new Map([
  ['amd64', { os: 'linux', architecture: 'amd64' }],
  ['arm32v5', { os: 'linux', architecture: 'arm', variant: 'v5' }],
  ['arm32v6', { os: 'linux', architecture: 'arm', variant: 'v6' }],
  ['arm32v7', { os: 'linux', architecture: 'arm', variant: 'v7' }],
  ['arm64v8', { os: 'linux', architecture: 'arm64', variant: 'v8' }],
  ['i386', { os: 'linux', architecture: '386' }],
  ['mips64le', { os: 'linux', architecture: 'mips64le' }],
  ['ppc64le', { os: 'linux', architecture: 'ppc64le' }],
  ['riscv64', { os: 'linux', architecture: 'riscv64' }],
  ['s390x', { os: 'linux', architecture: 's390x' }],
  ['windows-amd64', { os: 'windows', architecture: 'amd64' }],
]);

/**
 * Lists the architectures whose image a platform runs, best first: 32-bit Arm falls back to older variants,
 * as a pull does.
 */
export function architecturesOf(platform: Platform): readonly string[] {
  if (platform.os === 'linux' && platform.architecture === 'arm') {
    const newest = Number(/^v?([567])$/.exec(platform.variant ?? 'v7')?.[1] ?? 0);
    return [7, 6, 5].filter((version) => version <= newest).map((version) => `arm32v${version}`);
  }
  for (const [name, { os, architecture }] of ARCHITECTURES) {
    if (os === platform.os && architecture === platform.architecture) return [name];
  }
  return [];
}

/** The namespace of Docker Hub that holds only one architecture's official images: `arm64v8`, `winamd64`. */
export function architectureOfNamespace(namespace: string): string | undefined {
  if (namespace === 'winamd64') return 'windows-amd64';
  return namespace !== 'windows-amd64' && ARCHITECTURES.has(namespace) ? namespace : undefined;
}
