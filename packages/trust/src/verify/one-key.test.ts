// One key is one key, in whatever bytes it is written.
import { createPublicKey, ECDH, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { generateKeypair } from '../keys/keypair.ts';
import { importPublicKey, publicKeyOf, tufKeyId } from '../keys/public-key.ts';
import { parseMetadata, serializeMetadata, signedJson } from '../metadata/parse.ts';
import type { PublicKey, TargetsMetadata } from '../metadata/types.ts';
import { verifySignatures } from './signatures.ts';

const signed: TargetsMetadata = {
  _type: 'Targets',
  delegations: { keys: {}, roles: [] },
  expires: '2036-01-01T00:00:00Z',
  targets: {},
  version: 1,
};
const spkiOf = (key: PublicKey) => Buffer.from(key.keyval.public, 'base64');
const followed = (key: PublicKey) => publicKeyOf(key.keytype, Buffer.concat([spkiOf(key), Buffer.from([0])]));
/** A P-256 key with its point in another form: what comes before the point, and the point. */
const repointed = (key: PublicKey, form: 'compressed' | 'hybrid') => {
  const spki = spkiOf(key);
  const point = ECDH.convertKey(spki.subarray(-65), 'prime256v1', undefined, undefined, form) as Buffer;
  const head = Buffer.from(spki.subarray(0, -65));
  const less = 65 - point.length;
  for (const at of [1, head.length - 2]) head[at] = (head[at] ?? 0) - less;
  return publicKeyOf('ecdsa', Buffer.concat([head, point]));
};

describe('a key in a second form', () => {
  test.each([
    ['P-256 followed by a byte', 'ecdsa-p256', followed],
    ['P-384 followed by a byte', 'ecdsa-p384', followed],
    ['Ed25519 followed by a byte', 'ed25519', followed],
    ['RSA followed by a byte', 'rsa-3072', followed],
    ['P-256 with a compressed point', 'ecdsa-p256', (key: PublicKey) => repointed(key, 'compressed')],
    ['P-256 with a hybrid point', 'ecdsa-p256', (key: PublicKey) => repointed(key, 'hybrid')],
  ] as const)('%s does not count beside the first', async (_, algorithm, rewrite) => {
    const keypair = generateKeypair(algorithm);
    const [first, second] = [keypair.publicKey, rewrite(keypair.publicKey)];
    // Node itself reads it: this is no broken key.
    if (algorithm !== 'ed25519') createPublicKey({ key: spkiOf(second), format: 'der', type: 'spki' });
    expect(() => importPublicKey(second)).toThrow(expect.objectContaining({ code: 'INVALID_KEY' }));
    const sig = Buffer.from(await keypair.sign(Buffer.from(signedJson(signed)))).toString('base64');
    const signatures = [first, second].map((key) => ({ keyid: tufKeyId(key), method: keypair.method, sig }));
    const file = parseMetadata('targets', serializeMetadata(signed, signatures));
    const keys = new Map([first, second].map((key) => [tufKeyId(key), key]));
    expect(verifySignatures(file, { keys, threshold: 1 })).toHaveLength(1);
    expect(() => verifySignatures(file, { keys, threshold: 2 })).toThrow(
      expect.objectContaining({ code: 'INVALID_KEY' }),
    );
  });

  test.each(['P-224', 'P-256', 'P-384', 'P-521'])('a key of %s as Go writes it is read', (namedCurve) => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve });
    const key = publicKeyOf('ecdsa', publicKey.export({ format: 'der', type: 'spki' }));
    expect(importPublicKey(key).asymmetricKeyType).toBe('ec');
  });

  test.each(['secp256k1'])('a key of %s is refused', (namedCurve) => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve });
    const key = publicKeyOf('ecdsa', publicKey.export({ format: 'der', type: 'spki' }));
    expect(() => importPublicKey(key)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_KEY' }));
  });

  test('an RSA key of 1024 bits is refused', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const key = publicKeyOf('rsa', publicKey.export({ format: 'der', type: 'spki' }));
    expect(() => importPublicKey(key)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_KEY' }));
  });
});
