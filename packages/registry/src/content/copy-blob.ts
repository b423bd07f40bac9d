import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';
import type { BlobSource, Fetcher, Pusher } from './interfaces.ts';

/** Copies one blob between repositories; within a registry it is mounted where that can be done. */
export function copyBlob(
  from: Repository,
  to: Repository,
  descriptor: Descriptor,
  options: OperationOptions & {
    readonly source: Pick<Fetcher, 'openBlob'>;
    readonly destination: Pick<Pusher, 'pushBlob'>;
  },
): Promise<'exists' | 'mounted' | 'uploaded'> {
  const { source, destination, signal } = options;
  const blob: BlobSource = { descriptor, open: () => source.openBlob(from, descriptor, { signal }) };
  const mountFrom = from.registry === to.registry ? from : undefined;
  return destination.pushBlob(to, blob, { signal, ...(mountFrom === undefined ? {} : { mountFrom }) });
}

/** Foreign layers stay where their `urls` say; nobody may redistribute them. */
export function isDistributable({ mediaType, urls }: Descriptor): boolean {
  return !(urls !== undefined && urls.length > 0 && /foreign|nondistributable/.test(mediaType));
}
