import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { available } from '../../../../test/services.ts';
import { TrustError } from '../errors.ts';
import { createKeyStore } from './create-key-store.ts';
import { loadKeypair, parsePublicKey } from './key-import.ts';
import { generateKeypair, type Keypair, SoftwareKeypair } from './keypair.ts';
import { readPrivateKey, writePrivateKey } from './private-key-file.ts';
import { canonicalKeyId, importPublicKey, tufKeyId } from './public-key.ts';
import { checkRootCertificate, issueRootCertificate } from './root-certificate.ts';
import { verifySignature } from './signature.ts';

const directory = mkdtempSync(join(tmpdir(), 'imagevet-keys-'));
afterAll(() => rmSync(directory, { recursive: true }));
const algorithms = ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa-3072'] as const;
const bytes = Buffer.from('signed');

describe('keypairs', () => {
  test.each(algorithms)(
    'generateKeypair(%j) signs what verifySignature() accepts, and nothing else',
    async (kind) => {
      const keypair = generateKeypair(kind);
      const signature = await keypair.sign(bytes);
      const key = importPublicKey(keypair.publicKey);
      expect(verifySignature(key, keypair.method, bytes, signature)).toBe(true);
      expect(verifySignature(key, keypair.method, Buffer.from('other'), signature)).toBe(false);
      expect(verifySignature(key, keypair.method, bytes, signature.subarray(1))).toBe(false);
      expect(() => verifySignature(key, kind === 'ed25519' ? 'ecdsa' : 'eddsa', bytes, signature)).toThrow(
        expect.objectContaining({ code: 'ALGORITHM_MISMATCH' }),
      );
    },
  );

  test('refuses secp256k1 and short RSA keys', () => {
    const weak = [
      generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
      generateKeyPairSync('rsa', { modulusLength: 1024 }),
      generateKeyPairSync('ed448'),
    ];
    for (const { privateKey } of weak) {
      expect(() => new SoftwareKeypair(privateKey)).toThrow(
        expect.objectContaining({ code: 'UNSUPPORTED_KEY' }),
      );
    }
  });
});

describe('private key files', () => {
  test.each(algorithms)('writePrivateKey() and readPrivateKey() keep a key of kind %j', async (kind) => {
    const keypair = generateKeypair(kind);
    for (const passphrase of ['a passphrase', undefined]) {
      const pem = await writePrivateKey(
        { privateKey: keypair.exportPrivateKey(), role: 'targets', gun: 'a/b' },
        passphrase,
      );
      const read = await readPrivateKey(pem, passphrase);
      expect(new SoftwareKeypair(read.privateKey).keyId).toBe(keypair.keyId);
      expect(read).toMatchObject({ role: 'targets', gun: 'a/b' });
    }
  });

  test('readPrivateKey() answers any text with a TrustError', async () => {
    const pem = await writePrivateKey({ privateKey: generateKeypair().exportPrivateKey() }, 'secret');
    const altered = fc.tuple(fc.nat(pem.length - 1), fc.string({ maxLength: 3 })).map(([at, text]) => {
      return `${pem.slice(0, at)}${text}${pem.slice(at + 1)}`;
    });
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), altered), async (text) => {
        const outcome = await readPrivateKey(text, 'wrong').catch((error: unknown) => error);
        expect(outcome).toBeInstanceOf(TrustError);
        expect((outcome as Error).message).not.toContain('wrong');
      }),
      { numRuns: 30 },
    );
  });

  test.skipIf(!available('openssl'))(
    'loadKeypair() opens what openssl writes, encrypted or not',
    async () => {
      const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
      openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'sec1.pem');
      const plain = await loadKeypair(readFileSync(join(directory, 'sec1.pem'), 'utf8'));
      const encrypted = [
        ['pkcs8', '-topk8', '-in', 'sec1.pem', '-out', 'out.pem', '-passout', 'pass:secret'],
        [
          'pkcs8',
          '-topk8',
          '-v2prf',
          'hmacWithSHA1',
          '-in',
          'sec1.pem',
          '-out',
          'out.pem',
          '-passout',
          'pass:secret',
        ],
        [
          'pkcs8',
          '-topk8',
          '-v2',
          'aes-128-cbc',
          '-in',
          'sec1.pem',
          '-out',
          'out.pem',
          '-passout',
          'pass:secret',
        ],
        ['ec', '-aes256', '-in', 'sec1.pem', '-out', 'out.pem', '-passout', 'pass:secret'],
      ];
      for (const args of encrypted) {
        openssl(...args);
        const pem = readFileSync(join(directory, 'out.pem'), 'utf8');
        expect((await loadKeypair(pem, 'secret')).keyId).toBe(plain.keyId);
        await expect(loadKeypair(pem, 'other')).rejects.toMatchObject({ code: 'BAD_PASSPHRASE' });
        await expect(loadKeypair(pem)).rejects.toMatchObject({ code: 'BAD_PASSPHRASE' });
      }
      openssl('ec', '-in', 'sec1.pem', '-pubout', '-out', 'pub.pem');
      openssl('req', '-x509', '-key', 'sec1.pem', '-subj', '/CN=alice', '-out', 'cert.pem');
      const publicKey = parsePublicKey(readFileSync(join(directory, 'pub.pem'), 'utf8'));
      const certificate = parsePublicKey(readFileSync(join(directory, 'cert.pem'), 'utf8'));
      expect(tufKeyId(publicKey)).toBe(plain.keyId);
      expect(certificate.keytype).toBe('ecdsa-x509');
      expect(canonicalKeyId(certificate)).toBe(plain.keyId);
    },
  );
});

describe('createKeyStore()', () => {
  const trust = join(directory, 'trust');

  test('keeps keys in files nobody else can read, whole', async () => {
    const keys = createKeyStore({ directory: trust, passphrase: { root: 'root one', delegation: 'rest' } });
    const root = await keys.generate({ role: 'root', gun: 'not/kept' });
    await keys.generate({ role: 'alice' });
    const files = readdirSync(join(trust, 'private'));
    expect(files.length).toBe(2);
    expect(files.every((name) => /^[0-9a-f]{64}\.key$/.test(name))).toBe(true);
    expect(statSync(join(trust, 'private')).mode & 0o777).toBe(0o700);
    for (const name of files) expect(statSync(join(trust, 'private', name)).mode & 0o777).toBe(0o600);
    const again = createKeyStore({ directory: trust, passphrase: { root: 'root one' } });
    const opened = await again.open(root.keyId);
    expect(opened.keyId).toBe(root.keyId);
    const listed = [];
    for await (const key of again.list()) listed.push(key);
    expect(listed).toContainEqual({ keyId: root.keyId, role: 'root' });
    await expect(keys.generate({ role: 'targets', gun: 'a/b' })).rejects.toMatchObject({
      code: 'BAD_PASSPHRASE',
    });
  });

  test('asks again after a wrong answer, and gives up', async () => {
    const { keyId } = await createKeyStore({ directory: trust, passphrase: 'right' }).generate({
      role: 'bob',
    });
    const attempts: number[] = [];
    const asking = createKeyStore({
      directory: trust,
      passphrase: ({ attempt, purpose, role }) => {
        expect([purpose, role]).toEqual(['open', 'bob']);
        attempts.push(attempt);
        return attempt < 3 ? 'wrong' : 'right';
      },
    });
    expect((await asking.open(keyId)).keyId).toBe(keyId);
    expect(attempts).toEqual([1, 2, 3]);
    const stubborn = createKeyStore({ directory: trust, passphrase: () => 'wrong' });
    await expect(stubborn.open(keyId)).rejects.toMatchObject({ code: 'BAD_PASSPHRASE' });
  });

  test('holds a key of a token beside those in files, and writes none of it', async () => {
    const place = join(directory, 'token');
    const hidden = generateKeypair();
    const { keyId, publicKey, method } = hidden;
    const token: Keypair = { keyId, publicKey, method, sign: (message) => hidden.sign(message) };
    const keys = createKeyStore({ directory: place, passphrase: 'a passphrase' });
    await keys.add(token, { role: 'root' });
    const made = await keys.generate({ role: 'targets', gun: 'a/b' });
    expect(readdirSync(join(place, 'private'))).toEqual([`${made.keyId}.key`]);
    const listed = [];
    for await (const key of keys.list()) listed.push(key);
    expect(listed).toEqual(
      [
        { keyId, role: 'root' },
        { keyId: made.keyId, role: 'targets', gun: 'a/b' },
      ].sort((left, right) => (left.keyId < right.keyId ? -1 : 1)),
    );
    expect(await keys.open(keyId)).toBe(token);
    expect(await keys.remove(keyId)).toBe(true);
    await expect(keys.open(keyId)).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
  });

  test('refuses a file that holds another key than its name says', async () => {
    const keys = createKeyStore({ directory: trust, passphrase: 'x' });
    const { keyId } = await keys.generate({ role: 'carol' });
    const other = '0'.repeat(64);
    writeFileSync(
      join(trust, 'private', `${other}.key`),
      readFileSync(join(trust, 'private', `${keyId}.key`)),
    );
    await expect(keys.open(other)).rejects.toMatchObject({ code: 'INVALID_KEY' });
    await expect(keys.open('../../etc/passwd')).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
    expect(await keys.remove(other)).toBe(true);
    expect(await keys.remove(other)).toBe(false);
    expect(await keys.remove('../x')).toBe(false);
  });
});

describe('issueRootCertificate()', () => {
  const collection = 'registry.example.com/app';
  const now = new Date('2026-11-23T00:00:00Z');

  test('makes a certificate that openssl, docker and we take for a root of one collection', async () => {
    const keypair = generateKeypair();
    const key = await issueRootCertificate(keypair, collection, { now: () => now });
    expect(canonicalKeyId(key)).toBe(keypair.keyId);
    expect(checkRootCertificate(key, collection, now)).toBeUndefined();
    expect(checkRootCertificate(key, 'registry.example.com/other', now)?.kind).toBe('invalid');
    const later = new Date('2036-11-21T00:00:00Z');
    expect(checkRootCertificate(key, collection, later)?.kind).toBe('expired');
    expect(checkRootCertificate(key, collection, undefined)).toBeUndefined();
    expect(checkRootCertificate(keypair.publicKey, collection, now)?.kind).toBe('invalid');
  });

  test('past 2049 is written in four digits, and names may be long', async () => {
    const long = `registry.example.com/${'x'.repeat(200)}`;
    const key = await issueRootCertificate(generateKeypair(), long, {
      now: () => new Date('2045-01-01T00:00:00Z'),
    });
    expect(checkRootCertificate(key, long, new Date('2050-06-01T00:00:00Z'))).toBeUndefined();
  });

  test.skipIf(!available('openssl'))('is none of a certificate that openssl makes otherwise', () => {
    const place = mkdtempSync(join(directory, 'certificates-'));
    const make = (...args: string[]): string => {
      const fixed = [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        'k',
      ];
      const settings = join(place, 'settings');
      writeFileSync(
        settings,
        '[req]\ndistinguished_name=dn\nx509_extensions=none\n[dn]\n[none]\n[ca]\nbasicConstraints=critical,CA:TRUE\n',
      );
      execFileSync('openssl', [...fixed, '-config', settings, '-out', 'c', ...args], {
        cwd: place,
        stdio: 'pipe',
      });
      return readFileSync(join(place, 'c'), 'utf8');
    };
    const named = (...names: string[]) => [
      '-subj',
      names.map((name) => `/CN=${name.replaceAll('/', '\\/')}`).join(''),
    ];
    const subject = named(collection);
    const check = (...pems: string[]) =>
      checkRootCertificate(parsePublicKey(pems.join('')), collection, new Date())?.reason;
    const good = make(...subject);
    expect(check(good)).toBeUndefined();
    expect(check(make(...subject, '-sha1'))).toMatch(/SHA-1/);
    const authority = make(...named('authority'), '-extensions', 'ca');
    expect(check(good, authority)).toBeUndefined();
    expect(check(authority, good)).toMatch(/first certificate is not a leaf/);
    expect(check(make(...subject, '-extensions', 'ca'))).toMatch(/first certificate is not a leaf/);
    expect(check(good, make(...subject))).toMatch(/more than one leaf/);
    expect(check(make(...named(collection, collection)))).toMatch(/certificate is for/);
    expect(check(make(...named('registry.example.com/other')))).toMatch(/certificate is for/);
    expect(check(make(...named('registry.example.com/*')))).toBeUndefined();
    expect(check(make(...named('registry.*.com/app')))).toMatch(/certificate is for/);
  });

  test('wants an ECDSA key', async () => {
    await expect(issueRootCertificate(generateKeypair('ed25519'), collection)).rejects.toMatchObject({
      code: 'UNSUPPORTED_KEY',
    });
  });
});
