/** `pkgCache::Header::Signature`, little-endian. @see apt, apt-pkg/pkgcache.cc */
const SIGNATURE = 0x98fe76dc;
const HEADER_SIZE_AT = 8;
const MIN_HEADER_BYTES = 64;
/** Three bytes between the sizes of a cache's parts and its counts, which apt leaves as they were in memory. */
const PADDING = [21, 24] as const;
const CHECKSUM_BYTES = 4;
const WORD_BYTES = 8;
/** Lists and releases a cache is made of: each has a time. */
const MAX_TIMES = 1000;
/** Years 2001 to 2106: no offset in a cache is as large, and no text ends in four zero bytes. */
const [FIRST_TIME, LAST_TIME] = [1e9, 2 ** 32];
const CHUNK_BYTES = 4096;

/** Caches that apt makes of its lists. */
export const APT_CACHES: ReadonlySet<string> = new Set([
  '/var/cache/apt/pkgcache.bin',
  '/var/cache/apt/srcpkgcache.bin',
]);

/**
 * Whether two caches of apt differ only in the times of the lists they were made of, in the checksum at the end of the header, and in its
 * padding. Behind the header what differs must be an aligned word that is a time in both: everything a cache says of packages is
 * offsets, sizes and text, which cannot look like that.
 */
export function sameAptCache(original: Buffer, rebuilt: Buffer): boolean {
  const { length } = original;
  if (length !== rebuilt.length || length < MIN_HEADER_BYTES) return false;
  if (original.readUInt32LE(0) !== SIGNATURE) return false;
  const header = original.readUInt16LE(HEADER_SIZE_AT);
  if (header < MIN_HEADER_BYTES || header > length || header % WORD_BYTES !== 0) return false;
  const same = (from: number, to: number) => original.compare(rebuilt, from, to, from, to) === 0;
  if (!same(0, PADDING[0]) || !same(PADDING[1], header - CHECKSUM_BYTES)) return false;
  let times = 0;
  for (const at of differingWords(original, rebuilt, header)) {
    if (at + WORD_BYTES > length || !isTime(original, at) || !isTime(rebuilt, at)) return false;
    times += 1;
    if (times > MAX_TIMES) return false;
  }
  return true;
}

/** Offsets of the aligned words that are not the same; the last word may be cut. */
function* differingWords(original: Buffer, rebuilt: Buffer, from: number): Generator<number> {
  for (let start = from; start < original.length; start += CHUNK_BYTES) {
    const end = Math.min(start + CHUNK_BYTES, original.length);
    if (original.compare(rebuilt, start, end, start, end) === 0) continue;
    for (let at = start; at < end; at += WORD_BYTES) {
      const last = Math.min(at + WORD_BYTES, end);
      if (original.compare(rebuilt, at, last, at, last) !== 0) yield at;
    }
  }
}

function isTime(cache: Buffer, at: number): boolean {
  const seconds = cache.readUInt32LE(at);
  return cache.readUInt32LE(at + 4) === 0 && seconds >= FIRST_TIME && seconds < LAST_TIME;
}
