import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isGoTime } from './json/go-time.ts';
import { SoftwareKeypair } from './keys/keypair.ts';
import { readPrivateKey, readPrivateKeyHeaders, writePrivateKey } from './keys/private-key-file.ts';
import { canonicalKeyId, importPublicKey, tufKeyId } from './keys/public-key.ts';
import { verifySignature } from './keys/signature.ts';
import { parseMetadata, serializeMetadata, signedJson } from './metadata/parse.ts';
import type { PublicKey } from './metadata/types.ts';
import { encodeMultipart } from './notary/multipart.ts';
import { decodeMultipart } from './testing/multipart-reader.ts';

interface Vectors {
  keys: { tufId: string; canonicalId: string; key: PublicKey }[];
  documents: { gun: string; role: string; sha256: string; body: string; signedCanonicalSha256: string }[];
  privateKeys: {
    headers?: { role?: string; gun?: string };
    passphrase: string;
    keyId: string;
    pem: string;
  }[];
  posts: { gun: string; parts: Record<string, string> }[];
}

const read = (path: string): Vectors => JSON.parse(readFileSync(path, 'utf8'));
const sets: [string, Vectors][] = [
  ['fixtures', read(join(import.meta.dirname, '__fixtures__/notary-v1.json'))],
];
const repository = join(import.meta.dirname, '../../..');
const shared = [
  process.env.IMAGEVET_SHARED_DATA,
  join(repository, '../shared/data'),
  join(repository, '../../shared/data'),
]
  .map((directory) => join(directory ?? '', 'notary-v1-vectors.json'))
  .find((path) => existsSync(path));
if (shared === undefined) {
  process.stderr.write(
    'SKIPPED: notary-v1-vectors.json is not here, only the committed vectors are tested\n',
  );
} else {
  sets.push(['shared vectors', read(shared)]);
}

const sha256 = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex');

describe.each(sets)('%s of the real tools', (name, vectors) => {
  test('has the announced size', () => {
    const { keys, documents, privateKeys, posts } = vectors;
    const sizes = [keys.length, documents.length, privateKeys.length, posts.length];
    expect(sizes).toEqual(name === 'fixtures' ? [20, 23, 3, 8] : [28, 71, 13, 21]);
  });

  test('tufKeyId() and canonicalKeyId() give the ids of the tools', () => {
    for (const { key, tufId, canonicalId } of vectors.keys) {
      expect([tufKeyId(key), canonicalKeyId(key)]).toEqual([tufId, canonicalId]);
    }
  });

  test('parseMetadata() and serializeMetadata() reproduce every document byte for byte', () => {
    for (const document of vectors.documents) {
      const file = parseMetadata(document.role, Buffer.from(document.body));
      expect(Buffer.from(serializeMetadata(file.signed, file.signatures)).toString()).toBe(document.body);
      expect(sha256(file.bytes)).toBe(document.sha256);
      expect(sha256(signedJson(file.signed))).toBe(document.signedCanonicalSha256);
      expect(isGoTime(file.signed.expires)).toBe(true);
    }
  });

  test('verifySignature() accepts every signature and none over other bytes', () => {
    const keys = new Map(vectors.keys.map(({ tufId, key }) => [tufId, key]));
    let verified = 0;
    for (const document of vectors.documents) {
      const file = parseMetadata(document.role, Buffer.from(document.body));
      for (const { keyid, method, sig } of file.signatures) {
        const key = keys.get(keyid);
        if (key === undefined) throw new Error(`vectors lack key ${keyid}`);
        const signature = Buffer.from(sig, 'base64');
        const altered = Buffer.from(file.signedBytes);
        altered[altered.length - 2] = (altered[altered.length - 2] ?? 0) ^ 1;
        expect(verifySignature(importPublicKey(key), method, file.signedBytes, signature)).toBe(true);
        expect(verifySignature(importPublicKey(key), method, altered, signature)).toBe(false);
        verified += 1;
      }
    }
    expect(verified).toBe(name === 'fixtures' ? 25 : 75);
  });

  test('readPrivateKey() opens every key file, and writePrivateKey() keeps key and headers', async () => {
    for (const { pem, passphrase, keyId, headers } of vectors.privateKeys) {
      const file = await readPrivateKey(pem, passphrase);
      expect(new SoftwareKeypair(file.privateKey).keyId).toBe(keyId);
      if (headers !== undefined)
        expect({ role: file.role, gun: file.gun }).toEqual({ role: headers.role, gun: headers.gun });
      const again = await writePrivateKey(file, 'another passphrase');
      expect(readPrivateKeyHeaders(again)).toEqual({ ...readPrivateKeyHeaders(pem) });
      expect(new SoftwareKeypair((await readPrivateKey(again, 'another passphrase')).privateKey).keyId).toBe(
        keyId,
      );
    }
  });

  test('readPrivateKey() refuses a wrong passphrase', async () => {
    for (const { pem, passphrase } of vectors.privateKeys) {
      await expect(readPrivateKey(pem, `${passphrase}!`)).rejects.toMatchObject({ code: 'BAD_PASSPHRASE' });
    }
  });

  test('encodeMultipart() carries the parts of every publish unchanged', () => {
    const bodies = new Map(vectors.documents.map(({ sha256: hash, body }) => [hash, Buffer.from(body)]));
    for (const { parts } of vectors.posts) {
      const sent = Object.entries(parts).map(([role, hash]) => ({
        role,
        bytes: bodies.get(hash) ?? Buffer.of(),
      }));
      const { contentType, body } = encodeMultipart(sent);
      const received = decodeMultipart(contentType, body) ?? [];
      expect(Object.fromEntries(received.map(({ role, bytes }) => [role, sha256(bytes)]))).toEqual(parts);
    }
  });
});
