// What a file must say, one wrong member at a time; each is written in canonical form, so that nothing else is wrong with it.
import { describe, expect, test } from 'vitest';
import { canonicalJson, compareUtf8, type JsonValue, wireJson } from '../json/canonical-json.ts';
import { parseGoTime } from '../json/go-time.ts';
import { MAX_SIGNATURES, parseMetadata } from './parse.ts';

type Json = { readonly [name: string]: JsonValue };

const id = 'a'.repeat(64);
const key: Json = { keytype: 'ed25519', keyval: { private: null, public: 'AAAA' } };
const role: Json = { keyids: [id], threshold: 1 };
const meta: Json = { hashes: { sha256: 'AAAA' }, length: 1 };
const base = { expires: '2036-01-01T00:00:00Z', version: 1 };
const roles: Json = { root: role, snapshot: role, targets: role, timestamp: role };
const files: Readonly<Record<string, Json>> = {
  root: { ...base, _type: 'Root', consistent_snapshot: false, keys: { [id]: key }, roles },
  snapshot: { ...base, _type: 'Snapshot', meta: { root: meta, targets: meta } },
  timestamp: { ...base, _type: 'Timestamp', meta: { snapshot: meta } },
  targets: { ...base, _type: 'Targets', delegations: { keys: {}, roles: [] }, targets: { a: meta } },
};
const delegated = (delegation: Json): Json => ({ delegations: { keys: {}, roles: [delegation] } });
const write = (signed: Json, signatures: readonly Json[] = []): Buffer => {
  const parts = signatures.map((signature) => wireJson(canonicalJson(signature)));
  return Buffer.from(`{"signed":${wireJson(canonicalJson(signed))},"signatures":[${parts.join(',')}]}`);
};
const malformed = expect.objectContaining({ code: 'MALFORMED' });

describe('parseMetadata() refuses', () => {
  test.each<[string, string, Json]>([
    ...Object.keys(files).flatMap((name): [string, string, Json][] => [
      [name, 'another type', { _type: name === 'root' ? 'Targets' : 'Root' }],
      [name, 'a type in lower case', { _type: name }],
      [name, 'version 0', { version: 0 }],
      [name, 'version 2^53', { version: Number.MAX_SAFE_INTEGER }],
      [name, 'an expiry that is no time', { expires: 'never' }],
      [name, 'an expiry in another form', { expires: '2036-01-01t00:00:00z' }],
    ]),
    ['root', 'no consistent_snapshot', { consistent_snapshot: null }],
    ['root', 'a key that is not listed', { keys: {} }],
    ['root', 'a role that is missing', { roles: { root: role, snapshot: role, targets: role } }],
    ['root', 'threshold 0', { roles: { ...roles, root: { ...role, threshold: 0 } } }],
    [
      'root',
      'a key id of another form',
      { roles: { ...roles, root: { ...role, keyids: ['A'.repeat(64)] } } },
    ],
    ['root', 'a private key', { keys: { [id]: { ...key, keyval: { private: 'AAAA', public: 'AAAA' } } } }],
    [
      'root',
      'base64 in another spelling',
      { keys: { [id]: { ...key, keyval: { private: null, public: 'AA' } } } },
    ],
    ['snapshot', 'no root', { meta: { targets: meta } }],
    ['snapshot', 'no targets', { meta: { root: meta } }],
    ['timestamp', 'no snapshot', { meta: {} }],
    ['timestamp', 'a length below 0', { meta: { snapshot: { ...meta, length: -1 } } }],
    ['timestamp', 'a hash that is no base64', { meta: { snapshot: { ...meta, hashes: { sha256: '!' } } } }],
    ['targets', 'a delegation of an odd name', delegated({ ...role, name: 'targets/A' })],
    ['targets', 'a delegation named __proto__', delegated({ ...role, name: '__proto__' })],
    ['targets', 'a delegation that climbs', delegated({ ...role, name: 'targets/..' })],
    ['targets', 'paths that are no texts', delegated({ ...role, name: 'targets/a', paths: [1] })],
  ])('a %s with %s', (name, _, change) => {
    const file = files[name] as Json;
    expect(parseMetadata(name, write(file)).signed.version).toBe(1);
    const text = write({ ...file, ...change }).toString();
    // Canonical JSON holds no such number.
    const bytes = Buffer.from(text.replace('9007199254740991', '9007199254740992'));
    expect(() => parseMetadata(name, bytes)).toThrow(malformed);
  });

  test('more signatures than the limit, and takes as many', () => {
    const signature = { keyid: id, method: 'eddsa', sig: 'AAAA' };
    const of = (count: number) => write(files.targets as Json, Array(count).fill(signature));
    expect(parseMetadata('targets', of(MAX_SIGNATURES)).signatures).toHaveLength(MAX_SIGNATURES);
    expect(() => parseMetadata('targets', of(MAX_SIGNATURES + 1))).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    );
  });

  test('bytes that are not UTF-8, and a byte order mark, in any form', () => {
    const bytes = write({ ...files.targets, targets: { '~': meta } });
    const spoiled = Buffer.from(bytes.map((byte) => (byte === 0x7e ? 0xff : byte)));
    const marked = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes]);
    for (const wrong of [spoiled, marked])
      for (const anyForm of [false, true])
        expect(() => parseMetadata('targets', wrong, { anyForm })).toThrow(malformed);
  });

  test('numbers, texts and members in a second form', () => {
    const text = write(files.targets as Json).toString();
    for (const [from, to] of [
      ['"length":1', '"length":1.0'],
      ['"length":1', '"length":1e0'],
      ['"length":1', '"length":-0'],
      ['"version":1', '"version":9,"version":1'],
      ['"a":', '"\\u0061":'],
      ['"a":', '"\\ud800":'],
      ['"signatures":[]', '"signatures":[],"signatures":[]'],
      ['"signatures":[]', '"signatures":[],"__proto__":{}'],
    ] as const) {
      expect(text).toContain(from);
      expect(() => parseMetadata('targets', Buffer.from(text.replace(from, to)))).toThrow(malformed);
    }
  });

  test.each(['2036-01-01T00:00:00+30:00', '2036-01-01T00:00:00+99:00'])('a zone that is none: %s', (time) => {
    expect(() => parseGoTime(time)).toThrow(malformed);
  });

  test('no order but that of UTF-8, at both ends of the surrogates', () => {
    for (const high of ['\u{10000}', '\u{10ffff}'])
      for (const low of ['\ud7ff', '\ue000', '\uffff']) {
        expect(Math.sign(compareUtf8(low, high))).toBe(Buffer.compare(Buffer.from(low), Buffer.from(high)));
        expect(Math.sign(compareUtf8(high, low))).toBe(Buffer.compare(Buffer.from(high), Buffer.from(low)));
      }
  });
});
