const MAGIC = 'glibc-ld.so.auxcache-2.0';
const HEADER_BYTES = 32;
const ENTRY_BYTES = 48;

/**
 * Whether two auxiliary caches of ldconfig list the same libraries. Each entry also has inode, device and change
 * time of the file and four uninitialised bytes; only those may differ, and with them the order.
 *
 * @see glibc, elf/cache.c, `struct aux_cache_file`
 */
export function sameLibraries(original: Buffer, rebuilt: Buffer): boolean {
  const [one, other] = [libraries(original), libraries(rebuilt)];
  return one !== undefined && other !== undefined && one.join('\n') === other.join('\n');
}

/** Size, flags, ABI level and name of each library, sorted; `undefined` when the bytes are no such cache. */
function libraries(cache: Buffer): string[] | undefined {
  if (cache.length < HEADER_BYTES || cache.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
  const count = cache.readUInt32LE(24);
  const strings = HEADER_BYTES + count * ENTRY_BYTES;
  if (cache.length !== strings + cache.readUInt32LE(28)) return undefined;
  const entries: string[] = [];
  let namedBytes = 0;
  const seen = new Set<number>();
  for (let at = HEADER_BYTES; at < strings; at += ENTRY_BYTES) {
    const name = cache.readUInt32LE(at + 36);
    const end = cache.indexOf(0, strings + name);
    if (end === -1) return undefined;
    if (!seen.has(name)) namedBytes += end + 1 - strings - name;
    seen.add(name);
    const text = cache.toString('latin1', strings + name, end);
    entries.push(
      [cache.readBigUInt64LE(at + 16), cache.readUInt32LE(at + 32), cache.readUInt32LE(at + 40), text].join(
        ' ',
      ),
    );
  }
  // Nothing may hide between the names; offset 0 is an empty one.
  return namedBytes + 1 < cache.length - strings ? undefined : entries.sort();
}
