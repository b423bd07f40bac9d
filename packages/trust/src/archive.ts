import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from './errors.ts';
import { checkCollectionName, checkRoleName } from './metadata/names.ts';
import { parseMetadata } from './metadata/parse.ts';
import type { NotaryClient, NotaryServer } from './notary/client.ts';
import type { MetadataSelector, MetadataSource } from './notary/metadata-source.ts';
import { withNotaryClient } from './notary/server.ts';
import { readIfPresent, writeDurably } from './storage/durable-file.ts';
import type { RootTrust } from './verify/root-trust.ts';
import { createMemoryTrustState } from './verify/state.ts';
import { updateCollection } from './verify/update.ts';

/** What an archive holds; `archive.json` in its directory. */
export interface TrustArchive {
  readonly format: 'imagevet trust archive 1';
  readonly collection: string;
  /** Where it was read. */
  readonly server: string;
  /** RFC 3339. */
  readonly archivedAt: string;
  readonly files: readonly ArchivedFile[];
}

/** One version of one role. */
export interface ArchivedFile {
  readonly role: string;
  readonly version: number;
  readonly sha256: string;
  /** Whether it was the newest when the archive was made. */
  readonly current: boolean;
  /** Below the archive's directory. */
  readonly path: string;
}

/** How to archive. */
export interface ArchiveOptions extends OperationOptions {
  readonly server: NotaryServer | NotaryClient;
  readonly root: RootTrust;
  /** Directory to write to; one collection each. */
  readonly directory: string;
  readonly now?: () => Date;
}

/** Requests at a time. */
const CONCURRENCY = 8;
/** Versions looked back through, per role. */
const MAX_VERSIONS = 10_000;

/**
 * Writes a collection's whole trust history to a directory: every version of every role the server still has, verified
 * from the pinned root down as it is now. Expired metadata is archived too; {@link openArchive} says what it proves.
 *
 * @throws {@link TrustError} why the trust data is refused or not to be had
 */
export async function archiveCollection(collection: string, options: ArchiveOptions): Promise<TrustArchive> {
  const { root, directory, signal } = options;
  const own = signal === undefined ? {} : { signal };
  return withNotaryClient(options.server, async (client) => {
    const verified = await updateCollection(collection, {
      ...own,
      source: client,
      root,
      state: createMemoryTrustState(),
      now: options.now,
      allowExpired: true,
    });
    const current = new Map(
      [verified.root, verified.timestamp, verified.snapshot].map((file) => [file.role, file.bytes]),
    );
    for (const [role, meta] of Object.entries(verified.snapshot.signed.meta)) {
      if (role === 'root') continue;
      const sha256 = Buffer.from(meta.hashes.sha256 ?? '', 'base64').toString('hex');
      const bytes = await client.fetchMetadata(collection, role, { ...own, sha256, maxBytes: meta.length });
      if (bytes !== undefined) current.set(role, bytes);
    }
    const files: ArchivedFile[] = [];
    for (const [role, bytes] of current) {
      const { version } = parseMetadata(role, bytes).signed;
      files.push(await write(role, bytes, version, true));
      const oldest = Math.max(1, version - MAX_VERSIONS);
      for (let from = version - 1; from >= oldest; from -= CONCURRENCY) {
        const wanted = Array.from(
          { length: Math.min(CONCURRENCY, from - oldest + 1) },
          (_, index) => from - index,
        );
        const batch = await Promise.all(
          wanted.map(async (older) => {
            const old = await client.fetchMetadata(collection, role, { ...own, version: older });
            return old === undefined ? [] : [await write(role, old, older, false)];
          }),
        );
        files.push(...batch.flat());
      }
    }
    const archive: TrustArchive = {
      format: 'imagevet trust archive 1',
      collection,
      server: client.url,
      archivedAt: (options.now?.() ?? new Date()).toISOString(),
      files,
    };
    // Written last: a directory without it is an archive that was not finished.
    await writeDurably(join(directory, 'archive.json'), `${JSON.stringify(archive, null, 1)}\n`);
    return archive;
  });

  async function write(
    role: string,
    bytes: Uint8Array,
    version: number,
    isCurrent: boolean,
  ): Promise<ArchivedFile> {
    const path = join('metadata', role, `${version}.json`);
    await writeDurably(join(directory, path), Buffer.from(bytes).toString('utf8'));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { role, version, sha256, current: isCurrent, path };
  }
}

/**
 * Opens an archive as a source for {@link resolveTrusted}. Nothing in it is believed: give the root pin as for a server,
 * and as `now` the moment the answer is wanted for, because metadata that expired since would be refused.
 *
 * @throws {@link TrustError} `MALFORMED` when it is no archive
 *
 * @example
 * ```ts
 * const server = await openArchive('archives/php');
 * const now = () => new Date('2026-12-01T00:00:00Z');
 * await resolveTrusted({ collection: 'docker.io/library/php', tag: '8.4' }, { server, root, now });
 * ```
 */
export async function openArchive(
  directory: string,
): Promise<MetadataSource & { readonly archive: TrustArchive }> {
  const archive = readArchive(await readIfPresent(join(directory, 'archive.json')));
  return {
    archive,
    fetchMetadata: async (collection, role, selector: MetadataSelector = {}) => {
      if (collection !== archive.collection) return undefined;
      const file = archive.files.find(
        (candidate) =>
          candidate.role === role &&
          (selector.version === undefined || candidate.version === selector.version) &&
          (selector.sha256 === undefined || candidate.sha256 === selector.sha256) &&
          (candidate.current || selector.version !== undefined || selector.sha256 !== undefined),
      );
      if (file === undefined) return undefined;
      // The path is made anew from checked names: an archive from elsewhere names no other file.
      const path = join(directory, 'metadata', checkRoleName(role), `${file.version}.json`);
      const text = await readIfPresent(path);
      return text === undefined ? undefined : Buffer.from(text);
    },
  };
}

function readArchive(text: string | undefined): TrustArchive {
  try {
    const value = JSON.parse(text ?? '') as TrustArchive;
    const whole =
      value.format === 'imagevet trust archive 1' &&
      Array.isArray(value.files) &&
      value.files.every(({ version }) => Number.isSafeInteger(version));
    if (whole) {
      checkCollectionName(value.collection);
      return value;
    }
  } catch {
    // Told below.
  }
  throw new TrustError('MALFORMED', 'open trust archive: archive.json is missing or damaged');
}
