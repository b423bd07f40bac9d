/** `pkgCache::Header::Signature`, little-endian. @see apt, apt-pkg/pkgcache.cc */
const SIGNATURE = 0x98fe76dc;
/** Where the header ends at the latest, and its one checksum with it. */
const HEADER_BYTES = 1024;
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
 * Whether two caches of apt differ only in the times of the lists they were made of, and in the checksum over those. What differs
 * must be an aligned word that is a time in both, or one half of a word in the header: everything a cache says of packages is offsets,
 * sizes and text, which cannot look like that.
 */
export function sameAptCache(original: Buffer, rebuilt: Buffer): boolean {
  const { length } = original;
  if (length !== rebuilt.length || length < HEADER_BYTES) return false;
  if (original.readUInt32LE(0) !== SIGNATURE || rebuilt.readUInt32LE(0) !== SIGNATURE) return false;
  let checksums = 0;
  let times = 0;
  for (const at of differingWords(original, rebuilt)) {
    if (at < HEADER_BYTES) {
      const halves = [0, 4].filter(
        (half) => original.readUInt32LE(at + half) !== rebuilt.readUInt32LE(at + half),
      );
      checksums += halves.length;
    } else {
      if (at + WORD_BYTES > length || !isTime(original, at) || !isTime(rebuilt, at)) return false;
      times += 1;
    }
    if (checksums > 1 || times > MAX_TIMES) return false;
  }
  return true;
}

/** Offsets of the aligned words that are not the same; the last word may be cut. */
function* differingWords(original: Buffer, rebuilt: Buffer): Generator<number> {
  for (let start = 0; start < original.length; start += CHUNK_BYTES) {
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
