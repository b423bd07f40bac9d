import { type Digest, type DigestAlgorithm, digestOf, isDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { MediaType } from './media-types.ts';
import { signedPayload } from './schema1-signature.ts';
import { isObject, type JsonObject, parseStrictJson } from './strict-json.ts';
import type { ExecutionConfig, HistoryEntry, Schema1Manifest, VerifiedManifest } from './types.ts';

/** What a schema 1 manifest tells of its image, in today's terms. */
export interface Schema1Image {
  /** What the manifest says it is called; nobody has proven it. */
  readonly name: string;
  readonly tag: string;
  readonly os: string;
  readonly architecture: string;
  /** RFC 3339. */
  readonly created?: string;
  /** Digests of the compressed layers, base first, without empty ones. Sizes and diffIDs are not recorded. */
  readonly layers: readonly Digest[];
  /** Base first; the entries without `empty_layer` made {@link Schema1Image.layers}, in order. */
  readonly history: readonly HistoryEntry[];
  readonly execution: ExecutionConfig;
}

const MAX_LAYERS = 1024;
const MEMBERS: readonly string[] = [
  'schemaVersion',
  'name',
  'tag',
  'architecture',
  'fsLayers',
  'history',
  'signatures',
];
/** An empty tar in gzip, which builders before 1.10 stored for steps that changed no file. */
const EMPTY_LAYER = 'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4';

/** A manifest of today's formats. */
export type CurrentManifest = Exclude<VerifiedManifest, { readonly kind: 'schema1' }>;

/**
 * Refuses schema 1 where it cannot be kept: a layout's files are named by the digest of their bytes.
 *
 * @throws {@link RegistryError} `UNSUPPORTED`
 */
export function refuseSchema1(found: VerifiedManifest): CurrentManifest {
  if (found.kind !== 'schema1') return found;
  throw new RegistryError('UNSUPPORTED', `manifest ${found.descriptor.digest} is of Docker schema 1`, {
    hint: 'It can be read with describeSchema1 and copied between registries; have another tool convert it.',
  });
}

/** Tells whether a media type is one of Docker's schema 1. */
export function isSchema1(mediaType: string): boolean {
  return mediaType === MediaType.dockerSchema1 || mediaType === MediaType.dockerSchema1Signed;
}

/**
 * The digest a registry knows a manifest by: that of its bytes; of a signed schema 1 manifest, that of what was signed,
 * without the signatures.
 */
export function manifestDigest(
  bytes: Uint8Array,
  contentType: string | undefined,
  algorithm?: DigestAlgorithm,
): Digest {
  const type = contentType?.split(';')[0]?.trim().toLowerCase();
  return digestOf(type === MediaType.dockerSchema1Signed ? signedPayload(bytes) : bytes, algorithm);
}

/**
 * Parses a schema 1 manifest. Of a signed one only what was signed is read; its signatures must hold, but they carry
 * their own keys and so prove no author.
 *
 * @throws {@link RegistryError} `INVALID_MANIFEST`, `INVALID_DIGEST`, `LIMIT_EXCEEDED`; `AMBIGUOUS_MANIFEST` when there is
 * more in the document than was signed.
 * @see Docker image manifest v2 schema 1
 */
export function parseSchema1(
  bytes: Uint8Array,
  mediaType: string,
  algorithm?: DigestAlgorithm,
): VerifiedManifest & { readonly kind: 'schema1' } {
  const payload = mediaType === MediaType.dockerSchema1Signed ? signedPayload(bytes) : bytes;
  const digest = digestOf(payload, algorithm);
  const document = parseStrictJson(payload, `manifest ${digest}`, 'INVALID_MANIFEST', 'AMBIGUOUS_MANIFEST');
  check(document, digest);
  const descriptor = { mediaType, digest, size: bytes.byteLength };
  return { kind: 'schema1', descriptor, bytes, schema1: document as unknown as Schema1Manifest };
}

/**
 * Tells what a schema 1 manifest says of its image. {@link scanLayer} over a layer's blob tells its diffID.
 *
 * @throws {@link RegistryError} `INVALID_MANIFEST` when a history entry is not readable.
 */
export function describeSchema1({
  schema1,
  descriptor,
}: VerifiedManifest & { readonly kind: 'schema1' }): Schema1Image {
  const layers: Digest[] = [];
  const history: HistoryEntry[] = [];
  // Newest first in the document.
  for (let index = schema1.history.length - 1; index >= 0; index -= 1) {
    const { blobSum } = schema1.fsLayers[index]!;
    const entry = readCompatibility(schema1, index, descriptor.digest);
    const empty = entry.throwaway === true || blobSum === EMPTY_LAYER;
    if (!empty) layers.push(blobSum);
    const ran = isObject(entry.container_config) ? entry.container_config.Cmd : undefined;
    history.push({
      ...texts(entry, ['created', 'author', 'comment']),
      ...(isTexts(ran) ? { created_by: ran.join(' ') } : {}),
      ...(empty ? { empty_layer: true } : {}),
    });
  }
  const newest = readCompatibility(schema1, 0, descriptor.digest);
  return {
    ...{ name: schema1.name, tag: schema1.tag, architecture: schema1.architecture },
    os: typeof newest.os === 'string' ? newest.os : 'linux',
    ...texts(newest, ['created']),
    ...{ layers, history },
    execution: (isObject(newest.config) ? newest.config : {}) as ExecutionConfig,
  };
}

function check(document: JsonObject, digest: Digest): void {
  for (const name of Object.keys(document)) {
    const alike = MEMBERS.find((member) => member.toLowerCase() === name.toLowerCase());
    if (alike !== undefined && alike !== name)
      throw ambiguous(digest, `has ${JSON.stringify(name)} for ${alike}`);
  }
  for (const name of ['config', 'layers', 'manifests', 'mediaType']) {
    if (document[name] !== undefined) throw ambiguous(digest, `is of schema 1 and has ${name}`);
  }
  const { fsLayers, history } = document;
  if (document.schemaVersion !== 1) throw malformed(digest, 'schemaVersion must be 1');
  for (const name of ['name', 'tag', 'architecture']) {
    if (typeof document[name] !== 'string') throw malformed(digest, `${name} must be a string`);
  }
  if (!Array.isArray(fsLayers) || !Array.isArray(history) || fsLayers.length !== history.length) {
    throw malformed(digest, 'fsLayers and history must be lists of one length');
  }
  if (fsLayers.length === 0) throw malformed(digest, 'it has no layers');
  if (fsLayers.length > MAX_LAYERS) {
    throw new RegistryError(
      'LIMIT_EXCEEDED',
      `manifest ${digest} has ${fsLayers.length} layers, more than ${MAX_LAYERS}`,
    );
  }
  for (const layer of fsLayers) {
    if (!isObject(layer) || typeof layer.blobSum !== 'string' || !isDigest(layer.blobSum)) {
      throw new RegistryError(
        'INVALID_DIGEST',
        `manifest ${digest}: a blobSum is not a sha256 or sha512 digest`,
      );
    }
  }
  for (const entry of history) {
    if (!isObject(entry) || typeof entry.v1Compatibility !== 'string') {
      throw malformed(digest, 'history must be of v1Compatibility texts');
    }
  }
}

function readCompatibility(schema1: Schema1Manifest, index: number, digest: Digest): JsonObject {
  const text = schema1.history[index]?.v1Compatibility ?? '';
  return parseStrictJson(Buffer.from(text), `manifest ${digest}: history[${index}]`, 'INVALID_MANIFEST');
}

function texts<K extends string>(entry: JsonObject, names: readonly K[]): { readonly [name in K]?: string } {
  const found = names.filter((name) => typeof entry[name] === 'string' && entry[name] !== '');
  return Object.fromEntries(found.map((name) => [name, entry[name]])) as { readonly [name in K]?: string };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function malformed(digest: Digest, rule: string): RegistryError {
  return new RegistryError('INVALID_MANIFEST', `manifest ${digest}: ${rule}`);
}

function ambiguous(digest: Digest, how: string): RegistryError {
  return new RegistryError('AMBIGUOUS_MANIFEST', `manifest ${digest} ${how}`, {
    hint: 'Do not trust this registry: different clients would run different content.',
  });
}
