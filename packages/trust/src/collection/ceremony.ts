import { createHash } from 'node:crypto';
import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { canonicalJson, type JsonValue } from '../json/canonical-json.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { canonicalKeyId } from '../keys/public-key.ts';
import { parseMetadata, serializeMetadata } from '../metadata/parse.ts';
import type { PublicKey, RootMetadata, Signature, TargetsMetadata } from '../metadata/types.ts';
import type { UnsignedRole } from './draft.ts';
import { signWithStore, tellUnreadable } from './signing.ts';

const FORMAT = 'imagevet signing request 1';

/** A role that waits for signatures. */
export interface RequestedRole {
  readonly role: string;
  /** The file without signatures, exactly as it will be signed: what a signer reads before signing. */
  readonly file: string;
  /** Keys that may sign, by TUF id. */
  readonly keys: Readonly<Record<string, PublicKey>>;
  /** How many of which keys must sign; a new root has to satisfy its predecessor too. */
  readonly needs: readonly { readonly threshold: number; readonly keyIds: readonly string[] }[];
}

/** What signers who are elsewhere are asked to sign; JSON. */
export interface SigningRequest {
  readonly format: typeof FORMAT;
  readonly collection: string;
  readonly roles: readonly RequestedRole[];
}

/** Signatures of one signer for one request; JSON. */
export interface DetachedSignatures {
  /** sha256 of the request's canonical JSON, hexadecimal. */
  readonly request: string;
  readonly signatures: readonly { readonly role: string; readonly signature: Signature }[];
}

/** Writes a request for roles that are not signed yet. */
export function createSigningRequest(collection: string, unsigned: readonly UnsignedRole[]): SigningRequest {
  return {
    format: FORMAT,
    collection,
    roles: unsigned.map(({ role, signed, authorities }) => ({
      role,
      file: Buffer.from(serializeMetadata(signed, [])).toString('utf8'),
      keys: Object.fromEntries(authorities.flatMap(({ keys }) => [...keys])),
      needs: authorities.map(({ keys, threshold }) => ({
        threshold,
        keyIds: [...new Set([...keys.values()].map(canonicalKeyId))],
      })),
    })),
  };
}

/**
 * Signs a request with every key of the store that it names. Look at the files of the request first: these are what the
 * signatures vouch for.
 *
 * @throws {@link TrustError} `KEY_NOT_FOUND` when no key of the store is named, `MALFORMED` when the request is damaged
 */
export async function signDetached(
  request: SigningRequest,
  keys: KeyStore,
  options: OperationOptions = {},
): Promise<DetachedSignatures> {
  const signatures: DetachedSignatures['signatures'][number][] = [];
  for (const [role, signed] of readSigningRequest(request, request.collection)) {
    const named = request.roles.find((requested) => requested.role === role)?.keys ?? {};
    const authority = { keys: new Map(Object.entries(named)), threshold: 1 };
    for (const signature of await signWithStore(signed, [authority], keys, options)) {
      signatures.push({ role, signature });
    }
  }
  if (signatures.length === 0) {
    for (const { keys: named } of request.roles) {
      await tellUnreadable({ keys: new Map(Object.entries(named)), threshold: 1 }, keys, options);
    }
    throw new TrustError(
      'KEY_NOT_FOUND',
      `sign ${request.collection}: the request names no key of the key store`,
    );
  }
  return { request: requestDigest(request), signatures };
}

/**
 * Reads the roles of a request.
 *
 * @throws {@link TrustError} `MALFORMED` for another format, collection, or a file that is not canonical
 */
export function readSigningRequest(
  request: SigningRequest,
  collection: string,
): Map<string, RootMetadata | TargetsMetadata> {
  if (request.format !== FORMAT || request.collection !== collection || !Array.isArray(request.roles)) {
    throw new TrustError('MALFORMED', `read signing request: not a request for ${collection}`);
  }
  return new Map(
    request.roles.map(({ role, file }): [string, RootMetadata | TargetsMetadata] => {
      if (role === 'snapshot' || role === 'timestamp') {
        throw new TrustError('MALFORMED', `read signing request: ${role} is not signed this way`);
      }
      const { signed } = parseMetadata(role, Buffer.from(file));
      return [role, signed as RootMetadata | TargetsMetadata];
    }),
  );
}

/**
 * The signatures collected for a role, one per key.
 *
 * @throws {@link TrustError} `MALFORMED` for signatures of another request
 */
export function collectSignatures(
  request: SigningRequest,
  role: string,
  collected: readonly DetachedSignatures[],
): Signature[] {
  const digest = requestDigest(request);
  const byKey = new Map<string, Signature>();
  for (const detached of collected) {
    if (detached.request !== digest) {
      throw new TrustError(
        'MALFORMED',
        `publish ${request.collection}: signatures of another signing request`,
      );
    }
    for (const { role: signedRole, signature } of detached.signatures) {
      if (signedRole === role) byKey.set(signature.keyid, signature);
    }
  }
  return [...byKey.values()];
}

function requestDigest(request: SigningRequest): string {
  return createHash('sha256')
    .update(canonicalJson(request as unknown as JsonValue))
    .digest('hex');
}
