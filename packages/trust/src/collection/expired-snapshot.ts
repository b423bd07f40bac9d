import type { OperationOptions } from '@imagevet/registry';
import { parseGoTime } from '../json/go-time.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { MetadataSource } from '../notary/metadata-source.ts';

/** Snapshots looked for under a number: more than a collection is ever published. */
const MAX_SNAPSHOTS = 2 ** 24;

/**
 * Finds the newest snapshot among the old versions, which a notary-server serves as they are, and returns it when it has
 * expired: the server then answers 500 to every reader and publisher, as it wants to renew it and has no key for it.
 */
export async function findExpiredSnapshot(
  collection: string,
  options: OperationOptions & { readonly source: MetadataSource; readonly now: () => Date },
): Promise<Uint8Array | undefined> {
  const { source, now, ...own } = options;
  const bytes = await findNewest((version) =>
    source.fetchMetadata(collection, 'snapshot', { version, ...own }),
  );
  if (bytes === undefined) return undefined;
  const { expires } = parseMetadata('snapshot', bytes, { anyForm: true }).signed;
  return parseGoTime(expires) > now().getTime() ? undefined : bytes;
}

// They are numbered without gaps, so the last one is found by halving.
async function findNewest(
  fetch: (version: number) => Promise<Uint8Array | undefined>,
): Promise<Uint8Array | undefined> {
  let newest = 0;
  let bytes: Uint8Array | undefined;
  // The first snapshot that notary publishes is its second.
  for (let version = 2; version <= MAX_SNAPSHOTS; version *= 2) {
    const found = await fetch(version);
    if (found === undefined) break;
    [newest, bytes] = [version, found];
  }
  for (let step = Math.max(newest / 2, 1); step >= 1; step /= 2) {
    const found = await fetch(newest + step);
    if (found !== undefined) [newest, bytes] = [newest + step, found];
  }
  return bytes;
}
