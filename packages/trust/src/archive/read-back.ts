import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { OperationOptions } from '@imagevet/registry';
import { walkCollection } from '../collection/hash-walk.ts';
import { TrustError } from '../errors.ts';
import type { MetadataFile, RootMetadata } from '../metadata/types.ts';
import { readBytesIfPresent } from '../storage/durable-file.ts';
import { filePath, type TrustArchive } from './format.ts';
import { openArchive } from './open-archive.ts';

/**
 * Reads a new archive back from its directory: every file by its hash, and the collection from the root down. After the
 * server has closed is too late to find out that something is missing.
 *
 * @throws {@link TrustError} `BROKEN_COLLECTION`
 */
export async function readBack(
  archive: TrustArchive,
  root: MetadataFile<RootMetadata>,
  options: OperationOptions & { readonly directory: string; readonly now?: (() => Date) | undefined },
): Promise<void> {
  const { directory, now, ...own } = options;
  for (const { role, version, sha256 } of archive.files) {
    own.signal?.throwIfAborted();
    const bytes = await readBytesIfPresent(join(directory, filePath(role, version)));
    if (bytes === undefined) throw broken(archive, `${role} of version ${version} is not there`);
    if (createHash('sha256').update(bytes).digest('hex') !== sha256)
      throw broken(archive, `${role} of version ${version} is altered`);
  }
  try {
    await walkCollection(archive.collection, root, { ...own, source: await openArchive(directory), now });
  } catch (cause) {
    if (!TrustError.is(cause)) throw cause;
    throw broken(archive, cause.message, cause);
  }
}

function broken({ collection }: TrustArchive, reason: string, cause?: Error): TrustError {
  return new TrustError('BROKEN_COLLECTION', `read the archive of ${collection} back: ${reason}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'The directory does not keep what is written to it. Archive again, into another one, while the server is there.',
  });
}
