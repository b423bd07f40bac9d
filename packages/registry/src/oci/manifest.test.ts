import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { ImagevetError } from '../errors.ts';
import { parseImageConfig } from './config.ts';
import { parseManifest } from './manifest.ts';
import { MediaType } from './media-types.ts';
import { normalizePlatform, parsePlatform, selectPlatform } from './platform.ts';
import type { ImageIndex } from './types.ts';

const descriptor = { mediaType: MediaType.ociConfig, digest: digestOf('x'), size: 1 };
const image = {
  schemaVersion: 2,
  mediaType: MediaType.ociManifest,
  config: descriptor,
  layers: [descriptor],
};
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const code = (expected: string) => expect.objectContaining({ code: expected });

describe('parseManifest()', () => {
  test('keeps the bytes and computes the digest from them', () => {
    const raw = bytes(image);
    const manifest = parseManifest(raw, { contentType: `${MediaType.ociManifest}; charset=utf-8` });
    expect(manifest.kind).toBe('image');
    expect(manifest.bytes).toBe(raw);
    expect(manifest.descriptor).toEqual({
      mediaType: MediaType.ociManifest,
      digest: digestOf(raw),
      size: raw.length,
    });
  });

  test.each([
    ['an image with manifests (attack row 17)', { ...image, manifests: [] }],
    ['an index with layers', { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [], layers: [] }],
    [
      'an index with a config',
      { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [], config: descriptor },
    ],
  ])('refuses %s', (_name, document) => {
    expect(() => parseManifest(bytes(document))).toThrow(code('AMBIGUOUS_MANIFEST'));
  });

  test.each([
    [
      'a duplicate member',
      `{"schemaVersion":2,"layers":[],"layers":[],"config":${JSON.stringify(descriptor)}}`,
    ],
    ['an escaped duplicate member', `{"schemaVersion":2,"a":1,"\\u0061":2}`],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ['nesting', `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`],
  ])('refuses %s, which two readers may read differently', (_name, document) => {
    expect(() => parseManifest(document instanceof Buffer ? document : bytes(document))).toThrow(
      code('AMBIGUOUS_MANIFEST'),
    );
  });

  test('refuses a media type the registry contradicts', () => {
    expect(() => parseManifest(bytes(image), { contentType: MediaType.ociIndex })).toThrow(
      code('AMBIGUOUS_MANIFEST'),
    );
  });

  test.each([
    ['a list', '[]'],
    ['text', 'hello'],
    ['no layers', { ...image, layers: undefined }],
    ['a size that is text', { ...image, config: { ...descriptor, size: '1' } }],
    ['a negative size', { ...image, config: { ...descriptor, size: -1 } }],
    ['schemaVersion 1', { ...image, schemaVersion: 1 }],
  ])('refuses %s', (_name, document) => {
    expect(() => parseManifest(document instanceof Buffer ? document : bytes(document))).toThrow(
      code('INVALID_MANIFEST'),
    );
  });

  test('refuses a digest of an unknown algorithm (attack row 21)', () => {
    const document = { ...image, config: { ...descriptor, digest: 'md5:d41d8cd98f00b204e9800998ecf8427e' } };
    expect(() => parseManifest(bytes(document))).toThrow(code('INVALID_DIGEST'));
  });

  test('refuses too many children and too many bytes (attack row 18)', () => {
    const index = {
      schemaVersion: 2,
      mediaType: MediaType.ociIndex,
      manifests: Array(2000).fill(descriptor),
    };
    expect(() => parseManifest(bytes(index))).toThrow(code('LIMIT_EXCEEDED'));
    expect(() => parseManifest(Buffer.alloc(5 * 1024 * 1024, 0x20))).toThrow(code('LIMIT_EXCEEDED'));
  });

  test('reads __proto__ as any other member', () => {
    const manifest = parseManifest(bytes(`{"__proto__":{"polluted":1},${JSON.stringify(image).slice(1)}`));
    expect(manifest.kind).toBe('image');
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test('answers any bytes with a manifest or an imagevet error', () => {
    const text = JSON.stringify(image);
    const mutated = fc
      .tuple(fc.nat(text.length - 1), fc.nat(20), fc.string({ maxLength: 8 }))
      .map(([at, cut, insert]) => text.slice(0, at) + insert + text.slice(at + cut));
    fc.assert(
      fc.property(fc.oneof(mutated, fc.json(), fc.string()), (input) => {
        for (const parse of [parseManifest, parseImageConfig]) {
          try {
            parse(Buffer.from(input));
          } catch (error) {
            if (!ImagevetError.is(error)) throw error;
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('selectPlatform()', () => {
  const at = (os: string, architecture: string, variant?: string) => ({
    ...descriptor,
    digest: digestOf(`${os}/${architecture}/${variant}`),
    platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
  });
  const index: ImageIndex = {
    schemaVersion: 2,
    manifests: [
      at('linux', 'amd64'),
      at('linux', 'arm', 'v5'),
      at('linux', 'arm', 'v7'),
      at('linux', 'arm64', 'v8'),
      at('unknown', 'unknown'),
    ],
  };

  test.each([
    ['linux/amd64', 'linux/amd64/undefined'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/v5', 'linux/arm/v5'],
    ['linux/arm64', 'linux/arm64/v8'],
    ['linux/arm64/v8', 'linux/arm64/v8'],
    ['linux/aarch64', 'linux/arm64/v8'],
  ])('finds %s', (wanted, chosen) => {
    expect(selectPlatform(index, parsePlatform(wanted)).digest).toBe(digestOf(chosen));
  });

  test('lists what there is when it finds none, never the attestation', () => {
    const select = () => selectPlatform(index, { os: 'linux', architecture: 's390x' });
    expect(select).toThrow(code('PLATFORM_NOT_FOUND'));
    expect(select).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('linux/amd64') as string }),
    );
    expect(() => selectPlatform(index, { os: 'unknown', architecture: 'unknown' })).toThrow(
      code('PLATFORM_NOT_FOUND'),
    );
  });

  test('normalises the spellings of one platform', () => {
    expect(normalizePlatform({ os: 'linux', architecture: 'aarch64', variant: 'v8' })).toEqual({
      os: 'linux',
      architecture: 'arm64',
    });
    expect(() => parsePlatform('linux')).toThrow(code('PLATFORM_NOT_FOUND'));
  });
});
