import { createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import { RegistryError } from '../errors.ts';
import { isObject, type JsonObject, parseStrictJson } from './strict-json.ts';

const MAX_SIGNATURES = 8;
const ALGORITHMS: Readonly<Record<string, { readonly hash: string; readonly type: 'ec' | 'rsa' }>> = {
  ...{ ES256: { hash: 'sha256', type: 'ec' }, RS256: { hash: 'sha256', type: 'rsa' } },
  ...{ ES384: { hash: 'sha384', type: 'ec' }, RS384: { hash: 'sha384', type: 'rsa' } },
  ...{ ES512: { hash: 'sha512', type: 'ec' }, RS512: { hash: 'sha512', type: 'rsa' } },
};

/**
 * The bytes that were signed of a document in libtrust's "pretty" form, where the signatures stand inside of what they
 * sign: its first `formatLength` bytes and `formatTail`. Every signature must hold, and nothing may stand in the
 * document beside payload and signatures.
 *
 * @throws {@link RegistryError} `INVALID_MANIFEST`, `AMBIGUOUS_MANIFEST`, `LIMIT_EXCEEDED`
 */
export function signedPayload(bytes: Uint8Array): Uint8Array {
  const { signatures, ...stated } = parse(bytes);
  if (!Array.isArray(signatures) || signatures.length === 0) throw malformed('it is not signed');
  if (signatures.length > MAX_SIGNATURES) {
    throw new RegistryError('LIMIT_EXCEEDED', `signed manifest has more than ${MAX_SIGNATURES} signatures`);
  }
  let payload: Buffer | undefined;
  for (const signature of signatures) {
    const signed = payloadOf(bytes, signature);
    if (payload !== undefined && !signed.equals(payload))
      throw ambiguous('its signatures are of different payloads');
    payload = signed;
    checkSignature(signed, signature);
  }
  if (payload === undefined || JSON.stringify(parse(payload)) !== JSON.stringify(stated)) {
    throw ambiguous('there is more in it than was signed');
  }
  return payload;
}

function payloadOf(bytes: Uint8Array, signature: unknown): Buffer {
  if (!isObject(signature)) throw malformed('a signature is no object');
  const { formatLength, formatTail } = parse(decode(signature.protected, 'protected'));
  if (
    !Number.isSafeInteger(formatLength) ||
    Number(formatLength) < 0 ||
    Number(formatLength) > bytes.byteLength
  ) {
    throw malformed('formatLength is not a length within it');
  }
  return Buffer.concat([bytes.subarray(0, Number(formatLength)), decode(formatTail, 'formatTail')]);
}

function checkSignature(payload: Buffer, signature: JsonObject): void {
  const header = isObject(signature.header) ? signature.header : {};
  const algorithm =
    typeof header.alg === 'string' && Object.hasOwn(ALGORITHMS, header.alg)
      ? ALGORITHMS[header.alg]
      : undefined;
  if (algorithm === undefined)
    throw malformed(`its signature is by ${JSON.stringify(header.alg ?? null).slice(0, 40)}`);
  const key = readKey(header.jwk);
  const data = Buffer.from(`${String(signature.protected)}.${payload.toString('base64url')}`);
  const options = { key, dsaEncoding: 'ieee-p1363' as const };
  const value = decode(signature.signature, 'signature');
  if (key.asymmetricKeyType !== algorithm.type || !verify(algorithm.hash, data, options, value)) {
    throw malformed('its signature does not hold');
  }
}

function readKey(jwk: unknown): KeyObject {
  try {
    return createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch (error) {
    throw malformed('its signature has no readable key', error);
  }
}

function decode(value: unknown, what: string): Buffer {
  if (typeof value === 'string' && /^[A-Za-z0-9_-]*$/.test(value)) return Buffer.from(value, 'base64url');
  throw malformed(`${what} is not base64url`);
}

function parse(bytes: Uint8Array): JsonObject {
  return parseStrictJson(bytes, 'signed manifest', 'INVALID_MANIFEST', 'AMBIGUOUS_MANIFEST');
}

function malformed(reason: string, cause?: unknown): RegistryError {
  return new RegistryError('INVALID_MANIFEST', `signed manifest of schema 1: ${reason}`, { cause });
}

function ambiguous(reason: string): RegistryError {
  return new RegistryError('AMBIGUOUS_MANIFEST', `signed manifest of schema 1: ${reason}`, {
    hint: 'Do not trust this registry: different clients would run different content.',
  });
}
