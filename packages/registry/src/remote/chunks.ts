import type { BlobSource } from '../content/interfaces.ts';
import { RegistryError } from '../errors.ts';
import type { HttpResponse } from '../http/request.ts';
import type { OperationOptions } from '../options.ts';
import { type Ask, PUSH } from './ask.ts';
import { type Session, sessionOf } from './session.ts';

/** Chunks in a row that may be sent again without the upload growing. */
const MAX_REPEATS = 4;

/**
 * Sends a blob chunk by chunk. When a chunk's fate is unknown the registry is asked how far it got, and the upload goes
 * on from there.
 *
 * @returns the session to close with PUT
 * @throws {@link RegistryError} `UPLOAD_FAILED` when the registry has fewer bytes than it confirmed
 * @see OCI distribution-spec, "Pushing a blob in chunks"
 */
export async function putChunks(
  ask: Ask,
  blob: BlobSource,
  session: Session,
  chunkBytes: number,
  options: OperationOptions,
): Promise<Session> {
  let current = session;
  let offset = 0;
  for await (const chunk of chunksOf(blob.open(), chunkBytes)) {
    const end = offset + chunk.byteLength;
    let sent = 0;
    for (let repeats = 0; sent < chunk.byteLength; repeats += 1) {
      if (repeats > MAX_REPEATS) throw stuck(current, offset + sent);
      const answer = await patch(ask, current, chunk.subarray(sent), offset + sent, options);
      if (answer?.status === 202 || answer?.status === 201) {
        // What the registry says of the range is not trusted: some count from the chunk, some not at all.
        current = sessionOf(answer, current.repository, current.subject);
        sent = chunk.byteLength;
        continue;
      }
      const state = await ask(
        { ...about(current), method: 'GET', accept: [204], path: current.url },
        options,
      );
      await state.dump();
      const known = nextOffset(state);
      if (known === undefined || known < offset + sent || known > end) throw stuck(current, offset + sent);
      if (known > offset + sent) repeats = 0;
      current =
        state.headers.location === undefined
          ? current
          : sessionOf(state, current.repository, current.subject);
      sent = known - offset;
    }
    offset = end;
  }
  return current;
}

/** Sends one chunk; resolves to undefined when nobody knows whether it arrived. */
async function patch(
  ask: Ask,
  session: Session,
  chunk: Uint8Array,
  start: number,
  options: OperationOptions,
): Promise<HttpResponse | undefined> {
  try {
    const response = await ask(
      {
        ...about(session),
        method: 'PATCH',
        path: session.url,
        headers: {
          'content-type': 'application/octet-stream',
          'content-length': String(chunk.byteLength),
          'content-range': `${start}-${start + chunk.byteLength - 1}`,
        },
        body: chunk,
        accept: [201, 202, 416],
      },
      options,
    );
    await response.dump();
    return response;
  } catch (error) {
    if (error instanceof RegistryError && (error.code === 'UNREACHABLE' || error.code === 'TIMEOUT'))
      return undefined;
    throw error;
  }
}

/** Cuts a stream into pieces of exactly `size` bytes; the last may be shorter. */
export async function* chunksOf(
  stream: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let held: Uint8Array[] = [];
  let length = 0;
  for await (const piece of stream) {
    let rest = piece;
    while (length + rest.byteLength >= size) {
      const cut = size - length;
      yield Buffer.concat([...held, rest.subarray(0, cut)]);
      rest = rest.subarray(cut);
      held = [];
      length = 0;
    }
    if (rest.byteLength > 0) held.push(rest);
    length += rest.byteLength;
  }
  if (length > 0) yield Buffer.concat(held);
}

function about(session: Session) {
  return { repository: session.repository, action: PUSH, subject: session.subject };
}

/** `0-` and the last byte the registry has; one that has none says `0-0` too. */
function nextOffset(response: HttpResponse): number | undefined {
  const range = /^(?:bytes=)?0-(\d{1,15})$/.exec(String(response.headers.range ?? ''));
  if (range === null) return undefined;
  const last = Number(range[1]);
  return last === 0 ? 0 : last + 1;
}

function stuck(session: Session, offset: number): RegistryError {
  return new RegistryError(
    'UPLOAD_FAILED',
    `${session.subject}: the upload does not get past byte ${offset}`,
  );
}
