/** Magic number, flags, and what the source was when it was compiled: its time and its size. @see PEP 552 */
const HEADER_BYTES = 16;
const TIME_AT = 8;
const FLAGS_AT = 4;

const CACHED = /^(.*)\/__pycache__\/([^/]+?)\.[a-z]+-?\d+(?:\.opt-[12])?\.pyc$/;

/** The source a path is the compiled form of, when it is one as Python caches it. */
export function pythonSource(path: string): string | undefined {
  const match = CACHED.exec(path);
  return match === null ? undefined : `${match[1]}/${match[2]}.py`;
}

/**
 * Whether two compiled files of Python are the same code, compiled from sources of different times. The code must be the same
 * byte for byte, and Python must either use both or pass over both: it uses one whose source has the time it was compiled for.
 *
 * @param times - modification times of the two sources, in seconds; undefined where there is none
 */
export function sameBytecode(
  original: Buffer,
  rebuilt: Buffer,
  times: { readonly original: number | undefined; readonly rebuilt: number | undefined },
): boolean {
  if (original.length !== rebuilt.length || original.length <= HEADER_BYTES) return false;
  // Other flags: the source is named by its hash, and there is no time.
  if (original.readUInt32LE(FLAGS_AT) !== 0 || original.toString('latin1', 2, 4) !== '\r\n') return false;
  if (isUsed(original, times.original) !== isUsed(rebuilt, times.rebuilt)) return false;
  return (
    original.subarray(0, TIME_AT).equals(rebuilt.subarray(0, TIME_AT)) &&
    original.subarray(TIME_AT + 4).equals(rebuilt.subarray(TIME_AT + 4))
  );
}

/**
 * Whether Python uses a compiled file that is the same in both images in both of them, or in neither: it runs one whose source has the
 * time it was compiled for, whatever that source says.
 *
 * @param times - modification times of the two sources, in seconds; undefined where there is none
 */
export function isUsedAlike(
  compiled: Buffer,
  times: { readonly original: number | undefined; readonly rebuilt: number | undefined },
): boolean {
  if (compiled.length <= HEADER_BYTES || compiled.readUInt32LE(FLAGS_AT) !== 0) return true;
  return isUsed(compiled, times.original) === isUsed(compiled, times.rebuilt);
}

/** As Python counts: whole seconds, in 32 bits without a sign. */
function isUsed(compiled: Buffer, time = Number.NaN): boolean {
  return compiled.readUInt32LE(TIME_AT) === ((Math.trunc(time) % 2 ** 32) + 2 ** 32) % 2 ** 32;
}
