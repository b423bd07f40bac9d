import { Digester, digestAlgorithm } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { HttpResponse } from '../http/transport.ts';
import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type Repository } from '../reference.ts';
import type { Ask } from './client.ts';

/** Connections one blob may lose without having gained anything since the last. */
const MAX_FRUITLESS_CUTS = 4;

/**
 * Streams a blob, hashing as it goes. A cut connection is resumed by Range through a fresh request to the registry, so
 * that an expired redirect is renewed; the hash runs on. The last chunk is withheld until size and digest agree.
 *
 * @see OCI distribution-spec, "Pulling blobs"
 */
export async function* openBlob(
  ask: Ask,
  repository: Repository,
  descriptor: Descriptor,
  options: OperationOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const subject = `blob ${descriptor.digest} of ${formatReference(repository)}`;
  const digester = new Digester(digestAlgorithm(descriptor.digest));
  let withheld: Uint8Array | undefined;
  let fruitless = 0;
  while (digester.size < descriptor.size || (descriptor.size === 0 && withheld === undefined)) {
    const before = digester.size;
    try {
      const { response, skip } = await request(ask, repository, descriptor, before, subject, options);
      let unwanted = skip;
      for await (const received of response.body) {
        const chunk = unwanted === 0 ? received : received.subarray(Math.min(unwanted, received.byteLength));
        unwanted -= received.byteLength - chunk.byteLength;
        if (chunk.byteLength === 0) continue;
        digester.update(chunk);
        if (digester.size > descriptor.size) throw tooLong(subject, descriptor);
        if (withheld !== undefined) yield withheld;
        withheld = chunk;
      }
      if (digester.size < descriptor.size) throw tooShort(subject, descriptor, digester.size);
      if (descriptor.size === 0) break;
    } catch (error) {
      if (options.signal?.aborted === true) throw options.signal.reason;
      if (!isCut(error)) throw error;
      fruitless = digester.size > before ? 0 : fruitless + 1;
      if (fruitless >= MAX_FRUITLESS_CUTS) throw unreachable(error, subject);
    }
  }
  const received = digester.digest();
  if (received !== descriptor.digest) {
    throw new RegistryError(
      'DIGEST_MISMATCH',
      `${subject}: expected ${descriptor.digest}, received ${received}`,
      {
        hint: 'The registry, or something between, serves other content than was asked for. Do not use it.',
        details: { expected: descriptor.digest, received },
      },
    );
  }
  if (withheld !== undefined) yield withheld;
}

/** Asks from an offset; a server that ignores Range sends it all, and the known part is skipped. */
async function request(
  ask: Ask,
  repository: Repository,
  descriptor: Descriptor,
  offset: number,
  subject: string,
  options: OperationOptions,
): Promise<{ readonly response: HttpResponse; readonly skip: number }> {
  const response = await ask(
    {
      method: 'GET',
      repository,
      path: `blobs/${descriptor.digest}`,
      ...(offset === 0 ? {} : { headers: { range: `bytes=${offset}-` } }),
      action: 'pull',
      accept: offset === 0 ? [200] : [200, 206],
      subject,
    },
    options,
  );
  const encoding = response.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    await response.dump();
    throw new RegistryError(
      'PROTOCOL_ERROR',
      `${subject} came with content-encoding ${String(encoding).slice(0, 40)}`,
    );
  }
  if (response.status === 200) {
    const length = Number(response.headers['content-length'] ?? descriptor.size);
    if (length !== descriptor.size) {
      await response.dump();
      throw length > descriptor.size
        ? tooLong(subject, descriptor)
        : tooShort(subject, descriptor, length, false);
    }
    return { response, skip: offset };
  }
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(String(response.headers['content-range'] ?? ''));
  if (range === null || Number(range[1]) !== offset) {
    await response.dump();
    throw new RegistryError(
      'PROTOCOL_ERROR',
      `${subject}: asked from byte ${offset}, received another range`,
    );
  }
  return { response, skip: 0 };
}

function isCut(error: unknown): boolean {
  if (error instanceof RegistryError)
    return error.code === 'UNREACHABLE' || error.code === 'TIMEOUT' || error.details?.cut === true;
  const { code } = error as NodeJS.ErrnoException;
  return (
    typeof code === 'string' && (code.startsWith('UND_ERR') || code === 'ECONNRESET' || code === 'EPIPE')
  );
}

function unreachable(error: unknown, subject: string): RegistryError {
  if (error instanceof RegistryError) return error;
  return new RegistryError('UNREACHABLE', `${subject}: the connection was cut again and again`, {
    cause: error,
  });
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
