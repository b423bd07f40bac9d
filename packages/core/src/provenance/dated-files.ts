import type { OperationOptions } from '@imagevet/registry';
import { CoreError } from '../errors.ts';
import type { SourceHost } from '../lineage/types.ts';

/** A file as it was at a commit. */
export interface DatedFile {
  readonly commit: string;
  readonly text: string;
  readonly url: string;
}

/** Options of {@link datedFiles}. */
export interface DatedFilesOptions extends OperationOptions {
  /** The time of interest. @defaultValue now */
  readonly asOf?: Date;
}

/**
 * Days from the time asked about, likeliest first. Records are written some hours after an image is pushed, and a builder may
 * have used the image it had.
 */
const DAYS = [0, 1, -1, -3, -7, -14, -30, 3, -90];
const DAY = 24 * 60 * 60 * 1000;

/**
 * Reads a file as it was at a time and around it, each version once. Nothing is asked before it is wanted; a time at which
 * there was no such file is passed over.
 *
 * @throws {@link CoreError} of the host, except `SOURCE_NOT_FOUND`
 */
export async function* datedFiles(
  host: SourceHost,
  repository: string,
  path: string,
  { asOf = new Date(), signal }: DatedFilesOptions,
): AsyncGenerator<DatedFile> {
  const seen = new Set<string>();
  for (const days of DAYS) {
    signal?.throwIfAborted();
    const time = new Date(asOf.getTime() + days * DAY);
    const commit = await found(host.commitOf(repository, path, { asOf: time, signal }));
    if (commit === undefined || seen.has(commit)) continue;
    seen.add(commit);
    // The newest commit that changed a file may be the one that removed it.
    const file = await found(host.readFile(repository, commit, path, { signal }));
    if (file !== undefined) yield { commit, text: new TextDecoder().decode(file.content), url: file.url };
  }
}

async function found<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof CoreError && error.code === 'SOURCE_NOT_FOUND') return undefined;
    throw error;
  }
}
