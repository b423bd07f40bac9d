import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';
import type { BlobSource, Fetcher, Pusher } from './interfaces.ts';
import { VerifiedStream } from './verify.ts';

/** Copies one blob between repositories; within a registry it is mounted where that can be done. */
export function copyBlob(
  from: Repository,
  to: Repository,
  descriptor: Descriptor,
  options: OperationOptions & {
    readonly source: Pick<Fetcher, 'openBlob'>;
    readonly destination: Pick<Pusher, 'pushBlob'>;
    /** Told at every mebibyte how many bytes were read, when any are. */
    readonly onBytes?: (bytes: number) => void;
  },
): Promise<'exists' | 'mounted' | 'uploaded'> {
  const { source, destination, signal, onBytes } = options;
  const read = () => source.openBlob(from, descriptor, { signal });
  const blob: BlobSource = {
    descriptor,
    open:
      onBytes === undefined ? read : () => VerifiedStream.watched(read(), descriptor, byMebibyte(onBytes)),
  };
  const mountFrom = from.registry === to.registry ? from : undefined;
  return destination.pushBlob(to, blob, { signal, ...(mountFrom === undefined ? {} : { mountFrom }) });
}

function byMebibyte(tell: (bytes: number) => void): (bytes: number) => void {
  let told = 0;
  return (bytes) => {
    if (bytes - told < 2 ** 20) return;
    told = bytes;
    tell(bytes);
  };
}

/** Foreign layers stay where their `urls` say; nobody may redistribute them. */
export function isDistributable({ mediaType, urls }: Descriptor): boolean {
  return !(urls !== undefined && urls.length > 0 && /foreign|nondistributable/.test(mediaType));
}
