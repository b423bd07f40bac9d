import { digestOf } from '../digest.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor } from '../oci/types.ts';

/** A JSON document whose members we do not all know. */
export type Document = Readonly<Record<string, unknown>>;

/**
 * Reads a document so that {@link writeDocument} changes nothing of it: members keep their order, and a number that
 * JavaScript cannot hold keeps its digits.
 */
export function readDocument(bytes: Uint8Array): Document {
  return JSON.parse(
    Buffer.from(bytes).toString('utf8'),
    keepDigits as (key: string, value: unknown) => unknown,
  );
}

/** Writes a document, without its absent members, and describes it. */
export function writeDocument(
  document: Document,
  mediaType: string,
): { readonly bytes: Uint8Array; readonly descriptor: Descriptor } {
  const bytes = Buffer.from(JSON.stringify(document));
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength } };
}

/** Sets and, by `null`, removes annotations. */
export function changeAnnotations(
  annotations: unknown,
  changes: Readonly<Record<string, string | null>>,
): Readonly<Record<string, string>> | undefined {
  const changed = { ...(annotations as Readonly<Record<string, string>> | null | undefined) };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete changed[name];
    else changed[name] = value;
  }
  return Object.keys(changed).length === 0 ? undefined : changed;
}

const OCI_TYPES: Readonly<Record<string, string>> = {
  [MediaType.dockerManifest]: MediaType.ociManifest,
  [MediaType.dockerManifestList]: MediaType.ociIndex,
  [MediaType.dockerConfig]: MediaType.ociConfig,
  [MediaType.dockerLayer]: MediaType.ociLayer,
  [MediaType.dockerLayerGzip]: MediaType.ociLayerGzip,
  'application/vnd.docker.image.rootfs.foreign.diff.tar':
    'application/vnd.oci.image.layer.nondistributable.v1.tar',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip':
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
};

/** OCI's name for what Docker named first; the content is the same. */
export function ociType(mediaType: string): string {
  return Object.hasOwn(OCI_TYPES, mediaType) ? (OCI_TYPES[mediaType] ?? mediaType) : mediaType;
}

/** A descriptor under OCI's name. */
export function asOci<T extends { readonly mediaType: string }>(descriptor: T): T {
  return { ...descriptor, mediaType: ociType(descriptor.mediaType) };
}

/** Of the language since ES2026, and of V8 since 11.4; TypeScript does not know it yet. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (source: string) => unknown };

function keepDigits(_key: string, value: unknown, context: { readonly source?: string }): unknown {
  const { source } = context;
  return typeof value === 'number' && source !== undefined && String(value) !== source
    ? rawJSON(source)
    : value;
}
