import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { MediaType } from './media-types.ts';
import { formatPlatform, parsePlatform, selectPlatform } from './platform.ts';
import type { ImageIndex, Platform } from './types.ts';

function indexOf(...platforms: readonly (string | Platform | undefined)[]): ImageIndex {
  const manifests = platforms.map((platform, position) => {
    const [os = '', architecture = '', variant] = typeof platform === 'string' ? platform.split('/') : [];
    const own =
      typeof platform === 'string'
        ? { os, architecture, ...(variant === undefined ? {} : { variant }) }
        : platform;
    return {
      ...{ mediaType: MediaType.ociManifest, digest: digestOf(String(position)), size: 1 },
      ...(own === undefined ? {} : { platform: own }),
    };
  });
  return { schemaVersion: 2, manifests };
}

describe('parsePlatform()', () => {
  test.each([
    ['linux/amd64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['linux/x86_64', 'linux/amd64'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['linux/i386', 'linux/386'],
    ['macos/arm64', 'darwin/arm64'],
  ])('reads %s as %s', (text, canonical) => {
    expect(formatPlatform(parsePlatform(text))).toBe(canonical);
  });

  test.each(['', 'linux', 'linux/', 'linux/*', 'linux/amd64/v1/x', 'linux/amd 64'])('refuses %j', (text) => {
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'PLATFORM_NOT_FOUND' }));
  });
});

describe('selectPlatform()', () => {
  test.each([
    ['linux/amd64', ['linux/arm64', 'linux/amd64', 'linux/amd64'], 1],
    ['linux/amd64', ['linux/amd64/v2', 'linux/amd64'], 1],
    ['linux/amd64/v3', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'], 1],
    ['linux/arm64', ['linux/arm64/v8'], 0],
    ['linux/arm', ['linux/arm/v5', 'linux/arm/v7', 'linux/arm/v6'], 1],
    ['linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6'], 1],
    ['linux/arm/v6', ['linux/arm/v7', 'linux/arm/v5'], 1],
  ])('for %s of %j chooses entry %i', (wanted, offered, position) => {
    expect(selectPlatform(indexOf(...offered), parsePlatform(wanted)).digest).toBe(
      digestOf(String(position)),
    );
  });

  test('never chooses an attestation or an entry without a platform', () => {
    const index = indexOf('unknown/unknown', undefined, 'windows/amd64');
    expect(() => selectPlatform(index, { os: 'unknown', architecture: 'unknown' })).toThrow(
      expect.objectContaining({
        code: 'PLATFORM_NOT_FOUND',
        details: { wanted: 'unknown/unknown', offered: ['windows/amd64'] },
      }),
    );
  });

  test('matches os.version and os.features when they are asked for', () => {
    const old = { os: 'windows', architecture: 'amd64', 'os.version': '10.0.14393.1' };
    const fresh = { ...old, 'os.version': '10.0.20348.2', 'os.features': ['win32k'] };
    const index = indexOf(old, fresh);
    expect(selectPlatform(index, { ...old, 'os.version': '10.0.20348.2' }).digest).toBe(digestOf('1'));
    const features = { os: 'windows', architecture: 'amd64', 'os.features': ['win32k'] };
    expect(selectPlatform(index, features).digest).toBe(digestOf('1'));
    expect(() => selectPlatform(index, { ...old, 'os.version': '10' })).toThrow('no image for windows/amd64');
  });
});
