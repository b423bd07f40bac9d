import { TrustError } from '../errors.ts';
import { NotaryClient, type NotaryServer } from './client.ts';
import type { MetadataSource } from './metadata-source.ts';

/**
 * The notary server docker would use for a registry: Docker Hub's own for `docker.io`, else the registry's host.
 */
export function defaultNotaryUrl(registry: string): string {
  return registry === 'docker.io' ? 'https://notary.docker.io' : `https://${registry}`;
}

/** Runs with a client of a server; a client made here is closed, one that was given stays open. */
export async function withNotaryClient<T>(
  server: NotaryServer | NotaryClient,
  use: (client: NotaryClient) => Promise<T>,
): Promise<T> {
  if (server instanceof NotaryClient) return use(server);
  if (typeof server?.url !== 'string')
    throw new TrustError('INVALID_OPTIONS', 'notary server: no URL was given');
  const client = new NotaryClient(server);
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

/** Runs with a source of metadata: a server, or anything else that has the files. */
export async function withMetadataSource<T>(
  server: NotaryServer | MetadataSource,
  use: (source: MetadataSource) => Promise<T>,
): Promise<T> {
  return 'fetchMetadata' in server ? use(server) : withNotaryClient(server, use);
}
