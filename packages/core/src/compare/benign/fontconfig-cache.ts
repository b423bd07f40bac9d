/** Bytes of a file that say when it was made, and nothing else. */
type Span = readonly [start: number, end: number];

const FONTCONFIG_MAGIC = 0xfc02fc04;
/** Modification time of the directory of fonts: seconds as an int, nanoseconds as an int64. */
const FONTCONFIG_TIMES: readonly Span[] = [
  [48, 52],
  [56, 64],
];

/**
 * Whether two caches of fontconfig, of 64-bit little-endian machines, differ only in the time of the directory they are of.
 *
 * @see fontconfig, src/fcint.h, `struct _FcCache`
 */
export function sameFonts(original: Buffer, rebuilt: Buffer): boolean {
  return (
    original.length >= 64 &&
    original.readUInt32LE(0) === FONTCONFIG_MAGIC &&
    sameBut(original, rebuilt, FONTCONFIG_TIMES)
  );
}

function sameBut(original: Buffer, rebuilt: Buffer, spans: readonly Span[]): boolean {
  if (original.length !== rebuilt.length) return false;
  const [one, other] = [Buffer.from(original), Buffer.from(rebuilt)];
  for (const [start, end] of spans) {
    one.fill(0, start, end);
    other.fill(0, start, end);
  }
  return one.equals(other);
}
