/** What a BuildKit trace message tells: steps that were begun or ended, and what they printed. */
export interface BuildkitTrace {
  readonly vertexes: readonly { readonly digest: string; readonly name: string; readonly error?: string }[];
  readonly logs: readonly { readonly vertex: string; readonly bytes: Uint8Array }[];
}

/**
 * Decodes the `aux` of a `moby.buildkit.trace` message: a protobuf `StatusResponse`. What cannot be decoded is left out.
 *
 * @see moby/buildkit, api/services/control/control.proto
 */
export function decodeBuildkitTrace(aux: unknown): BuildkitTrace {
  const vertexes: BuildkitTrace['vertexes'][number][] = [];
  const logs: BuildkitTrace['logs'][number][] = [];
  const bytes = typeof aux === 'string' ? Buffer.from(aux, 'base64') : Buffer.alloc(0);
  for (const [field, value] of fieldsOf(bytes)) {
    if (field === 1) {
      const own = new Map(fieldsOf(value));
      const error = own.get(7)?.toString('utf8') ?? '';
      vertexes.push({
        digest: own.get(1)?.toString('utf8') ?? '',
        name: own.get(3)?.toString('utf8') ?? '',
        ...(error === '' ? {} : { error }),
      });
    } else if (field === 3) {
      const own = new Map(fieldsOf(value));
      logs.push({ vertex: own.get(1)?.toString('utf8') ?? '', bytes: own.get(4) ?? Buffer.alloc(0) });
    }
  }
  return { vertexes, logs };
}

/** The length-delimited fields of a message, as far as it can be read. */
function* fieldsOf(bytes: Buffer): Generator<readonly [field: number, value: Buffer]> {
  let position = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 10; shift += 1) {
      const byte = bytes[position] ?? 0;
      position += 1;
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) break;
    }
    return value;
  };
  while (position < bytes.length) {
    const key = varint();
    const wireType = key % 8;
    if (wireType === 0) varint();
    else if (wireType === 1) position += 8;
    else if (wireType === 5) position += 4;
    else if (wireType === 2) {
      const length = varint();
      if (length > bytes.length - position) return;
      yield [Math.floor(key / 8), bytes.subarray(position, position + length)];
      position += length;
    } else return;
  }
}
