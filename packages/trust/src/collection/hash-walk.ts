import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { tufKeyId } from '../keys/public-key.ts';
import type { MetadataFile } from '../metadata/types.ts';
import type { NotaryClient } from '../notary/client.ts';
import { createMemoryTrustState } from '../verify/state.ts';
import { updateCollection } from '../verify/update.ts';
import { fetchByMeta, matchesMeta, type VerifiedCollection } from '../verify/verified-collection.ts';

/**
 * Reads a collection back as a client does that never saw it: timestamp, snapshot, root, and every role by its hash.
 *
 * @returns the verified collection, all roles loaded
 * @throws {@link TrustError} `BROKEN_COLLECTION` when a file is not there or is not what its parent names
 */
export async function walkCollection(
  collection: string,
  root: MetadataFile<Extract<MetadataFile['signed'], { _type: 'Root' }>>,
  options: OperationOptions & { readonly client: NotaryClient; readonly now?: (() => Date) | undefined },
): Promise<VerifiedCollection> {
  const keyIds = (root.signed.roles.root.keyids ?? []).flatMap((id) => {
    const key = root.signed.keys[id];
    return key === undefined ? [] : [tufKeyId(key)];
  });
  try {
    const verified = await updateCollection(collection, {
      ...options,
      root: { keyIds },
      state: createMemoryTrustState(),
      allowExpired: true,
    });
    for (const [role, meta] of Object.entries(verified.snapshot.signed.meta)) {
      if (role === 'root') continue;
      const loaded = await verified.role(role, options);
      // A role nobody delegates to any more must still be readable: the server re-serialises it too.
      if (loaded === undefined)
        await fetchByMeta(options.client, collection, role, meta, verified.rules, options.signal);
    }
    const rootMeta = verified.snapshot.signed.meta.root;
    if (rootMeta === undefined || !matchesMeta(verified.root.bytes, rootMeta)) {
      throw new TrustError('MIX_AND_MATCH', `read ${collection}: the snapshot names another root`);
    }
    return verified;
  } catch (cause) {
    if (!TrustError.is(cause) || !['MISSING_METADATA', 'MIX_AND_MATCH', 'MALFORMED'].includes(cause.code))
      throw cause;
    throw new TrustError('BROKEN_COLLECTION', `read ${collection} back after publishing: ${cause.message}`, {
      cause,
      hint: 'The server cannot serve what it stored. heal() publishes it again in clean form.',
    });
  }
}
