import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { parseManifest } from './manifest.ts';
import { MediaType } from './media-types.ts';

const config = { mediaType: MediaType.ociConfig, digest: digestOf('config'), size: 6 };
const layer = { mediaType: MediaType.ociLayerGzip, digest: digestOf('layer'), size: 5 };
const image = { schemaVersion: 2, mediaType: MediaType.ociManifest, config, layers: [layer] };
const index = { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [layer] };
const bytesOf = (document: unknown) =>
  Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
const parse = (document: unknown, contentType?: string) => parseManifest(bytesOf(document), { contentType });

describe('parseManifest()', () => {
  test('keeps the bytes and describes them', () => {
    const bytes = bytesOf(image);
    const parsed = parseManifest(bytes, { contentType: `${MediaType.ociManifest}; charset=utf-8` });
    expect(parsed).toMatchObject({
      kind: 'image',
      bytes,
      descriptor: { mediaType: MediaType.ociManifest, digest: digestOf(bytes), size: bytes.byteLength },
    });
    expect(parseManifest(bytes, { algorithm: 'sha512' }).descriptor.digest).toBe(digestOf(bytes, 'sha512'));
  });

  test.each([undefined, 'application/json', 'text/plain; charset=utf-8', 'application/octet-stream'])(
    'believes the document when the content type is %s',
    (contentType) => {
      expect(parse(image, contentType).kind).toBe('image');
      expect(parse(index, contentType).kind).toBe('index');
    },
  );

  const { mediaType: _mediaType, ...unnamed } = image;
  test('takes a document without mediaType for what the registry calls it', () => {
    expect(parse(unnamed, MediaType.dockerManifest).descriptor.mediaType).toBe(MediaType.dockerManifest);
    expect(parse(unnamed).descriptor.mediaType).toBe(MediaType.ociManifest);
  });

  const twice = JSON.stringify(image).replace('"layers":', '"layers":[],"layers":');
  test.each([
    ['an image with manifests', { ...image, manifests: [] }],
    ['an index with layers', { ...index, layers: [] }],
    ['an index with fsLayers', { ...index, fsLayers: [] }],
    ['a member twice', twice],
    ['a member twice, spelled with an escape', twice.replace('"layers":[],', '"\\u006cayers":[],')],
    ['a member twice, far from its colon', twice.replace('"layers":[],', `"layers"${' '.repeat(100)}:[],`)],
    ['a descriptor member twice', JSON.stringify(image).replace('"size":5', '"size":5,"size":6')],
    ['a member in other letters', { ...image, Layers: [] }],
    ['a descriptor member in other letters', { ...image, layers: [{ ...layer, Digest: digestOf('x') }] }],
  ])('S9, row 17: finds %s ambiguous', (_what, document) => {
    expect(() => parse(document)).toThrow(expect.objectContaining({ code: 'AMBIGUOUS_MANIFEST' }));
  });

  test('S9, row 17: finds bytes that are no UTF-8 ambiguous', () => {
    const bytes = Buffer.concat([bytesOf(image).subarray(0, -1), Buffer.from(',"x":"\xff"}', 'latin1')]);
    expect(() => parseManifest(bytes)).toThrow(expect.objectContaining({ code: 'AMBIGUOUS_MANIFEST' }));
  });

  test.each([
    [MediaType.ociIndex, image],
    [MediaType.dockerManifest, image],
    ['text/html', image],
    [MediaType.ociManifest, index],
  ])('S9, row 17: finds a disagreement with %s ambiguous', (contentType, document) => {
    expect(() => parse(document, contentType)).toThrow(
      expect.objectContaining({ code: 'AMBIGUOUS_MANIFEST' }),
    );
  });

  test.each([
    ['INVALID_MANIFEST', '[]'],
    ['INVALID_MANIFEST', '{'],
    ['UNSUPPORTED', { ...image, schemaVersion: 1 }],
    ['INVALID_MANIFEST', { ...image, schemaVersion: 3 }],
    ['INVALID_MANIFEST', { ...image, layers: {} }],
    ['INVALID_MANIFEST', { ...image, layers: [{ ...layer, size: -1 }] }],
    ['INVALID_MANIFEST', { ...image, layers: [{ ...layer, size: 1.5 }] }],
    ['INVALID_MANIFEST', { ...image, layers: [{ ...layer, size: '5' }] }],
    ['INVALID_MANIFEST', JSON.stringify(image).replace('"size":5', '"size":1e300')],
    ['INVALID_MANIFEST', { ...image, layers: [{ ...layer, mediaType: 'layer' }] }],
    ['INVALID_MANIFEST', { ...image, annotations: { a: 1 } }],
    ['INVALID_MANIFEST', { ...index, manifests: [{ ...layer, platform: { os: 'linux' } }] }],
    ['INVALID_DIGEST', { ...image, layers: [{ ...layer, digest: layer.digest.toUpperCase() }] }],
    ['INVALID_DIGEST', { ...image, layers: [{ ...layer, digest: 'md5:d41d8cd98f00b204e9800998ecf8427e' }] }],
    ['LIMIT_EXCEEDED', { ...index, manifests: Array.from({ length: 1025 }, () => layer) }],
    ['LIMIT_EXCEEDED', ' '.repeat(4 * 1024 * 1024 + 1)],
    ['AMBIGUOUS_MANIFEST', '[{"a":'.repeat(100)],
    ['UNSUPPORTED', { ...image, mediaType: 'application/vnd.docker.distribution.manifest.v1+json' }],
    ['UNSUPPORTED', { ...image, mediaType: '__proto__' }],
  ])('refuses with %s %#', (code, document) => {
    expect(() => parse(document)).toThrow(expect.objectContaining({ code }));
  });

  test('gives __proto__ no meaning', () => {
    const parsed = parse(JSON.stringify(image).replace('{', '{"__proto__":{"layers":[1]},'));
    expect(parsed.kind).toBe('image');
    expect(({} as Record<string, unknown>).layers).toBeUndefined();
  });

  const annotations = fc.dictionary(fc.stringMatching(/^[a-z.]{1,12}$/), fc.string({ maxLength: 12 }), {
    maxKeys: 3,
  });
  const described = fc.record({
    mediaType: fc.constantFrom(MediaType.ociLayerGzip, MediaType.dockerLayerGzip, 'text/plain'),
    digest: fc.string().map((text) => digestOf(text)),
    size: fc.maxSafeNat(),
  });
  const valid = fc
    .record({ layers: fc.array(described, { maxLength: 4 }), annotations, config: described })
    .map((members) => ({ schemaVersion: 2, mediaType: MediaType.ociManifest, ...members }));

  test('reads any valid manifest as it is written', () => {
    fc.assert(
      fc.property(valid, fc.constantFrom(undefined, 1, 3), (document, indent) => {
        const bytes = Buffer.from(JSON.stringify(document, undefined, indent));
        const parsed = parseManifest(bytes, { contentType: MediaType.ociManifest });
        expect(parsed.kind).toBe('image');
        expect(JSON.stringify(parsed.kind === 'image' && parsed.manifest)).toBe(JSON.stringify(document));
        expect(parsed.descriptor.digest).toBe(digestOf(bytes));
      }),
    );
  });

  test('S9: finds any of its members ambiguous that is there twice, or again in other letters', () => {
    const name = fc.constantFrom('schemaVersion', 'mediaType', 'config', 'layers', 'annotations');
    const spell = fc.constantFrom(
      (text: string) => text,
      (text: string) => text.toUpperCase(),
      (text: string) => `\\u00${text.charCodeAt(0).toString(16)}${text.slice(1)}`,
    );
    fc.assert(
      fc.property(valid, name, spell, fc.boolean(), (document, member, spelled, first) => {
        const whole = JSON.stringify(document);
        const added = `"${spelled(member)}":null`;
        const text = first ? `{${added},${whole.slice(1)}` : `${whole.slice(0, -1)},${added}}`;
        expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'AMBIGUOUS_MANIFEST' }));
      }),
    );
  });

  test('throws only its own errors, whatever the bytes', () => {
    const broken = fc.tuple(fc.nat(400), fc.string({ maxLength: 4 })).map(([at, text]) => {
      const whole = JSON.stringify(image);
      return Buffer.from(whole.slice(0, at) + text + whole.slice(at + text.length));
    });
    const json = fc.json().map((text) => Buffer.from(text));
    fc.assert(
      fc.property(fc.oneof(broken, json, fc.uint8Array()), (bytes) => {
        try {
          expect(parseManifest(bytes).descriptor.digest).toBe(digestOf(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
