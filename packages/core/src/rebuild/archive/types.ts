import type { Digest } from '@imagevet/registry';
import type { MovedArchive } from './rules.ts';

/** Something a build fetched. @see SLSA provenance v1, `resolvedDependencies` */
export interface FetchedMaterial {
  /** What the build asked for. */
  readonly url: string;
  /** Where it came from, when that was somewhere else. */
  readonly movedTo?: string;
  readonly status: number;
  readonly digest: Digest;
  readonly size: number;
}

/** Options of {@link startArchiveProxy}. */
export interface ArchiveProxyOptions {
  readonly moved?: readonly MovedArchive[];
  /** Beginnings of other URLs builds may fetch, as they are. Everything else is refused. @defaultValue none */
  readonly allow?: readonly string[];
  /** Address to listen on; builds must reach it. @defaultValue 127.0.0.1 */
  readonly address?: string;
  /** @defaultValue any free port */
  readonly port?: number;
  /** Most bytes of one answer. @defaultValue 4294967296 */
  readonly maxBytes?: number;
  /** Time an archive has to begin its answer, and to go on with it, in milliseconds. @defaultValue 60000 */
  readonly timeoutMs?: number;
  /** Most answers recorded; more are refused. @defaultValue 100000 */
  readonly maxMaterials?: number;
  /**
   * Folder in which everything that is passed on is kept: the bytes by digest, and `materials.jsonl` with a line for each.
   * @defaultValue nothing is kept
   */
  readonly directory?: string;
  /** Answers with what `directory` holds, and asks no archive: what it does not hold is not found. @defaultValue false */
  readonly offline?: boolean;
  /** Called with each answer that was passed on whole. */
  readonly onMaterial?: (material: FetchedMaterial) => void;
}

/** A running proxy. Made by {@link startArchiveProxy}. */
export interface ArchiveProxy extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, for the `proxy` of a builder. */
  readonly url: string;
  /** Everything builds fetched, in the order it was passed on. */
  readonly materials: readonly FetchedMaterial[];
  /** What builds asked for and did not get, and why; the first thousand. */
  readonly refused: readonly { readonly url: string; readonly reason: string }[];
  close(): Promise<void>;
}
