import { RegistryError } from '../errors.ts';
import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';
import type { Fetcher } from './interfaces.ts';

/** Largest blob {@link readBlob} holds in memory unless told otherwise: 8 MiB. */
const DEFAULT_MAX_BYTES = 8 * 1024 * 1024;

/**
 * Reads a small blob whole, verified.
 *
 * @throws {@link RegistryError} `LIMIT_EXCEEDED` before anything is fetched, when the descriptor is larger than `maxBytes`.
 */
export async function readBlob(
  source: Pick<Fetcher, 'openBlob'>,
  repository: Repository,
  descriptor: Descriptor,
  options: OperationOptions & {
    /** @defaultValue 8 MiB */
    readonly maxBytes?: number;
  } = {},
): Promise<Uint8Array> {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
  if (descriptor.size > maxBytes) {
    throw new RegistryError(
      'LIMIT_EXCEEDED',
      `blob ${descriptor.digest} has ${descriptor.size} bytes, more than ${maxBytes}`,
    );
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of source.openBlob(repository, descriptor, options)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A blob held in memory, ready to push. */
export function blobOf(
  content: Uint8Array,
  descriptor: Descriptor,
): {
  readonly descriptor: Descriptor;
  open(): AsyncIterable<Uint8Array>;
} {
  return {
    descriptor,
    open: async function* () {
      yield content;
    },
  };
}
