/** A field's value: text, bytes, a number, or nested fields. */
export type ProtobufValue = string | Uint8Array | number | ProtobufMessage;

/** A message to encode: field numbers with their values, in order. */
export type ProtobufMessage = readonly (readonly [field: number, value: ProtobufValue])[];

/** Encodes a message. Numbers are varints; maps are repeated messages of key 1 and value 2. @see protobuf.dev, "Encoding" */
export function encodeMessage(message: ProtobufMessage): Buffer {
  return Buffer.concat(
    message.flatMap(([field, value]) => {
      if (typeof value === 'number') return [varint(field * 8), varint(value)];
      const bytes =
        typeof value === 'string'
          ? Buffer.from(value)
          : value instanceof Uint8Array
            ? value
            : encodeMessage(value);
      return [varint(field * 8 + 2), varint(bytes.length), bytes];
    }),
  );
}

/** A map of texts as the repeated field it is on the wire. */
export function mapField(field: number, entries: Readonly<Record<string, string>>): ProtobufMessage {
  return Object.entries(entries).map(
    ([key, value]) =>
      [
        field,
        [
          [1, key],
          [2, value],
        ],
      ] as const,
  );
}

/** The length-delimited fields of a message, as far as it can be read. */
export function* fieldsOf(bytes: Buffer): Generator<readonly [field: number, value: Buffer]> {
  let position = 0;
  const read = (): number => {
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
    const key = read();
    const wireType = key % 8;
    if (wireType === 0) read();
    else if (wireType === 1) position += 8;
    else if (wireType === 5) position += 4;
    else if (wireType === 2) {
      const length = read();
      if (length > bytes.length - position) return;
      yield [Math.floor(key / 8), bytes.subarray(position, position + length)];
      position += length;
    } else return;
  }
}

/** A map of texts. */
export function mapOf(bytes: Buffer, field: number): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (const [number, entry] of fieldsOf(bytes)) {
    if (number !== field) continue;
    const own = new Map(fieldsOf(entry));
    map.set(own.get(1)?.toString('utf8') ?? '', own.get(2)?.toString('utf8') ?? '');
  }
  return map;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) + 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
