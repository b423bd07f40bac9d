import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  pbkdf2,
  randomBytes,
} from 'node:crypto';
import { promisify } from 'node:util';
import { TrustError } from '../errors.ts';
import { der, derInteger, derOctets, derOid, derSequence, readDer, readDerSequence } from './der.ts';
import { type PemBlock, parsePem, writePem } from './pem.ts';

const OID = {
  pbes2: derOid('1.2.840.113549.1.5.13'),
  pbkdf2: derOid('1.2.840.113549.1.5.12'),
  aes256Cbc: derOid('2.16.840.1.101.3.4.1.42'),
  /** Notary's own object identifier for Ed25519 keys. */
  notaryEd25519: derOid('1.3.6.1.4.1.11591.15.1'),
};

const CIPHERS: Readonly<Record<string, { name: string; keyBytes: number }>> = {
  [derOid('2.16.840.1.101.3.4.1.2').toString('hex')]: { name: 'aes-128-cbc', keyBytes: 16 },
  [derOid('2.16.840.1.101.3.4.1.22').toString('hex')]: { name: 'aes-192-cbc', keyBytes: 24 },
  [OID.aes256Cbc.toString('hex')]: { name: 'aes-256-cbc', keyBytes: 32 },
};

const PRFS: Readonly<Record<string, string>> = {
  [derOid('1.2.840.113549.2.7').toString('hex')]: 'sha1',
  [derOid('1.2.840.113549.2.9').toString('hex')]: 'sha256',
  [derOid('1.2.840.113549.2.11').toString('hex')]: 'sha512',
};

/**
 * Notary writes 2048 rounds and reads any number. 100 000 rounds of HMAC-SHA1 cost a fraction of a second and
 * fifty times as much to whoever stole the file.
 */
const ITERATIONS = 100_000;
/** A file that asks for more rounds is an attack on the reader. */
const MAX_ITERATIONS = 20_000_000;

/** A private key and what its file says about it. */
export interface PrivateKeyFile {
  readonly privateKey: KeyObject;
  /** `root`, `targets`, `snapshot`, a signer's name or `targets/<name>`. */
  readonly role?: string;
  /** Collection the key belongs to; root and delegation keys belong to none. */
  readonly gun?: string;
}

/**
 * Writes a private key as docker and notary read it: PEM with `gun` and `role` headers, PBES2 with PBKDF2-HMAC-SHA1 and
 * AES-256-CBC. Without a passphrase the key is written in clear.
 */
export async function writePrivateKey(file: PrivateKeyFile, passphrase?: string): Promise<string> {
  const headers = {
    ...(file.gun === undefined ? {} : { gun: file.gun }),
    ...(file.role === undefined ? {} : { role: file.role }),
  };
  const pkcs8 = exportPkcs8(file.privateKey);
  if (passphrase === undefined) return writePem('PRIVATE KEY', pkcs8, headers);
  const salt = randomBytes(8);
  const iv = randomBytes(16);
  const key = await promisify(pbkdf2)(passphrase, salt, ITERATIONS, 32, 'sha1');
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const encrypted = Buffer.concat([cipher.update(pkcs8), cipher.final()]);
  const kdf = derSequence(OID.pbkdf2, derSequence(derOctets(salt), derInteger(ITERATIONS)));
  const scheme = derSequence(OID.aes256Cbc, derOctets(iv));
  const bytes = derSequence(derSequence(OID.pbes2, derSequence(kdf, scheme)), derOctets(encrypted));
  return writePem('ENCRYPTED PRIVATE KEY', bytes, headers);
}

/**
 * Reads what a key file says in clear; `encrypted` tells whether {@link readPrivateKey} needs a passphrase.
 *
 * @throws {@link TrustError} `INVALID_KEY` for a file no passphrase opens
 */
export function readPrivateKeyHeaders(pem: string): { role?: string; gun?: string; encrypted: boolean } {
  const block = privateKeyBlock(pem);
  if (block.label.startsWith('ENCRYPTED')) readPbes2(block.bytes);
  return {
    ...(block.headers.role === undefined ? {} : { role: block.headers.role }),
    ...(block.headers.gun === undefined ? {} : { gun: block.headers.gun }),
    encrypted: block.label.startsWith('ENCRYPTED') || block.headers['Proc-Type'] !== undefined,
  };
}

/**
 * Reads a private key file: Notary's, OpenSSL's encrypted PKCS#8 of either digest, plain PKCS#8, SEC1 and PKCS#1, and
 * the legacy encrypted forms.
 *
 * @throws {@link TrustError} `BAD_PASSPHRASE`, `INVALID_KEY` or `UNSUPPORTED_KEY`
 */
export async function readPrivateKey(pem: string, passphrase?: string): Promise<PrivateKeyFile> {
  const block = privateKeyBlock(pem);
  const { role, gun, encrypted } = readPrivateKeyHeaders(pem);
  if (encrypted && passphrase === undefined) {
    throw new TrustError(
      'BAD_PASSPHRASE',
      'read private key: the file is encrypted and no passphrase was given',
    );
  }
  const privateKey = block.label.startsWith('ENCRYPTED')
    ? await decrypt(block.bytes, passphrase ?? '')
    : importPlain(block, passphrase);
  return { privateKey, ...(role === undefined ? {} : { role }), ...(gun === undefined ? {} : { gun }) };
}

function privateKeyBlock(pem: string): PemBlock {
  const block = parsePem(pem).find(({ label }) => label.endsWith('PRIVATE KEY'));
  if (block === undefined)
    throw new TrustError('INVALID_KEY', 'read private key: no private key in the file');
  return block;
}

async function decrypt(bytes: Uint8Array, passphrase: string): Promise<KeyObject> {
  const { cipher, prf, salt, iv, iterations, encrypted } = readPbes2(bytes);
  const key = await promisify(pbkdf2)(passphrase, salt, iterations, cipher.keyBytes, prf);
  try {
    const decipher = createDecipheriv(cipher.name, key, iv);
    return importPkcs8(Buffer.concat([decipher.update(encrypted), decipher.final()]));
  } catch (cause) {
    if (TrustError.is(cause) && cause.code === 'UNSUPPORTED_KEY') throw cause;
    // The format has no checksum: a wrong passphrase shows as bytes that are no key.
    throw new TrustError('BAD_PASSPHRASE', 'read private key: the passphrase does not open the file');
  }
}

function readPbes2(bytes: Uint8Array): {
  cipher: { name: string; keyBytes: number };
  prf: string;
  salt: Uint8Array;
  iv: Uint8Array;
  iterations: number;
  encrypted: Uint8Array;
} {
  const [algorithm, encrypted] = readDerSequence(bytes);
  const [scheme, parameters] = readDer(algorithm?.content ?? new Uint8Array());
  if (!OID.pbes2.equals(scheme?.bytes ?? new Uint8Array())) throw unreadable('not PBES2');
  const [kdf, encryption] = readDer(parameters?.content ?? new Uint8Array());
  const [kdfOid, kdfParameters] = readDer(kdf?.content ?? new Uint8Array());
  if (!OID.pbkdf2.equals(kdfOid?.bytes ?? new Uint8Array())) throw unreadable('key derivation is not PBKDF2');
  const [salt, rounds, ...optional] = readDer(kdfParameters?.content ?? new Uint8Array());
  const [cipherOid, iv] = readDer(encryption?.content ?? new Uint8Array());
  const cipher = CIPHERS[hex(cipherOid?.bytes)];
  const prfSequence = optional.find(({ tag }) => tag === 0x30);
  const prf = prfSequence === undefined ? 'sha1' : PRFS[hex(readDer(prfSequence.content)[0]?.bytes)];
  const iterations = Number.parseInt(hex(rounds?.content) || '0', 16);
  if (cipher === undefined || prf === undefined || salt === undefined || iv?.content.length !== 16) {
    throw unreadable('unknown cipher or digest');
  }
  if (iterations < 1 || iterations > MAX_ITERATIONS)
    throw unreadable(`${iterations} rounds of key derivation`);
  return {
    cipher,
    prf,
    salt: salt.content,
    iv: iv.content,
    iterations,
    encrypted: encrypted?.content ?? salt.content,
  };
}

function importPlain(block: PemBlock, passphrase: string | undefined): KeyObject {
  if (block.label === 'PRIVATE KEY') return importPkcs8(block.bytes);
  const { 'Proc-Type': type, 'DEK-Info': info } = block.headers;
  const headers = type === undefined || info === undefined ? {} : { 'Proc-Type': type, 'DEK-Info': info };
  // OpenSSL wants Proc-Type first and knows no other header; writePem would sort DEK-Info before it.
  const body = writePem(block.label, block.bytes);
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\n`);
  const pem = body.replace('-----\n', `-----\n${head.length === 0 ? '' : `${head.join('')}\n`}`);
  try {
    return createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) });
  } catch (cause) {
    if (head.length > 0) {
      throw new TrustError('BAD_PASSPHRASE', 'read private key: the passphrase does not open the file');
    }
    throw new TrustError('INVALID_KEY', `read private key: ${block.label} is not a key`, { cause });
  }
}

function importPkcs8(bytes: Uint8Array): KeyObject {
  const [, algorithm, key] = readDerSequence(bytes);
  const [oid] = readDer(algorithm?.content ?? new Uint8Array());
  if (OID.notaryEd25519.equals(oid?.bytes ?? new Uint8Array())) {
    // Notary's dialect: public key, then Go's private key, which is seed and public key.
    const raw = key?.content ?? new Uint8Array();
    if (raw.length !== 96) throw unreadable('Ed25519 key is not 96 bytes');
    return importEd25519(raw.subarray(32, 64));
  }
  try {
    return createPrivateKey({ key: Buffer.from(bytes), format: 'der', type: 'pkcs8' });
  } catch (cause) {
    throw new TrustError('INVALID_KEY', 'read private key: PKCS#8 holds no key', { cause });
  }
}

function importEd25519(seed: Uint8Array): KeyObject {
  const pkcs8 = derSequence(derInteger(0), derSequence(derOid('1.3.101.112')), derOctets(der(0x04, seed)));
  return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
}

function exportPkcs8(key: KeyObject): Buffer {
  const pkcs8 = key.export({ format: 'der', type: 'pkcs8' });
  if (key.asymmetricKeyType !== 'ed25519') return pkcs8;
  const seed = pkcs8.subarray(-32);
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  return derSequence(
    derInteger(0),
    derSequence(OID.notaryEd25519),
    derOctets(Buffer.concat([publicKey, seed, publicKey])),
  );
}

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex');
}

function unreadable(reason: string): TrustError {
  return new TrustError('INVALID_KEY', `read private key: ${reason}`);
}
