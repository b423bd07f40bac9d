import { type VerifiedStream, verified } from '../content/verify.ts';
import { type Digest, parseDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type Repository } from '../reference.ts';
import { type AnsweringEndpoint, type Ask, DELETE, PULL, type RegistryResponse } from './ask.ts';
import { blamed } from './mirrors.ts';

/** Connections one blob may lose in a row without gaining this much between them: a server that trickles gets no further. */
const MAX_POOR_CUTS = 4;
const MIN_GAIN_BYTES = 64 * 1024;

/**
 * Streams a blob, verified as it goes; the error for wrong bytes names the mirror they came from.
 *
 * @see OCI distribution-spec, "Pulling blobs"
 */
export function openBlob(
  ask: Ask,
  repository: Repository,
  descriptor: Descriptor,
  options: OperationOptions & {
    /** Takes the memory of chunks back. */
    readonly release?: (chunk: Uint8Array) => void;
  } = {},
): VerifiedStream {
  const { registry, repository: name } = repository;
  const subject = `blob ${formatReference({ registry, repository: name, digest: descriptor.digest })}`;
  const origin: Origin = { endpoint: undefined };
  const blame = (error: RegistryError) =>
    origin.endpoint === undefined ? error : blamed(error, origin.endpoint);
  const { release, signal } = options;
  return verified(received(ask, repository, descriptor, subject, origin, { signal }), descriptor, subject, {
    ...{ blame, ...(release === undefined ? {} : { release }) },
  });
}

/** Who sent the bytes of a blob: the first mirror that did, or else the registry. */
interface Origin {
  endpoint: AnsweringEndpoint | undefined;
}

/**
 * The bytes of a blob as they arrive, as many as it has. A cut connection is resumed by Range through a fresh request to
 * the registry, so that an expired redirect is renewed. A mirror that breaks off again and again is given up for the next
 * endpoint.
 */
async function* received(
  ask: Ask,
  repository: Repository,
  descriptor: Descriptor,
  subject: string,
  origin: Origin,
  options: OperationOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  let size = 0;
  let resumable = true;
  let finished = false;
  const without = new Set<string>();
  for (let poor = 0; !finished; ) {
    const before = size;
    const from = { offset: before, resumable, without };
    const part = await request(ask, repository, descriptor, from, subject, options);
    const { endpoint } = part.response;
    if (origin.endpoint?.mirror !== true || endpoint.mirror) origin.endpoint = endpoint;
    resumable = !part.response.decoded;
    try {
      let unwanted = part.skip;
      for await (const bytes of part.response.body) {
        const chunk = unwanted === 0 ? bytes : bytes.subarray(Math.min(unwanted, bytes.byteLength));
        unwanted -= bytes.byteLength - chunk.byteLength;
        if (chunk.byteLength === 0) continue;
        size += chunk.byteLength;
        yield chunk;
      }
      if (size < descriptor.size) throw tooShort(subject, descriptor, size);
      finished = true;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!isCut(error)) throw error;
      // The last bytes may arrive with the cut.
      finished = size === descriptor.size && descriptor.size > 0;
      poor = size - before >= MIN_GAIN_BYTES ? 0 : poor + 1;
      if (poor < MAX_POOR_CUTS) continue;
      if (!endpoint.mirror || !(error instanceof RegistryError)) throw error;
      endpoint.passOver(error);
      without.add(endpoint.url);
      poor = 0;
    }
  }
}

/** Asks how large a blob is. @see OCI distribution-spec, "Checking if content exists in the registry" */
export async function resolveBlob(
  ask: Ask,
  { registry, repository }: Repository,
  digest: Digest,
  options?: OperationOptions,
): Promise<Descriptor> {
  const subject = `blob ${formatReference({ registry, repository, digest })}`;
  const response = await ask(
    {
      ...{ method: 'HEAD', repository: { registry, repository }, path: `blobs/${digest}` },
      ...{ action: PULL, accept: [200], subject },
    },
    options,
  );
  await response.dump();
  const length = String(response.headers['content-length'] ?? '');
  if (/^\d{1,15}$/.test(length))
    return { mediaType: 'application/octet-stream', digest, size: Number(length) };
  throw new RegistryError('PROTOCOL_ERROR', `${subject}: the registry does not tell its size`);
}

/** @see OCI distribution-spec, "Deleting Blobs" */
export async function deleteBlob(
  ask: Ask,
  { registry, repository }: Repository,
  digest: Digest,
  options?: OperationOptions,
): Promise<void> {
  const response = await ask(
    {
      method: 'DELETE',
      repository: { registry, repository },
      path: `blobs/${parseDigest(digest)}`,
      action: DELETE,
      accept: [200, 202, 204],
      subject: `deleting blob ${formatReference({ registry, repository, digest })}`,
    },
    options,
  );
  await response.dump();
}

/** Asks from an offset; a server that ignores Range sends it all, and the known part is skipped. */
async function request(
  ask: Ask,
  repository: Repository,
  descriptor: Descriptor,
  {
    offset,
    resumable,
    without,
  }: { readonly offset: number; readonly resumable: boolean; readonly without: ReadonlySet<string> },
  subject: string,
  options: OperationOptions,
): Promise<{ readonly response: RegistryResponse; readonly skip: number }> {
  const ranged = offset > 0 && resumable;
  const response = await ask(
    {
      method: 'GET',
      repository,
      path: `blobs/${parseDigest(descriptor.digest)}`,
      ...(ranged ? { headers: { range: `bytes=${offset}-` } } : {}),
      action: PULL,
      reads: 'blob',
      without,
      accept: ranged ? [200, 206] : [200],
      subject,
    },
    options,
  );
  if (response.status === 200) {
    const length = Number(response.headers['content-length'] ?? descriptor.size);
    if (length !== descriptor.size) {
      await response.dump();
      const error =
        length > descriptor.size
          ? tooLong(subject, descriptor)
          : tooShort(subject, descriptor, length, false);
      throw blamed(error, response.endpoint);
    }
    return { response, skip: offset };
  }
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(String(response.headers['content-range'] ?? ''));
  const total = range?.[2] === '*' ? descriptor.size : Number(range?.[2]);
  if (range === null || Number(range[1]) !== offset || total !== descriptor.size || response.decoded) {
    await response.dump();
    const error = new RegistryError(
      'PROTOCOL_ERROR',
      `${subject}: asked from byte ${offset}, received another range`,
    );
    throw blamed(error, response.endpoint);
  }
  return { response, skip: 0 };
}

function isCut(error: unknown): boolean {
  if (!(error instanceof RegistryError)) return false;
  return error.code === 'UNREACHABLE' || error.code === 'TIMEOUT' || error.details?.cut === true;
}

function tooLong(subject: string, descriptor: Descriptor): RegistryError {
  return new RegistryError('SIZE_MISMATCH', `${subject}: expected ${descriptor.size} bytes, received more`);
}

function tooShort(subject: string, descriptor: Descriptor, size: number, cut = true): RegistryError {
  return new RegistryError(
    'SIZE_MISMATCH',
    `${subject}: expected ${descriptor.size} bytes, received ${size}`,
    {
      details: { expected: descriptor.size, received: size, cut },
    },
  );
}
