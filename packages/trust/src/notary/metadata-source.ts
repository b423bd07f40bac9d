import type { OperationOptions } from '@imagevet/registry';

/** Which version of a metadata file to fetch; the current one by default. */
export interface MetadataSelector extends OperationOptions {
  readonly version?: number;
  /** Lower-case hexadecimal sha256 of the file. */
  readonly sha256?: string;
  /** The body may not be longer. @defaultValue 16 MiB */
  readonly maxBytes?: number;
}

/** Where metadata comes from: a notary server, or an archive of one. What it returns is not verified. */
export interface MetadataSource {
  /** Fetches a metadata file; `undefined` when there is none. */
  fetchMetadata(
    collection: string,
    role: string,
    selector?: MetadataSelector,
  ): Promise<Uint8Array | undefined>;
}
