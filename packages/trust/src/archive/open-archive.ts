import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TrustError } from '../errors.ts';
import { parseGoTime } from '../json/go-time.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { FileMeta } from '../metadata/types.ts';
import type { MetadataSelector, MetadataSource } from '../notary/metadata-source.ts';
import { readBytesIfPresent } from '../storage/durable-file.ts';
import { TIMESTAMP_LIFETIME_MS } from '../verify/staleness.ts';
import { type ArchivedFile, filePath, readArchive, type TrustArchive } from './format.ts';

/** How to open an archive. */
export interface OpenArchiveOptions {
  /** The moment the answers are wanted for. @defaultValue when the archive was made */
  readonly asOf?: Date;
  /** How long the server's timestamps were valid when it signed them. @defaultValue 14 days, as notary-server */
  readonly timestampLifetimeMs?: number;
}

/** An archive as the server was at one moment. */
export interface OpenedArchive extends MetadataSource {
  readonly archive: TrustArchive;
  readonly asOf: Date;
  /** {@link asOf}, as the `now` of a verification. */
  readonly now: () => Date;
}

const MAX_FILE_BYTES = 64 * 1024 * 1024;

/**
 * Opens an archive as a source for {@link resolveTrusted}, as the server was at a moment: it shows the newest timestamp that
 * was signed by then, and no root that came later. Nothing in it is believed: give the root pin as for a server, of a root
 * of that time, and the moment as `now`, because metadata that expired since would be refused.
 *
 * The format records no signing time of a timestamp; it is its expiry less `timestampLifetimeMs`. A server signs one with
 * each publish, and when it is asked after the last one expired. At a moment for which it signed none, a later one counts
 * that names the same snapshot; else the answer is `FREEZE`.
 *
 * @throws {@link TrustError} `MALFORMED` when it is no archive
 *
 * @example
 * ```ts
 * const server = await openArchive('archives/php', { asOf: new Date('2026-06-01') });
 * await resolveTrusted({ collection: 'docker.io/library/php', tag: '8.4' }, { server, root, now: server.now });
 * ```
 */
export async function openArchive(
  directory: string,
  options: OpenArchiveOptions = {},
): Promise<OpenedArchive> {
  const archive = await readArchive(directory);
  if (archive === undefined) {
    throw new TrustError('MALFORMED', 'open trust archive: there is no archive.json', {
      hint: 'It is written last: without it the directory is none of an archive, or archiving was interrupted.',
      details: { directory },
    });
  }
  const { timestampLifetimeMs = TIMESTAMP_LIFETIME_MS } = options;
  const asOf = options.asOf ?? new Date(archive.archivedAt);
  const byVersion = (role: string): ArchivedFile[] =>
    archive.files.filter((file) => file.role === role).sort((left, right) => right.version - left.version);
  const timestamp = await newestTimestamp();
  const rootVersion = timestamp === undefined ? 0 : await rootVersionUnder(timestamp);
  return {
    archive,
    asOf,
    now: () => asOf,
    fetchMetadata: async (collection, role, selector = {}) => {
      const file = collection === archive.collection ? find(role, selector) : undefined;
      return file === undefined ? undefined : read(file, selector.maxBytes);
    },
  };

  function find(role: string, { version, sha256 }: MetadataSelector): ArchivedFile | undefined {
    if (role === 'timestamp' && version === undefined && sha256 === undefined) return timestamp;
    const shown = byVersion(role).filter((file) => role !== 'root' || file.version <= rootVersion);
    return shown.find(
      (file) =>
        (version === undefined || file.version === version) &&
        (sha256 === undefined || file.sha256 === sha256),
    );
  }

  async function newestTimestamp(): Promise<ArchivedFile | undefined> {
    const all = byVersion('timestamp');
    // Of the archive as it was made: the server's clock may have been ahead of ours.
    if (options.asOf === undefined) return all.find(({ current }) => current);
    let later: { readonly file: ArchivedFile; readonly snapshot: string } | undefined;
    for (const file of all) {
      const bytes = await read(file);
      if (bytes === undefined) continue;
      const { expires, meta } = parseMetadata('timestamp', bytes).signed;
      const [until, snapshot] = [parseGoTime(expires), hexOf(meta.snapshot)];
      if (until - timestampLifetimeMs <= asOf.getTime()) {
        const isOver = until <= asOf.getTime();
        return isOver && later?.snapshot === snapshot ? later.file : file;
      }
      later = { file, snapshot };
    }
    return undefined;
  }

  /** The root the snapshot of a timestamp names; the newest when the archive lacks a file between. */
  async function rootVersionUnder(file: ArchivedFile): Promise<number> {
    const named = async (role: 'timestamp' | 'snapshot', from: ArchivedFile, of: 'snapshot' | 'root') => {
      const bytes = await read(from);
      const meta = bytes === undefined ? undefined : parseMetadata(role, bytes).signed.meta[of];
      return byVersion(of).find(({ sha256 }) => sha256 === hexOf(meta));
    };
    const snapshot = await named('timestamp', file, 'snapshot');
    const root = snapshot === undefined ? undefined : await named('snapshot', snapshot, 'root');
    return root?.version ?? Number.POSITIVE_INFINITY;
  }

  async function read({ role, version }: ArchivedFile, maxBytes?: number): Promise<Uint8Array | undefined> {
    const path = join(directory, filePath(role, version));
    const limit = Math.min(maxBytes ?? MAX_FILE_BYTES, MAX_FILE_BYTES);
    const size = await stat(path).then(
      (found) => found.size,
      () => 0,
    );
    if (size > limit)
      throw new TrustError('LIMIT_EXCEEDED', `read ${role} of an archive: longer than ${limit} bytes`);
    return readBytesIfPresent(path);
  }
}

function hexOf(meta: FileMeta | undefined): string {
  return Buffer.from(meta?.hashes.sha256 ?? '', 'base64').toString('hex');
}
