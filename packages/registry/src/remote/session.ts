import { RegistryError } from '../errors.ts';
import { nextUrl } from '../http/redirects.ts';
import type { HttpResponse } from '../http/request.ts';
import type { Repository } from '../reference.ts';

const MAX_MIN_CHUNK_BYTES = 256 * 1024 * 1024;

/** An upload in progress. */
export interface Session {
  readonly repository: Repository;
  /** Where the next bytes go. */
  readonly url: URL;
  /** Least bytes of a chunk that is not the last; 0 when the registry does not care. */
  readonly minChunkBytes: number;
  readonly subject: string;
}

/**
 * The session an answer names: a path of the same registry, or a URL elsewhere that it may not leave https for.
 *
 * @throws {@link RegistryError} `PROTOCOL_ERROR`, `REDIRECT_REFUSED`
 */
export function sessionOf(response: HttpResponse, repository: Repository, subject: string): Session {
  const { location } = response.headers;
  if (typeof location !== 'string') {
    throw new RegistryError('PROTOCOL_ERROR', `${subject}: the registry names no upload location`);
  }
  const asked = Number(response.headers['oci-chunk-min-length'] ?? 0);
  const minChunkBytes = Number.isSafeInteger(asked) && asked > 0 ? Math.min(asked, MAX_MIN_CHUNK_BYTES) : 0;
  return { repository, url: nextUrl(location, response.url), minChunkBytes, subject };
}
