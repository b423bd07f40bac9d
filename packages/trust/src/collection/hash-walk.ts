import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import type { MetadataFile, RootMetadata } from '../metadata/types.ts';
import type { MetadataSource } from '../notary/metadata-source.ts';
import { fetchByMeta } from '../verify/file-checks.ts';
import { SIGNATURE_FAILURES } from '../verify/signatures.ts';
import { createMemoryTrustState } from '../verify/state.ts';
import { updateCollection } from '../verify/update.ts';
import type { VerifiedCollection } from '../verify/verified-collection.ts';

/** A collection read back. */
export interface WalkedCollection {
  readonly verified: VerifiedCollection;
  /** Roles that are readable and that nobody believes, because their signatures no longer count or they expired. */
  readonly invalidRoles: readonly string[];
}

/** What says that the server cannot serve what it stored. */
const BROKEN: readonly string[] = ['MISSING_METADATA', 'MIX_AND_MATCH', 'MALFORMED'];

/**
 * Reads a collection back as a client does that never saw it: timestamp, snapshot, root, and every role by its hash.
 *
 * @throws {@link TrustError} `BROKEN_COLLECTION` when a file is not there or is not what its parent names
 */
export async function walkCollection(
  collection: string,
  root: MetadataFile<RootMetadata>,
  options: OperationOptions & { readonly source: MetadataSource; readonly now?: (() => Date) | undefined },
): Promise<WalkedCollection> {
  try {
    const verified = await updateCollection(collection, {
      ...options,
      root: { keyIds: root.signed.roles.root.keyids ?? [] },
      state: createMemoryTrustState(),
      allowExpired: true,
    });
    const invalidRoles: string[] = [];
    for (const [role, meta] of Object.entries(verified.snapshot.signed.meta)) {
      if (role === 'root') continue;
      const state = await stateOf(verified, role, options);
      if (state === 'invalid') invalidRoles.push(role);
      // A role nobody believes, or delegates to any more, must be readable too: a server that re-serialises it breaks.
      if (state !== 'valid')
        await fetchByMeta(options.source, collection, role, meta, verified.rules, options.signal);
    }
    return { verified, invalidRoles };
  } catch (cause) {
    if (!TrustError.is(cause) || !BROKEN.includes(cause.code)) throw cause;
    throw new TrustError('BROKEN_COLLECTION', `read ${collection} back: ${cause.message}`, {
      cause,
      hint: 'The server cannot serve what it stored. healCollection() publishes it again in clean form.',
    });
  }
}

async function stateOf(
  verified: VerifiedCollection,
  role: string,
  options: OperationOptions,
): Promise<'valid' | 'invalid' | 'unused'> {
  try {
    return (await verified.role(role, options)) === undefined ? 'unused' : 'valid';
  } catch (error) {
    if (TrustError.is(error) && SIGNATURE_FAILURES.includes(error.code)) return 'invalid';
    throw error;
  }
}
