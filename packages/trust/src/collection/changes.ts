import { type Digest, digestAlgorithm, digestHex } from '@imagevet/registry/names';
import { TrustError } from '../errors.ts';
import { canonicalJson, type JsonValue } from '../json/canonical-json.ts';
import { canonicalKeyId, importPublicKey } from '../keys/public-key.ts';
import {
  checkBaseRole,
  checkDelegationName,
  checkSignerName,
  checkTargetName,
  checkTargetsRole,
} from '../metadata/names.ts';
import type { BaseRole, PublicKey, TargetMeta } from '../metadata/types.ts';

/** A role that `targets` or another delegation hands some of its names to. */
export interface Delegation {
  /** `targets/<name>`. */
  readonly name: string;
  readonly keys: readonly PublicKey[];
  /** How many different keys must sign. */
  readonly threshold: number;
  /** Prefixes of names it may sign; `['']` is all. */
  readonly paths: readonly string[];
}

/** One staged change of a collection; data, so that it can be applied again to a newer version. */
export type Change =
  | {
      readonly type: 'target-set';
      readonly name: string;
      readonly target: TargetMeta;
      readonly roles?: readonly string[];
    }
  | { readonly type: 'target-remove'; readonly name: string; readonly roles?: readonly string[] }
  | { readonly type: 'delegation-set'; readonly delegation: Delegation }
  | { readonly type: 'delegation-remove'; readonly name: string }
  | { readonly type: 'signer-add'; readonly name: string; readonly keys: readonly PublicKey[] }
  | { readonly type: 'signer-remove'; readonly name: string; readonly resign: boolean }
  | { readonly type: 'witness'; readonly role: string }
  | { readonly type: 'reset'; readonly role: string }
  | {
      readonly type: 'role-keys';
      readonly role: BaseRole;
      readonly keys: readonly PublicKey[];
      readonly threshold: number;
    };

/** A tag to sign: what docker records of an image. */
export interface SignableTarget {
  readonly tag: string;
  readonly digest: Digest;
  /** Bytes of the manifest or index the digest names. */
  readonly size: number;
  /** Free JSON data, without fractions, control characters, `<`, `>` and `&`. */
  readonly custom?: unknown;
}

/**
 * Stages a tag.
 *
 * @throws {@link TrustError} `INVALID_NAME`, `INVALID_OPTIONS`
 */
export function targetChange(target: SignableTarget, roles?: readonly string[]): Change {
  const { tag, digest, size, custom } = target;
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new TrustError('INVALID_OPTIONS', `sign ${tag}: size must be the manifest's length in bytes`);
  }
  if (custom !== undefined) checkCustom(tag, custom);
  const hash = Buffer.from(digestHex(digest), 'hex').toString('base64');
  return {
    type: 'target-set',
    name: checkTargetName(tag),
    target: {
      ...(custom === undefined ? {} : { custom }),
      hashes: { [digestAlgorithm(digest)]: hash },
      length: size,
    },
    ...(roles === undefined ? {} : { roles }),
  };
}

/**
 * Checks a change before it is staged: names, keys, and that a threshold can be met.
 *
 * @throws {@link TrustError} `INVALID_NAME`, `INVALID_OPTIONS`, `INVALID_KEY`, `UNSUPPORTED_KEY`
 */
export function checkChange(change: Change): Change {
  switch (change.type) {
    case 'target-set':
    case 'target-remove':
      change.roles?.forEach(checkTargetsRole);
      break;
    case 'delegation-set':
      checkDelegationName(change.delegation.name);
      checkKeys(`delegate ${change.delegation.name}`, change.delegation);
      break;
    case 'delegation-remove':
      checkDelegationName(change.name);
      break;
    case 'signer-add':
      checkKeys(`add signer ${checkSignerName(change.name)}`, { keys: change.keys, threshold: 1 });
      break;
    case 'signer-remove':
      checkSignerName(change.name);
      break;
    case 'witness':
      if (change.role !== 'root') checkTargetsRole(change.role);
      break;
    case 'reset':
      checkTargetsRole(change.role);
      break;
    case 'role-keys':
      checkKeys(`keys of ${change.role}`, change);
      checkBaseRole(change.role);
      if (change.role === 'root') checkCertificates(change.keys);
  }
  return change;
}

function checkKeys(
  subject: string,
  { keys, threshold }: { readonly keys: readonly PublicKey[]; readonly threshold: number },
): void {
  keys.forEach(importPublicKey);
  const different = new Set(keys.map(canonicalKeyId)).size;
  if (Number.isSafeInteger(threshold) && threshold >= 1 && different >= threshold) return;
  throw new TrustError(
    'INVALID_OPTIONS',
    `${subject}: a threshold of ${threshold} needs as many keys, ${different} different ones were given`,
  );
}

function checkCertificates(keys: readonly PublicKey[]): void {
  if (keys.every(({ keytype }) => keytype.endsWith('-x509'))) return;
  throw new TrustError('INVALID_OPTIONS', 'keys of root: a root key is a certificate', {
    hint: 'Make one with issueRootCertificate(), or read one with parsePublicKey().',
  });
}

/** Notary copies custom data byte for byte and verifies another form of it; only what both forms share is safe. */
export function checkCustom(name: string, custom: unknown): void {
  const text = custom === null ? undefined : canonicalJson(custom as JsonValue);
  if (text === undefined || /[<>&\u2028\u2029]/.test(text)) {
    throw new TrustError('INVALID_OPTIONS', `sign ${name}: custom data that Notary cannot carry`, {
      hint: 'Leave out null at the top, fractions, control characters and the characters < > & U+2028 U+2029.',
    });
  }
}
