import { ImagevetError, type OperationOptions } from '@imagevet/registry';
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
  /** The time of interest. @defaultValue that of the newest version */
  readonly asOf?: Date;
  /** What may still be asked of the history; several files can share it. @defaultValue no bound */
  readonly questions?: Questions;
}

/** Questions about a history, each of which costs a host of the kind of GitHub one request of its hourly grant. */
export const MAX_QUESTIONS = 20;

/** A bound of questions. */
export class Questions {
  readonly #about: string;
  #left = MAX_QUESTIONS;

  constructor(about: string) {
    this.#about = about;
  }

  /** @throws {@link CoreError} `SOURCE_LIMIT_EXCEEDED` for one too many */
  take(): void {
    this.#left -= 1;
    if (this.#left >= 0) return;
    throw new CoreError(
      'SOURCE_LIMIT_EXCEEDED',
      `looking up ${this.#about} in public records took ${MAX_QUESTIONS} questions, which is the limit`,
      { hint: 'Name the base by digest, or give otherVersions of your own.' },
    );
  }
}

/**
 * Days from the time asked about, likeliest first. Records are written some hours after an image is pushed, and a builder may
 * have used the image it had; an image that was built anew may say the time of its source, and be much younger.
 */
const DAYS = [0, 3, 1, -1, -3, -7, -14, -30, 14, 30, -90, 90];
const HOUR = 60 * 60 * 1000;

/**
 * Reads a file as it was at a time and around it, each version once. Nothing is asked before it is wanted, nor what follows
 * from the answers so far: a file that never was costs two questions. Times are rounded up to the hour, so that images of one
 * build ask the same.
 *
 * @throws {@link CoreError} of the host, except `SOURCE_NOT_FOUND`; `SOURCE_LIMIT_EXCEEDED` when `questions` has none left
 */
export async function* datedFiles(
  host: SourceHost,
  repository: string,
  path: string,
  { asOf, signal, questions }: DatedFilesOptions,
): AsyncGenerator<DatedFile> {
  const seen = new Set<string>();
  const history = new FileHistory((time) => {
    questions?.take();
    return found(host.commitOf(repository, path, { signal, ...(time === undefined ? {} : { asOf: time }) }));
  });
  const start =
    asOf ?? (await newestTime(host, repository, await history.at(Number.POSITIVE_INFINITY), signal));
  if (start === undefined) return;
  const from = Math.ceil(start.getTime() / HOUR) * HOUR;
  // What is not there now never was, whenever it is asked for.
  if ((await history.at(from)) === undefined && (await history.at(Number.POSITIVE_INFINITY)) === undefined)
    return;
  for (const days of DAYS) {
    signal?.throwIfAborted();
    const commit = await history.at(from + days * 24 * HOUR);
    if (commit === undefined || seen.has(commit)) continue;
    seen.add(commit);
    // The newest commit that changed a file may be the one that removed it.
    const file = await found(host.readFile(repository, commit, path, { signal }));
    if (file !== undefined) yield { commit, text: new TextDecoder().decode(file.content), url: file.url };
  }
}

/** Which commit a file was last changed by at a time, and what follows from that for other times. */
class FileHistory {
  readonly #ask: (time: Date | undefined) => Promise<string | undefined>;
  readonly #known: { readonly time: number; readonly commit: string | undefined }[] = [];

  constructor(ask: (time: Date | undefined) => Promise<string | undefined>) {
    this.#ask = ask;
  }

  /** @param wanted - In milliseconds since 1970; a time to come stands for now. */
  async at(wanted: number): Promise<string | undefined> {
    const time = wanted > Date.now() ? Number.POSITIVE_INFINITY : wanted;
    const after = this.#known.filter((known) => known.time >= time);
    if (after.some(({ commit }) => commit === undefined)) return undefined;
    const before = this.#known.filter((known) => known.time <= time && known.commit !== undefined);
    const same = before.find(({ commit }) => after.some((later) => later.commit === commit));
    if (same !== undefined) return same.commit;
    const commit = await this.#ask(time === Number.POSITIVE_INFINITY ? undefined : new Date(time));
    this.#known.push({ time, commit });
    return commit;
  }
}

/** When the newest version was made; a host that does not tell is asked as of the day that has begun. */
async function newestTime(
  host: SourceHost,
  repository: string,
  commit: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Date | undefined> {
  if (commit === undefined) return undefined;
  const today = new Date(Math.floor(Date.now() / (24 * HOUR)) * 24 * HOUR);
  try {
    return (await host.committedAt?.(repository, commit, { signal })) ?? today;
  } catch (error) {
    signal?.throwIfAborted();
    if (!ImagevetError.is(error)) throw error;
    return today;
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
