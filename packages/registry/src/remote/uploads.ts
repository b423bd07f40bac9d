import type { BlobSource } from '../content/interfaces.ts';
import { RegistryError } from '../errors.ts';
import type { HttpResponse } from '../http/transport.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type Repository } from '../reference.ts';
import type { Ask } from './client.ts';

/** Whole uploads tried before giving up; a lost session cannot be continued, only started again. */
const MAX_UPLOADS = 3;

/**
 * Uploads a blob in one PUT, unless it is there or can be mounted.
 *
 * @see OCI distribution-spec, "Pushing blobs", "Mounting a blob from another repository"
 */
export async function pushBlob(
  ask: Ask,
  repository: Repository,
  blob: BlobSource,
  options: OperationOptions & { readonly mountFrom?: Repository } = {},
): Promise<'exists' | 'mounted' | 'uploaded'> {
  const { digest, size } = blob.descriptor;
  const subject = `pushing blob ${digest} to ${formatReference(repository)}`;
  const present = await ask(
    { method: 'HEAD', repository, path: `blobs/${digest}`, action: 'pull,push', accept: [200, 404], subject },
    options,
  );
  await present.dump();
  if (present.status === 200) return 'exists';

  const { mountFrom } = options;
  if (mountFrom !== undefined && mountFrom.registry === repository.registry) {
    const query = new URLSearchParams({ mount: digest, from: mountFrom.repository });
    const mounted = await start(ask, repository, `?${query}`, subject, options);
    if (mounted.status === 201) return 'mounted';
    await finish(ask, repository, blob, uploadUrl(mounted, subject), subject, options);
    return 'uploaded';
  }
  for (let attempt = 1; ; attempt += 1) {
    try {
      const session = await start(ask, repository, '', subject, options);
      await finish(ask, repository, blob, uploadUrl(session, subject), subject, options);
      return 'uploaded';
    } catch (error) {
      if (options.signal?.aborted === true) throw options.signal.reason;
      const lost =
        error instanceof RegistryError && (error.code === 'UNREACHABLE' || error.code === 'NOT_FOUND');
      if (!lost || attempt >= MAX_UPLOADS) throw asUploadFailure(error, subject, size);
    }
  }
}

async function start(
  ask: Ask,
  repository: Repository,
  query: string,
  subject: string,
  options: OperationOptions,
): Promise<HttpResponse> {
  const response = await ask(
    {
      method: 'POST',
      repository,
      path: `blobs/uploads/${query}`,
      headers: { 'content-length': '0' },
      body: new Uint8Array(),
      action: 'pull,push',
      accept: query === '' ? [202] : [201, 202],
      subject,
    },
    options,
  );
  await response.dump();
  return response;
}

async function finish(
  ask: Ask,
  repository: Repository,
  blob: BlobSource,
  url: URL,
  subject: string,
  options: OperationOptions,
): Promise<void> {
  url.searchParams.set('digest', blob.descriptor.digest);
  const response = await ask(
    {
      method: 'PUT',
      repository,
      path: url,
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(blob.descriptor.size) },
      body: blob.open(),
      action: 'pull,push',
      accept: [201, 204],
      subject,
    },
    options,
  );
  await response.dump();
}

/** Where to send the bytes: a path of the same registry, or a URL it names itself. */
function uploadUrl(response: HttpResponse, subject: string): URL {
  const { location } = response.headers;
  const url = typeof location === 'string' ? URL.parse(location, response.url.href) : null;
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new RegistryError('PROTOCOL_ERROR', `${subject}: the registry names no upload location`);
  }
  if (response.url.protocol === 'https:' && url.protocol === 'http:') {
    throw new RegistryError('REDIRECT_REFUSED', `${subject}: the upload location leaves https`);
  }
  return url;
}

function asUploadFailure(error: unknown, subject: string, size: number): unknown {
  if (!(error instanceof RegistryError) || error.code !== 'UNREACHABLE') return error;
  return new RegistryError('UPLOAD_FAILED', `${subject}: ${size} bytes could not be delivered`, {
    cause: error,
  });
}
