import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { MediaType } from './media-types.ts';
import { formatPlatform, parsePlatform } from './platform.ts';
import { explainPlatform, selectPlatform } from './platform-choice.ts';
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
        details: {
          ...{ wanted: 'unknown/unknown', offered: ['windows/amd64'] },
          considered: [
            { digest: digestOf('0'), platform: 'unknown/unknown', reason: 'attestation' },
            { digest: digestOf('1'), reason: 'no-platform' },
            { digest: digestOf('2'), platform: 'windows/amd64', reason: 'other-os' },
          ],
        },
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

describe('explainPlatform()', () => {
  const reasons = (index: ImageIndex, wanted: Platform) =>
    explainPlatform(index, wanted).map(({ platform, reason, chosen }) => [platform, reason, chosen]);

  test('says of every entry whether it fits, and why not', () => {
    const index = indexOf(
      ...['windows/arm', 'linux/amd64', 'linux/arm/v8', 'linux/arm/v5', 'linux/arm/v6', 'linux/arm/v6'],
      ...['linux/arm/v4', 'linux/arm/vx', 'unknown/unknown', undefined],
    );
    expect(reasons(index, parsePlatform('linux/arm/v7'))).toEqual([
      ['windows/arm', 'other-os', false],
      ['linux/amd64', 'other-architecture', false],
      ['linux/arm/v8', 'other-variant', false],
      ['linux/arm/v5', 'lower-variant', false],
      ['linux/arm/v6', 'lower-variant', true],
      ['linux/arm/v6', 'lower-variant', false],
      ['linux/arm/v4', 'other-variant', false],
      ['linux/arm/vx', 'other-variant', false],
      ['unknown/unknown', 'attestation', false],
      [undefined, 'no-platform', false],
    ]);
  });

  test('tells versions and features of an operating system apart', () => {
    const old = { os: 'windows', architecture: 'amd64', 'os.version': '10.0.14393.1' };
    const fresh = { ...old, 'os.version': '10.0.20348.2' };
    const wanted = { ...fresh, 'os.features': ['win32k'] };
    const index = indexOf(old, fresh, wanted);
    expect(reasons(index, wanted).map(([, reason]) => reason)).toEqual([
      'other-os-version',
      'missing-os-features',
      'exact',
    ]);
  });

  test('chooses what selectPlatform() chooses, whatever is offered', () => {
    const offer = fc.option(
      fc.tuple(
        fc.constantFrom('linux', 'windows', 'unknown'),
        fc.constantFrom('amd64', 'arm', 'arm64', 'x86_64'),
        fc.constantFrom(undefined, 'v1', 'v5', 'v6', 'v7', 'v8', '8', 'odd'),
      ),
      { nil: undefined },
    );
    const text = offer.map((parts) => parts?.filter((part) => part !== undefined).join('/'));
    fc.assert(
      fc.property(
        fc.array(text, { maxLength: 8 }),
        fc.constantFrom('linux/arm/v7', 'linux/amd64/v3', 'linux/arm64'),
        (offers, wanted) => {
          const index = indexOf(...offers);
          const chosen = explainPlatform(index, parsePlatform(wanted)).filter((choice) => choice.chosen);
          expect(chosen.length).toBeLessThanOrEqual(1);
          const [one] = chosen;
          if (one === undefined)
            expect(() => selectPlatform(index, parsePlatform(wanted))).toThrow('no image for');
          else {
            expect(selectPlatform(index, parsePlatform(wanted))).toBe(one.descriptor);
            expect(['exact', 'lower-variant']).toContain(one.reason);
          }
        },
      ),
    );
  });
});
