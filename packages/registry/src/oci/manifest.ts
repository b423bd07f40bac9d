import { type DigestAlgorithm, digestOf, isDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { MediaType } from './media-types.ts';
import { isSchema1, parseSchema1 } from './schema1.ts';
import { isObject, type JsonObject, parseStrictJson } from './strict-json.ts';
import type { Descriptor, ImageIndex, ImageManifest, VerifiedManifest } from './types.ts';

/** Largest manifest accepted, in bytes. @see OCI distribution-spec, "Pushing manifests": registries should take 4 MiB */
export const MAX_MANIFEST_BYTES: number = 4 * 1024 * 1024;
const MAX_DESCRIPTORS = 1024;

const KINDS: Readonly<Record<string, 'image' | 'index'>> = {
  [MediaType.ociManifest]: 'image',
  [MediaType.dockerManifest]: 'image',
  [MediaType.ociIndex]: 'index',
  [MediaType.dockerManifestList]: 'index',
};

/** Options of {@link parseManifest}. */
export interface ParseManifestOptions {
  /** What the registry called the bytes; parameters are ignored. */
  readonly contentType?: string;
  /** Algorithm of the descriptor's digest. @defaultValue sha256 */
  readonly algorithm?: DigestAlgorithm;
  /** Most descriptors in one list: more than an image has, fewer than a list of referrers may have. @defaultValue 1024 */
  readonly maxDescriptors?: number;
}

/**
 * Parses manifest bytes. The digest is computed from the bytes, before they are parsed.
 *
 * @throws {@link RegistryError} `AMBIGUOUS_MANIFEST` when two readers could see different things (both an image's and
 * an index's members, a member twice, disagreeing media types), `INVALID_MANIFEST`, `INVALID_DIGEST`, `LIMIT_EXCEEDED`,
 * `UNSUPPORTED`.
 * @see CVE-2021-41190
 */
export function parseManifest(bytes: Uint8Array, options: ParseManifestOptions = {}): VerifiedManifest {
  if (bytes.byteLength > MAX_MANIFEST_BYTES) {
    throw new RegistryError(
      'LIMIT_EXCEEDED',
      `manifest of ${bytes.byteLength} bytes, more than ${MAX_MANIFEST_BYTES}`,
    );
  }
  const type = options.contentType?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (isSchema1(type)) return parseSchema1(bytes, type, options.algorithm);
  const digest = digestOf(bytes, options.algorithm);
  const document = parseStrictJson(bytes, `manifest ${digest}`, 'INVALID_MANIFEST', 'AMBIGUOUS_MANIFEST');
  if (document.schemaVersion === 1 && document.mediaType === undefined && NO_OPINION.has(type)) {
    const own = document.signatures === undefined ? MediaType.dockerSchema1 : MediaType.dockerSchema1Signed;
    return parseSchema1(bytes, own, options.algorithm);
  }
  refuseLookalikes(document, MANIFEST_MEMBERS, digest);
  const mediaType = agreeOnMediaType(document, options.contentType, digest);
  const kind = Object.hasOwn(KINDS, mediaType) ? KINDS[mediaType] : undefined;
  if (kind === undefined) {
    throw new RegistryError('UNSUPPORTED', `manifest ${digest} has media type ${mediaType.slice(0, 120)}`, {
      hint: 'Image manifests and indexes of OCI 1.x and Docker schema 2 are read.',
    });
  }
  const imageMembers = ['config', 'layers', 'fsLayers', 'history'].filter(
    (name) => document[name] !== undefined,
  );
  if (kind === 'index' ? imageMembers.length > 0 : document.manifests !== undefined) {
    throw ambiguous(digest, 'is both an image and an index');
  }
  if (document.schemaVersion === 1) {
    throw new RegistryError('UNSUPPORTED', `manifest ${digest} is of Docker schema 1`, {
      hint: 'It says that it is of another format, too.',
    });
  }
  if (document.schemaVersion !== 2) throw malformed(digest, 'schemaVersion', 'must be 2');
  readAnnotations(document.annotations, digest, 'annotations');
  if (document.artifactType !== undefined && typeof document.artifactType !== 'string') {
    throw malformed(digest, 'artifactType', 'must be a string');
  }
  if (document.subject !== undefined) readDescriptor(document.subject, digest, 'subject');
  const descriptor: Descriptor = { mediaType, digest, size: bytes.byteLength };
  const { maxDescriptors = MAX_DESCRIPTORS } = options;
  if (kind === 'index') {
    readDescriptors(document.manifests, digest, 'manifests', maxDescriptors);
    return { kind, descriptor, bytes, index: document as unknown as ImageIndex };
  }
  readDescriptor(document.config, digest, 'config');
  readDescriptors(document.layers, digest, 'layers', maxDescriptors);
  return { kind, descriptor, bytes, manifest: document as unknown as ImageManifest };
}

/** Content types by which a server says nothing about the document. */
const NO_OPINION: ReadonlySet<string> = new Set([
  '',
  'application/json',
  'application/octet-stream',
  'binary/octet-stream',
  'text/plain',
]);

function agreeOnMediaType(document: JsonObject, contentType: string | undefined, digest: string): string {
  const said = contentType?.split(';')[0]?.trim().toLowerCase() ?? '';
  const transport = NO_OPINION.has(said) ? undefined : said;
  const own = document.mediaType;
  if (own !== undefined && typeof own !== 'string') throw malformed(digest, 'mediaType', 'must be a string');
  if (own !== undefined && transport !== undefined && own !== transport) {
    throw ambiguous(digest, `says it is ${own.slice(0, 120)}, the registry says ${transport.slice(0, 120)}`);
  }
  const type = own ?? transport;
  if (type !== undefined) return type;
  return document.manifests === undefined ? MediaType.ociManifest : MediaType.ociIndex;
}

const MANIFEST_MEMBERS: readonly string[] = [
  ...['schemaVersion', 'mediaType', 'artifactType', 'config', 'layers', 'fsLayers', 'history'],
  ...['manifests', 'subject', 'annotations'],
];
/** @see RFC 6838, section 4.2 */
const MEDIA_TYPE = /^[A-Za-z0-9][\w!#$&^.+-]{0,126}\/[A-Za-z0-9][\w!#$&^.+-]{0,126}(?:;.{0,255})?$/;

const DESCRIPTOR_MEMBERS: readonly string[] = [
  ...['mediaType', 'digest', 'size', 'urls', 'annotations', 'data', 'artifactType', 'platform'],
];

/** Some readers match member names without regard to case: `Layers` would be `layers` to them alone. */
function refuseLookalikes(document: JsonObject, members: readonly string[], digest: string): void {
  for (const name of Object.keys(document)) {
    if (members.includes(name)) continue;
    const folded = name.toLowerCase();
    const alike = members.find((member) => member.toLowerCase() === folded);
    if (alike !== undefined) throw ambiguous(digest, `has a member ${JSON.stringify(name)} beside ${alike}`);
  }
}

function readDescriptors(value: unknown, digest: string, where: string, limit: number): void {
  if (!Array.isArray(value)) throw malformed(digest, where, 'must be an array');
  if (value.length > limit) {
    throw new RegistryError(
      'LIMIT_EXCEEDED',
      `manifest ${digest} has ${value.length} ${where}, more than ${limit}`,
    );
  }
  value.forEach((item, index) => {
    readDescriptor(item, digest, `${where}[${index}]`);
  });
}

function readDescriptor(value: unknown, digest: string, where: string): void {
  if (!isObject(value)) throw malformed(digest, where, 'must be a descriptor');
  refuseLookalikes(value, DESCRIPTOR_MEMBERS, digest);
  if (typeof value.mediaType !== 'string' || !MEDIA_TYPE.test(value.mediaType)) {
    throw malformed(digest, `${where}.mediaType`, 'must be a media type');
  }
  if (typeof value.digest !== 'string' || !isDigest(value.digest)) {
    throw new RegistryError(
      'INVALID_DIGEST',
      `manifest ${digest}: ${where}.digest is not a sha256 or sha512 digest`,
    );
  }
  if (!Number.isSafeInteger(value.size) || Number(value.size) < 0) {
    throw malformed(digest, `${where}.size`, 'must be a whole number of bytes');
  }
  readAnnotations(value.annotations, digest, `${where}.annotations`);
  for (const name of ['artifactType', 'data'] as const) {
    if (value[name] !== undefined && typeof value[name] !== 'string') {
      throw malformed(digest, `${where}.${name}`, 'must be a string');
    }
  }
  if (value.urls !== undefined && !isTexts(value.urls))
    throw malformed(digest, `${where}.urls`, 'must be strings');
  if (value.platform !== undefined) readPlatform(value.platform, digest, `${where}.platform`);
}

function readAnnotations(value: unknown, digest: string, where: string): void {
  if (value === undefined || value === null) return;
  if (!isObject(value) || !Object.values(value).every((item) => typeof item === 'string')) {
    throw malformed(digest, where, 'must map names to strings');
  }
}

function readPlatform(value: unknown, digest: string, where: string): void {
  if (!isObject(value)) throw malformed(digest, where, 'must be an object');
  for (const name of ['os', 'architecture'] as const) {
    if (typeof value[name] !== 'string') throw malformed(digest, `${where}.${name}`, 'must be a string');
  }
  for (const name of ['variant', 'os.version'] as const) {
    if (value[name] !== undefined && typeof value[name] !== 'string') {
      throw malformed(digest, `${where}.${name}`, 'must be a string');
    }
  }
  const features = value['os.features'];
  if (features !== undefined && !isTexts(features))
    throw malformed(digest, `${where}.os.features`, 'must be strings');
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function ambiguous(digest: string, how: string): RegistryError {
  return new RegistryError('AMBIGUOUS_MANIFEST', `manifest ${digest} ${how}`, {
    hint: 'Do not trust this registry: different clients would run different content.',
  });
}

function malformed(digest: string, where: string, rule: string): RegistryError {
  return new RegistryError('INVALID_MANIFEST', `manifest ${digest}: ${where} ${rule}`);
}
