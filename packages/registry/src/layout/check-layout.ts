import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDistributable } from '../content/copy-blob.ts';
import { type Digest, isDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { isManifestType } from '../oci/media-types.ts';
import type { CurrentManifest } from '../oci/schema1.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { OciLayout } from './oci-layout.ts';

/** What is wrong in a layout. */
export interface LayoutProblem {
  /**
   * `missing`: named, and not there. `damaged`: there, and not what its name or descriptor says. `unexpected`: a file
   * that is no blob.
   */
  readonly kind: 'missing' | 'damaged' | 'unexpected';
  /** Of the content, or the file's path in the layout. */
  readonly subject: string;
  readonly message: string;
  /** The manifest that names the content; absent for what `index.json` lists. */
  readonly namedBy?: Digest;
}

/** What {@link checkOciLayout} found. */
export interface LayoutReport {
  readonly problems: readonly LayoutProblem[];
  /** Content that is named and there. */
  readonly blobs: number;
  /** Bytes of it. */
  readonly bytes: number;
  /** Blobs nothing names; {@link pruneOciLayout} removes them. */
  readonly unreferenced: readonly Digest[];
}

/** A blob's file. */
export interface BlobFile {
  readonly digest: Digest;
  readonly path: string;
  readonly size: number;
  readonly modifiedMs: number;
}

const MAX_BLOBS = 1_000_000;

/**
 * Checks a layout: everything `index.json` lists, and what that names in turn, is there with the right size and digest.
 * Reads every byte of it. Layers that may not be redistributed need not be there.
 *
 * @throws {@link RegistryError} only where the layout cannot be read at all; what is wrong in it is in the report.
 */
export async function checkOciLayout(
  layout: OciLayout,
  options: OperationOptions = {},
): Promise<LayoutReport> {
  const problems: LayoutProblem[] = [];
  const files = await listBlobs(layout, problems);
  const named = new Set<Digest>();
  let blobs = 0;
  let bytes = 0;
  for await (const { descriptor, found, failure, namedBy } of walkLayout(layout, options)) {
    const { digest } = descriptor;
    const seen = named.has(digest);
    named.add(digest);
    const by = namedBy === undefined ? {} : { namedBy };
    try {
      if (failure !== undefined) throw failure;
      // A digest read once is right; another descriptor may still give it another size.
      if (found === undefined && (!seen || files.get(digest)?.size !== descriptor.size)) {
        for await (const _ of layout.openBlob(HERE, descriptor, options)) options.signal?.throwIfAborted();
      }
      if (found !== undefined && found.descriptor.size !== descriptor.size) {
        throw new RegistryError(
          'SIZE_MISMATCH',
          `manifest ${digest}: expected ${descriptor.size} bytes, received ${found.descriptor.size}`,
        );
      }
      if (seen) continue;
      blobs += 1;
      bytes += descriptor.size;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof RegistryError)) throw error;
      const missing = error.code === 'NOT_FOUND';
      if (missing && !isDistributable(descriptor)) continue;
      const kind = missing ? 'missing' : 'damaged';
      problems.push({ kind, subject: digest, message: error.message, ...by });
    }
  }
  const unreferenced = [...files.keys()].filter((digest) => !named.has(digest));
  return { problems, blobs, bytes, unreferenced };
}

/** Something a layout names. */
interface NamedContent {
  readonly descriptor: Descriptor;
  readonly namedBy?: Digest;
  /** The manifest, when it is one. */
  readonly found?: VerifiedManifest;
  /** Why it could not be read. */
  readonly failure?: unknown;
}

/** Walks everything a layout names, each manifest once. */
export async function* walkLayout(
  layout: OciLayout,
  options: OperationOptions,
): AsyncGenerator<NamedContent, void, undefined> {
  const waiting: { readonly descriptor: Descriptor; readonly namedBy?: Digest }[] = [];
  for await (const descriptor of layout.manifests(options)) waiting.push({ descriptor });
  const walked = new Set<Digest>();
  // The list grows while it is walked.
  for (const { descriptor, ...by } of waiting) {
    const isRoot = !('namedBy' in by);
    if (!isRoot && !isManifestType(descriptor.mediaType)) {
      yield { descriptor, ...by };
      continue;
    }
    if (walked.has(descriptor.digest)) continue;
    walked.add(descriptor.digest);
    let found: CurrentManifest;
    try {
      found = await layout.fetchManifest({ ...HERE, digest: descriptor.digest }, options);
    } catch (failure) {
      options.signal?.throwIfAborted();
      yield { descriptor, failure, ...by };
      continue;
    }
    yield { descriptor, found, ...by };
    const children =
      found.kind === 'index' ? found.index.manifests : [found.manifest.config, ...found.manifest.layers];
    if (waiting.length + children.length > MAX_BLOBS) {
      throw new RegistryError('LIMIT_EXCEEDED', `${layout.directory} names more than ${MAX_BLOBS} blobs`);
    }
    for (const child of children) waiting.push({ descriptor: child, namedBy: descriptor.digest });
  }
}

/** Lists the files below `blobs`; what is no blob is a problem. */
export async function listBlobs(
  layout: OciLayout,
  problems: LayoutProblem[] = [],
): Promise<ReadonlyMap<Digest, BlobFile>> {
  const files = new Map<Digest, BlobFile>();
  for (const algorithm of await readdir(join(layout.directory, 'blobs'))) {
    const folder = join(layout.directory, 'blobs', algorithm);
    const isFolder = (await lstat(folder)).isDirectory();
    for (const name of isFolder ? await readdir(folder) : ['']) {
      const path = join(folder, name);
      const state = await lstat(path);
      const digest = `${algorithm}:${name}`;
      if (isDigest(digest) && state.isFile()) {
        files.set(digest, { digest, path, size: state.size, modifiedMs: state.mtimeMs });
      } else {
        const subject = join('blobs', algorithm, name);
        problems.push({ kind: 'unexpected', subject, message: `${subject} is no blob` });
      }
    }
  }
  return files;
}

/** A layout looks at the digest only. */
const HERE = { registry: 'oci-layout.invalid', repository: 'image' } as const;
