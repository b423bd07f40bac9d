import type { BlobSource } from '../content/interfaces.ts';
import { parseDigest } from '../digest.ts';
import { RegistryError, type RegistryErrorCode } from '../errors.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type Repository } from '../reference.ts';
import { type Ask, PUSH } from './ask.ts';
import { putChunks } from './chunks.ts';
import { type Session, sessionOf } from './session.ts';
import { uploadBody } from './upload-body.ts';

/** Whole uploads tried before giving up; a lost session cannot be continued, only started again. */
const MAX_UPLOADS = 3;
/** A registry hashes a blob, and may copy it to where it is kept, before it answers. */
const LEAST_PATIENCE_MS = 60_000;
const BYTES_TAKEN_IN_A_MS = 4096;

/** Options of {@link pushBlob}. */
export interface PushBlobOptions extends OperationOptions {
  readonly mountFrom?: Repository;
  /** Bytes of one PATCH; 0 sends the blob in one PUT. */
  readonly chunkBytes?: number;
}

/**
 * Uploads a blob, unless it is there or can be mounted.
 *
 * @see OCI distribution-spec, "Pushing blobs", "Mounting a blob from another repository"
 */
export async function pushBlob(
  ask: Ask,
  { registry, repository: name }: Repository,
  blob: BlobSource,
  options: PushBlobOptions = {},
): Promise<'exists' | 'mounted' | 'uploaded'> {
  const repository = { registry, repository: name };
  const { digest } = blob.descriptor;
  const subject = `pushing blob ${digest} to ${formatReference(repository)}`;
  const present = await ask(
    {
      method: 'HEAD',
      repository,
      path: `blobs/${parseDigest(digest)}`,
      action: PUSH,
      accept: [200, 404],
      subject,
    },
    options,
  );
  await present.dump();
  if (present.status === 200) return 'exists';

  const { mountFrom } = options;
  let session: Session | undefined;
  if (mountFrom !== undefined && mountFrom.registry === registry && mountFrom.repository !== name) {
    const answer = await mount(ask, repository, blob, subject, options, mountFrom.repository);
    if (answer === 'mounted') return answer;
    session = answer;
  }
  for (let attempt = 1; ; attempt += 1) {
    try {
      session ??= await start(ask, repository, blob, subject, options);
      if (session === undefined) return 'mounted';
      await send(ask, blob, session, options);
      return 'uploaded';
    } catch (error) {
      const given = session && abandon(ask, session);
      // Who gives up does not wait for the registry to hear of it.
      options.signal?.throwIfAborted();
      await given;
      session = undefined;
      if (attempt >= MAX_UPLOADS || !isLost(error)) throw asUploadFailure(error, subject);
    }
  }
}

/**
 * Asks for the blob of another repository. A registry may open a session instead, or refuse, as when the other repository
 * is not ours to read: then the blob is sent, and whether we may do that is for the upload to find out.
 */
async function mount(
  ask: Ask,
  repository: Repository,
  blob: BlobSource,
  subject: string,
  options: OperationOptions,
  from: string,
): Promise<Session | 'mounted' | undefined> {
  try {
    return (await start(ask, repository, blob, subject, options, from)) ?? 'mounted';
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof RegistryError && REFUSED_MOUNT.has(error.code)) return undefined;
    throw error;
  }
}

const REFUSED_MOUNT: ReadonlySet<RegistryErrorCode> = new Set([
  ...(['AUTH_REQUIRED', 'DENIED', 'NOT_FOUND', 'UNSUPPORTED', 'PROTOCOL_ERROR'] as const),
]);

/** Opens an upload session; resolves to undefined when the registry mounted the blob instead. */
async function start(
  ask: Ask,
  repository: Repository,
  blob: BlobSource,
  subject: string,
  options: OperationOptions,
  mountFrom?: string,
): Promise<Session | undefined> {
  const { digest } = blob.descriptor;
  const query = new URLSearchParams(mountFrom === undefined ? {} : { mount: digest, from: mountFrom });
  // Registries presume sha256 until they are told. @see OCI distribution-spec, "POST then PUT"
  if (!digest.startsWith('sha256:')) query.set('digest-algorithm', digest.slice(0, digest.indexOf(':')));
  const response = await ask(
    {
      method: 'POST',
      repository,
      path: `blobs/uploads/${query.size === 0 ? '' : `?${query}`}`,
      headers: { 'content-length': '0' },
      body: new Uint8Array(),
      action: PUSH,
      ...(mountFrom === undefined ? {} : { mountFrom }),
      accept: mountFrom === undefined ? [202] : [201, 202],
      subject,
    },
    options,
  );
  await response.dump();
  return response.status === 201 ? undefined : sessionOf(response, repository, subject);
}

async function send(ask: Ask, blob: BlobSource, session: Session, options: PushBlobOptions): Promise<void> {
  const { chunkBytes = 0 } = options;
  const { digest, size } = blob.descriptor;
  const chunked = chunkBytes > 0 && size > chunkBytes;
  const last = chunked
    ? await putChunks(ask, blob, session, Math.max(chunkBytes, session.minChunkBytes), options)
    : session;
  const url = new URL(last.url);
  url.searchParams.set('digest', digest);
  const response = await ask(
    {
      method: 'PUT',
      repository: session.repository,
      path: url,
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(chunked ? 0 : size) },
      body: chunked ? new Uint8Array() : () => uploadBody(blob),
      patienceMs: LEAST_PATIENCE_MS + Math.ceil(size / BYTES_TAKEN_IN_A_MS),
      action: PUSH,
      accept: [201, 204],
      subject: session.subject,
    },
    options,
  );
  await response.dump();
}

/** Tells the registry that a session is of no more use; it may not care. @see OCI distribution-spec, "Cancel a blob upload" */
async function abandon(ask: Ask, session: Session): Promise<void> {
  try {
    const { repository, url: path, subject } = session;
    const response = await ask({
      ...{ method: 'DELETE', repository, path, action: PUSH, subject },
      accept: [200, 202, 204, 400, 404, 405],
    });
    await response.dump();
  } catch {
    // The upload's own failure is what matters.
  }
}

function isLost(error: unknown): boolean {
  if (!(error instanceof RegistryError)) return false;
  return (
    error.code === 'UNREACHABLE' ||
    error.code === 'TIMEOUT' ||
    error.code === 'NOT_FOUND' ||
    isInvalidUpload(error)
  );
}

/** What registries say when a session went away under load. */
function isInvalidUpload(error: RegistryError): boolean {
  const said = error.details?.registryErrors;
  return (
    Array.isArray(said) &&
    said.some(({ code }) => code === 'BLOB_UPLOAD_INVALID' || code === 'BLOB_UPLOAD_UNKNOWN')
  );
}

function asUploadFailure(error: unknown, subject: string): unknown {
  if (!isLost(error) || (error as RegistryError).code === 'NOT_FOUND') return error;
  return new RegistryError('UPLOAD_FAILED', `${subject}: it could not be delivered`, { cause: error });
}
