import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { generateKeypair } from '../keys/keypair.ts';
import { publicKeyOf } from '../keys/public-key.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import { type Change, checkChange } from './changes.ts';

const key = generateKeypair().publicKey;
const weak = publicKeyOf(
  'ecdsa',
  generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'der', type: 'spki' }),
);
const certificate = await issueRootCertificate(generateKeypair(), 'a.example.com/app');
const delegation = { name: 'targets/releases', keys: [key], threshold: 1, paths: [''] };

describe('checkChange()', () => {
  test.each<[Change, string]>([
    [{ type: 'delegation-set', delegation: { ...delegation, keys: [] } }, 'INVALID_OPTIONS'],
    [{ type: 'delegation-set', delegation: { ...delegation, threshold: 0 } }, 'INVALID_OPTIONS'],
    [{ type: 'delegation-set', delegation: { ...delegation, threshold: 1.5 } }, 'INVALID_OPTIONS'],
    [
      { type: 'delegation-set', delegation: { ...delegation, keys: [key, key], threshold: 2 } },
      'INVALID_OPTIONS',
    ],
    [{ type: 'delegation-set', delegation: { ...delegation, keys: [weak] } }, 'UNSUPPORTED_KEY'],
    [{ type: 'signer-add', name: 'alice', keys: [] }, 'INVALID_OPTIONS'],
    [{ type: 'signer-add', name: 'releases', keys: [key] }, 'INVALID_NAME'],
    [{ type: 'signer-remove', name: 'Alice', resign: true }, 'INVALID_NAME'],
    [{ type: 'role-keys', role: 'targets', keys: [], threshold: 1 }, 'INVALID_OPTIONS'],
    [{ type: 'role-keys', role: 'root', keys: [key], threshold: 1 }, 'INVALID_OPTIONS'],
    [{ type: 'role-keys', role: 'releases' as 'root', keys: [certificate], threshold: 1 }, 'INVALID_NAME'],
    [{ type: 'witness', role: 'snapshot' }, 'INVALID_NAME'],
  ])('refuses %j: %s', (change, code) => {
    expect(() => checkChange(change)).toThrow(expect.objectContaining({ name: 'TrustError', code }));
  });

  test.each<Change>([
    { type: 'delegation-set', delegation },
    { type: 'signer-add', name: 'alice', keys: [key] },
    { type: 'role-keys', role: 'root', keys: [certificate], threshold: 1 },
    { type: 'witness', role: 'root' },
  ])('takes %j', (change) => {
    expect(checkChange(change)).toBe(change);
  });
});
