import {
  type Fetcher,
  type FilesystemView,
  formatReference,
  type LayerEntry,
  type LayerLimits,
  type LayerScan,
  mergeLayers,
  type OperationOptions,
  type ResolvedImage,
  type ScanProgress,
  scanLayers,
} from '@imagevet/registry';
import { Attribution, type ComparedDockerfile, removals } from './attribution.ts';
import { compareConfig } from './compare-config.ts';
import { compareFiles, describeEntry } from './compare-files.ts';
import { KEPT_CONTENT } from './explain.ts';
import { worst } from './grades.ts';
import { ofSide, type Side } from './side.ts';
import type { Comparison, ComparisonGrade, ConfigDifference } from './types.ts';

/** Where the two images are, and how much to tell. */
export interface CompareImagesOptions extends OperationOptions {
  readonly originalSource: Pick<Fetcher, 'openBlob'>;
  readonly rebuiltSource: Pick<Fetcher, 'openBlob'>;
  readonly onProgress?: (event: CompareProgress) => void;
  /** The Dockerfile of both, to say which line made what differs; a lineage node's `dockerfile`. */
  readonly dockerfile?: ComparedDockerfile;
  /** Length of `differences`; beyond it they are still counted and graded. @defaultValue 1000 */
  readonly maxDifferences?: number;
  /** Bounds of each layer. */
  readonly limits?: Partial<LayerLimits>;
}

/** Progress of reading a layer of one of the images. */
export type CompareProgress = ScanProgress & { readonly side: 'original' | 'rebuilt' };

const DEFAULT_MAX_DIFFERENCES = 1000;
/** Layers read at once of each image. */
const CONCURRENCY = 2;
/** Bytes kept of a layer that is read again: the caches of apt are 40 MiB each. */
const MAX_KEPT_AGAIN = 192 * 1024 * 1024;
const NOTHING_READ = {
  files: { compared: 0, equal: 0, timestampsOnly: 0 },
  differences: [],
  truncated: false,
};

/**
 * Compares an image with its rebuild and grades how equal they are. Every layer that counts is read and verified;
 * those both images share are read only when a difference above needs them, and then once. An explanation is
 * given only for what was parsed: set-user-id bits, owners, extended attributes and new executables have none.
 *
 * @throws {@link RegistryError} whatever `scanLayer` throws; `details.side` says for which image.
 */
export async function compareImages(
  original: ResolvedImage,
  rebuilt: ResolvedImage,
  options: CompareImagesOptions,
): Promise<Comparison> {
  options.signal?.throwIfAborted();
  const images = { original: identify(original), rebuilt: identify(rebuilt) };
  if (original.manifest.digest === rebuilt.manifest.digest) {
    return { ...images, grade: 'identical', ...NOTHING_READ, config: [] };
  }
  const attribution = new Attribution({ original, rebuilt }, options.dockerfile);
  const config = compareConfig(original, rebuilt, attribution);
  const { grade, ...files } = await compareLayers(original, rebuilt, { ...options, attribution });
  return { ...images, grade: worst(grade, gradeOf(config)), ...files, config };
}

type Files = Pick<
  Comparison,
  'grade' | 'files' | 'differences' | 'truncated' | 'packages' | 'unreadDatabases'
>;

async function compareLayers(
  original: ResolvedImage,
  rebuilt: ResolvedImage,
  options: CompareImagesOptions & { readonly attribution: Attribution },
): Promise<Files> {
  const { maxDifferences = DEFAULT_MAX_DIFFERENCES } = options;
  const start = countShared(original, rebuilt);
  if (start === original.layers.length && start === rebuilt.layers.length) {
    return { grade: 'same-layers', ...NOTHING_READ };
  }
  const [ofOriginal, ofRebuilt] = await readBoth(original, rebuilt, start, options);
  if (sameDiffIds(original, rebuilt)) return { grade: 'same-layers', ...NOTHING_READ };

  // The same changes to the same base make the same image, whatever the base holds.
  const base =
    start === 0 || sameEntries(ofOriginal, ofRebuilt)
      ? []
      : await readSide('original', original, { ...options, start: 0, end: start });
  const stacks: Readonly<Record<Side, readonly LayerScan[]>> = {
    original: [...base, ...ofOriginal],
    rebuilt: [...base, ...ofRebuilt],
  };
  const first = start - base.length;
  const removedAt = removals(stacks.rebuilt, first);
  const ofPath: Attribution['ofPath'] = (pair) => options.attribution.ofPath(pair, removedAt);
  const compare = ({ original: one, rebuilt: other }: typeof stacks) =>
    compareFiles(mergeFrom(first, one), mergeFrom(first, other), maxDifferences, { ofPath });
  const { unread, ...compared } = compare(stacks);
  if (unread.size === 0) return compared;
  const { unread: _stillUnread, ...whole } = compare({
    original: await readAgain('original', original, stacks.original, { ...options, first, unread }),
    rebuilt: await readAgain('rebuilt', rebuilt, stacks.rebuilt, { ...options, first, unread }),
  });
  return whole;
}

/** Reads the layers again in which content is that was not kept the first time. */
async function readAgain(
  side: Side,
  image: ResolvedImage,
  scans: readonly LayerScan[],
  options: CompareImagesOptions & { readonly first: number; readonly unread: ReadonlySet<string> },
): Promise<readonly LayerScan[]> {
  const { first, unread } = options;
  const limits = { maxKeptBytes: MAX_KEPT_AGAIN, ...options.limits };
  const read = [...scans];
  // Of a path the topmost layer that has it counts.
  const left = new Set(unread);
  for (const [index, { entries }] of [...scans.entries()].reverse()) {
    const wanted = new Set(
      entries.flatMap(({ path, type }) => (type === 'file' && left.has(path) ? [path] : [])),
    );
    if (wanted.size === 0) continue;
    for (const path of wanted) left.delete(path);
    const keepContent = ({ path }: LayerEntry) => KEPT_CONTENT.test(path) || wanted.has(path);
    const start = first + index;
    const [again] = await readSide(side, image, { ...options, limits, start, end: start + 1, keepContent });
    read[index] = again!;
  }
  return read;
}

/** Number of layers, from the base, that are the same blob by manifest and the same archive by config. */
function countShared(original: ResolvedImage, rebuilt: ResolvedImage): number {
  const length = Math.min(original.layers.length, rebuilt.layers.length);
  for (let index = 0; index < length; index += 1) {
    const sameBlob = original.layers[index]!.digest === rebuilt.layers[index]!.digest;
    if (!sameBlob || original.diffIds[index] !== rebuilt.diffIds[index]) return index;
  }
  return length;
}

function sameDiffIds(original: ResolvedImage, rebuilt: ResolvedImage): boolean {
  return original.diffIds.join() === rebuilt.diffIds.join();
}

/**
 * Tells whether two stacks of layers do the same to what is below them, at whatever time they did it. Entries in
 * another order may do something else, so they count as different.
 */
function sameEntries(original: readonly LayerScan[], rebuilt: readonly LayerScan[]): boolean {
  return (
    original.length === rebuilt.length &&
    original.every(({ entries }, index) => {
      const others = rebuilt[index]!.entries;
      return (
        entries.length === others.length &&
        entries.every((entry, at) => {
          const other = others[at]!;
          // The base may hold bytecode, which Python uses or not by the time of its source.
          const isTimed = entry.path.endsWith('.py') && entry.mtime !== other.mtime;
          return !isTimed && entry.path === other.path && describeEntry(entry) === describeEntry(other);
        })
      );
    })
  );
}

/** Lays layers over each other, of which the lowest has that index in its image. */
function mergeFrom(first: number, scans: readonly LayerScan[]): FilesystemView {
  return mergeLayers([...Array.from({ length: first }, () => ({ entries: [] })), ...scans]);
}

/** Reads the layers of both images from an index on; when one fails the other is stopped. */
async function readBoth(
  original: ResolvedImage,
  rebuilt: ResolvedImage,
  start: number,
  options: CompareImagesOptions,
): Promise<[readonly LayerScan[], readonly LayerScan[]]> {
  const failure = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failure.signal]) : failure.signal;
  const scans = [
    readSide('original', original, { ...options, signal, start }),
    readSide('rebuilt', rebuilt, { ...options, signal, start }),
  ] as const;
  try {
    return await Promise.all(scans);
  } catch (error) {
    failure.abort(error);
    await Promise.allSettled(scans);
    throw error;
  }
}

async function readSide(
  side: Side,
  image: ResolvedImage,
  options: CompareImagesOptions & {
    readonly start: number;
    readonly end?: number;
    readonly keepContent?: (entry: LayerEntry) => boolean;
  },
): Promise<readonly LayerScan[]> {
  const { originalSource, rebuiltSource, onProgress, signal, limits, start, end } = options;
  const { keepContent = KEPT_CONTENT } = options;
  try {
    return await scanLayers(image, {
      source: side === 'original' ? originalSource : rebuiltSource,
      keepContent,
      checksums: true,
      onProgress: onProgress && ((event) => onProgress({ ...event, side })),
      concurrency: CONCURRENCY,
      ...{ signal, limits, start, end },
    });
  } catch (error) {
    throw ofSide(side, error);
  }
}

function identify({ reference, manifest }: ResolvedImage): Comparison['original'] {
  return { reference: formatReference({ ...reference, digest: undefined }), digest: manifest.digest };
}

function gradeOf(config: readonly ConfigDifference[]): ComparisonGrade {
  if (config.some(({ explanation }) => explanation === undefined)) return 'unexplained';
  return config.length > 0 ? 'explained' : 'identical';
}
