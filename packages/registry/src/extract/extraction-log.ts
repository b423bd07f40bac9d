import type { LayerAnomaly, LayerEntryType } from '../layer/types.ts';
import type { Extraction, NoticeKind, SkipReason } from './types.ts';

const MAX_SKIPPED = 1000;
const MAX_NOTICES = 100;

/** Counts what an extraction does. */
export class ExtractionLog {
  directories = 0;
  symlinks = 0;
  #files = 0;
  #bytes = 0;
  #hardlinks = 0;
  #skippedEntries = 0;
  readonly #skipped: { path: string; type: LayerEntryType; reason: SkipReason }[] = [];
  readonly #notices: { path: string; kind: NoticeKind }[] = [];
  readonly #noticed: Record<NoticeKind, number> = {
    'set-id': 0,
    xattrs: 0,
    'outside-link': 0,
    'unportable-name': 0,
    'name-collision': 0,
  };

  /** @param first - False for a further name of the same file. */
  file(size: number, first: boolean): void {
    if (first) {
      this.#files += 1;
      this.#bytes += size;
    } else this.#hardlinks += 1;
  }

  skip(path: string, type: LayerEntryType, reason: SkipReason): void {
    this.#skippedEntries += 1;
    if (this.#skipped.length < MAX_SKIPPED) this.#skipped.push({ path, type, reason });
  }

  notice(path: string, kind: NoticeKind): void {
    this.#noticed[kind] += 1;
    if (this.#noticed[kind] <= MAX_NOTICES) this.#notices.push({ path, kind });
  }

  result(directory: string, anomalies: readonly LayerAnomaly[]): Extraction {
    return {
      directory,
      files: this.#files,
      bytes: this.#bytes,
      directories: this.directories,
      symlinks: this.symlinks,
      hardlinks: this.#hardlinks,
      skipped: this.#skipped,
      skippedEntries: this.#skippedEntries,
      notices: this.#notices,
      noticed: { ...this.#noticed },
      anomalies,
    };
  }
}
