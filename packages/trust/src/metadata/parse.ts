import { TrustError } from '../errors.ts';
import { canonicalJson, type JsonValue, wireJson } from '../json/canonical-json.ts';
import { JsonReader } from './json-reader.ts';
import { readSigned } from './signed.ts';
import type {
  Metadata,
  MetadataFile,
  RootMetadata,
  Signature,
  SnapshotMetadata,
  TargetsMetadata,
  TimestampMetadata,
} from './types.ts';

/** More signatures than this on one file are refused before any is verified. */
export const MAX_SIGNATURES = 128;

/** The model of a role: `root`, `snapshot` and `timestamp` have their own, every other role is a targets file. */
export type MetadataOf<R extends string> = R extends 'root'
  ? RootMetadata
  : R extends 'snapshot'
    ? SnapshotMetadata
    : R extends 'timestamp'
      ? TimestampMetadata
      : TargetsMetadata;

/**
 * Parses a metadata file. Only the one wire form that Notary itself writes is accepted: a file with white space,
 * duplicate or unsigned extra members, unsorted keys or other escapes is not what was signed, and a server that
 * re-serialises it would break the collection.
 *
 * @param options - `anyForm` accepts other spellings of the same content, in order to repair them.
 * @throws {@link TrustError} `MALFORMED`, or `LIMIT_EXCEEDED` for more than 128 signatures.
 */
export function parseMetadata<R extends string>(
  role: R,
  bytes: Uint8Array,
  options: { readonly anyForm?: boolean } = {},
): MetadataFile<MetadataOf<R>> {
  const text = decode(role, bytes);
  const reader = new JsonReader(role);
  const envelope = reader.object(parseJson(role, text), 'file');
  const signed = reader.object(envelope.signed, 'signed');
  const signatures = reader.array(envelope.signatures, 'signatures');
  if (signatures.length > MAX_SIGNATURES) {
    throw new TrustError(
      'LIMIT_EXCEEDED',
      `read ${role}: ${signatures.length} signatures, at most ${MAX_SIGNATURES} are accepted`,
    );
  }
  const parsed = signatures.map((item, index) => readSignature(reader, item, `signatures[${index}]`));
  const canonical = canonicalJson(signed);
  if (options.anyForm !== true && envelopeText(canonical, parsed) !== text) {
    throw new TrustError('MALFORMED', `read ${role}: not in canonical form`, {
      hint: 'The file was altered or written by a tool that is not compatible with Notary.',
    });
  }
  return {
    role,
    bytes,
    signedBytes: Buffer.from(canonical),
    signed: readSigned(reader, role, signed) as MetadataOf<R>,
    signatures: parsed,
  };
}

/** Writes the exact bytes of a metadata file. */
export function serializeMetadata(signed: Metadata, signatures: readonly Signature[]): Uint8Array {
  return Buffer.from(envelopeText(signedJson(signed), signatures));
}

/** Canonical JSON of the signed part, the text that is signed. */
export function signedJson(signed: Metadata): string {
  return canonicalJson(dropUndefined(signed) as JsonValue);
}

function envelopeText(canonical: string, signatures: readonly Signature[]): string {
  const list = signatures.map(({ keyid, method, sig }) => wireJson(canonicalJson({ keyid, method, sig })));
  return `{"signed":${wireJson(canonical)},"signatures":[${list.join(',')}]}`;
}

// An optional member that is undefined is absent; null stays null.
function dropUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dropUndefined);
  if (typeof value !== 'object' || value === null) return value;
  const copy: Record<string, unknown> = Object.create(null);
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined) copy[name] = dropUndefined(member);
  }
  return copy;
}

function decode(role: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TrustError('MALFORMED', `read ${role}: not UTF-8`, { cause });
  }
}

function parseJson(role: string, text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    // The parser's own message quotes the content; the content is not ours to print.
    throw new TrustError(
      'MALFORMED',
      `read ${role}: not JSON (starts with ${JSON.stringify(text.slice(0, 16))})`,
    );
  }
}

function readSignature(reader: JsonReader, value: JsonValue, path: string): Signature {
  const object = reader.object(value, path);
  return {
    keyid: reader.keyId(object.keyid, `${path}.keyid`),
    method: reader.string(object.method, `${path}.method`),
    sig: reader.base64(object.sig, `${path}.sig`),
  };
}
