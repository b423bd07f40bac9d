import { setTimeout as wait } from 'node:timers/promises';
import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { isDelegationName } from '../metadata/names.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { FileMeta } from '../metadata/types.ts';
import type { NotaryClient, NotaryServer } from '../notary/client.ts';
import type { MetadataSelector, MetadataSource } from '../notary/metadata-source.ts';
import { withNotaryClient } from '../notary/server.ts';
import { writeDurably } from '../storage/durable-file.ts';
import { fetchByMeta } from '../verify/file-checks.ts';
import type { RootTrust } from '../verify/root-trust.ts';
import { createMemoryTrustState } from '../verify/state.ts';
import { updateCollection } from '../verify/update.ts';
import { ArchivedFiles } from './archived-files.ts';
import { describeArchive, listPath, readArchive, type TrustArchive } from './format.ts';
import { readBack } from './read-back.ts';

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
/** Attempts at one file: a server about to close is busy. */
const MAX_ATTEMPTS = 3;

/**
 * Writes a collection's whole trust history to a directory: every version of every role the server still has, roles that
 * were removed included, verified from the pinned root down as it is now. Expired metadata is archived too;
 * {@link openArchive} says what it proves. Archiving again into the same directory adds what is new.
 *
 * @throws {@link TrustError} why the trust data is refused or not to be had; `INVALID_OPTIONS` when the directory holds
 *   another history, which is left as it is; `BROKEN_COLLECTION` when the archive cannot be read back
 */
export async function archiveCollection(collection: string, options: ArchiveOptions): Promise<TrustArchive> {
  const { root, directory, signal } = options;
  const own = signal === undefined ? {} : { signal };
  return withNotaryClient(options.server, async (client) => {
    const source = persistent(client);
    const verified = await updateCollection(collection, {
      ...own,
      source,
      root,
      state: createMemoryTrustState(),
      now: options.now,
      allowExpired: true,
    });
    const archived = new ArchivedFiles(directory, collection, await readArchive(directory));
    const { meta } = verified.snapshot.signed;
    for (const file of [verified.root, verified.timestamp, verified.snapshot])
      await archived.add(file.role, file.signed.version, file.bytes, true);
    await history('root', verified.root.signed.version);
    await history('timestamp', verified.timestamp.signed.version);
    const former = await history('snapshot', verified.snapshot.signed.version);
    // A role that was removed is named by older snapshots only.
    const named = new Map<string, FileMeta>(Object.entries(meta));
    for (const bytes of former)
      for (const [role, older] of Object.entries(readMeta(bytes)))
        if (!named.has(role)) named.set(role, older);
    for (const [role, expected] of named) {
      if (role !== 'targets' && !isDelegationName(role)) continue;
      const isCurrent = Object.hasOwn(meta, role);
      const file = await fetchByMeta(source, collection, role, expected, verified.rules, signal).catch(
        (error: unknown) => {
          if (isCurrent || !TrustError.is(error)) throw error;
        },
      );
      if (file === undefined) continue;
      await archived.add(role, file.signed.version, file.bytes, isCurrent);
      await history(role, file.signed.version);
    }
    const archive = describeArchive({
      collection,
      server: client.url,
      archivedAt: (options.now?.() ?? new Date()).toISOString(),
      files: archived.list(),
    });
    // Written last: a directory without it is an archive that was not finished.
    await writeDurably(listPath(directory), `${JSON.stringify(archive, null, 1)}\n`);
    await readBack(archive, verified.root, { ...own, directory, now: options.now });
    return archive;

    /** Archives the versions below one, the newest first; returns what the server has of them. */
    async function history(role: string, newest: number): Promise<Uint8Array[]> {
      const found: Uint8Array[] = [];
      const oldest = Math.max(1, newest - MAX_VERSIONS);
      for (let from = newest - 1; from >= oldest; from -= CONCURRENCY) {
        const count = Math.min(CONCURRENCY, from - oldest + 1);
        const batch = Array.from({ length: count }, (_, index) => from - index);
        const files = await Promise.all(
          batch.map(async (version) => ({
            version,
            bytes: await source.fetchMetadata(collection, role, { ...own, version }),
          })),
        );
        for (const { version, bytes } of files) {
          // Something else under this number is as good as nothing, and would be in the way of what is there.
          if (bytes === undefined || !isVersion(role, version, bytes)) continue;
          await archived.add(role, version, bytes, false);
          found.push(bytes);
        }
      }
      return found;
    }
  });
}

function isVersion(role: string, version: number, bytes: Uint8Array): boolean {
  try {
    // A server writes its timestamps itself, in the one form they are read in again.
    return parseMetadata(role, bytes, { anyForm: role !== 'timestamp' }).signed.version === version;
  } catch (error) {
    if (TrustError.is(error)) return false;
    throw error;
  }
}

function readMeta(snapshot: Uint8Array): Readonly<Record<string, FileMeta>> {
  try {
    return parseMetadata('snapshot', snapshot, { anyForm: true }).signed.meta;
  } catch {
    // What an old snapshot cannot say any more, another may.
    return {};
  }
}

/** Asks again when a server does not answer. */
function persistent(client: NotaryClient): MetadataSource {
  return {
    fetchMetadata: async (collection: string, role: string, selector: MetadataSelector = {}) => {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await client.fetchMetadata(collection, role, selector);
        } catch (error) {
          const isPassing = TrustError.is(error) && ['UNREACHABLE', 'TIMEOUT'].includes(error.code);
          if (!isPassing || attempt >= MAX_ATTEMPTS) throw error;
          const { signal } = selector;
          await wait(500 * attempt, undefined, signal === undefined ? {} : { signal });
        }
      }
    },
  };
}
