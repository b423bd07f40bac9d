import { invalidDatabase } from './database-error.ts';

/** One value of a header, as stored: numbers are big-endian, texts end in a zero byte. */
export interface RpmValue {
  readonly type: number;
  readonly count: number;
  readonly data: Buffer;
}

/** What rpm keeps of one package: values by tag. */
export type RpmHeader = ReadonlyMap<number, RpmValue>;

/** Numbers of the tags that are read. @see rpm, include/rpm/rpmtag.h */
export const RPM_TAG = {
  name: 1000,
  version: 1001,
  release: 1002,
  epoch: 1003,
  installTime: 1008,
  architecture: 1022,
  oldFileNames: 1027,
  fileStates: 1029,
  fileModes: 1030,
  fileDigests: 1035,
  fileLinkTargets: 1036,
  fileFlags: 1037,
  sourceRpm: 1044,
  directoryIndexes: 1116,
  baseNames: 1117,
  directoryNames: 1118,
  installTransaction: 1128,
  fileDigestAlgorithm: 5011,
} as const;

const MAX_TAGS = 0xffff;
const MAX_DATA_BYTES = 0x0fffffff;
const ENTRY_BYTES = 16;
/** Tags below are of rpm itself: where the part begins that was signed. */
const FIRST_TAG = 100;
/** Bytes of one number, by type: char, int8, int16, int32, int64, and 7 for bytes. */
const SIZES: Readonly<Record<number, number>> = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1 };
const [STRING, STRINGS, TRANSLATIONS] = [6, 8, 9] as const;

/**
 * Reads the header of a package as rpm stores it in its database, without magic. A tag that was added at installation replaces one of the
 * package. The values must follow each other without overlap, as rpm wants it too.
 *
 * @throws {@link CoreError} `PACKAGE_DATABASE_INVALID`
 * @see rpm, docs/manual/format_header.md
 */
export function parseRpmHeader(blob: Buffer): RpmHeader {
  if (blob.length < 8) throw invalidDatabase('a header shorter than its sizes');
  const [tags, size] = [blob.readUInt32BE(0), blob.readUInt32BE(4)];
  const start = 8 + tags * ENTRY_BYTES;
  if (tags === 0 || tags > MAX_TAGS || size > MAX_DATA_BYTES || start + size !== blob.length) {
    throw invalidDatabase(`a header of ${blob.length} bytes with ${tags} tags and ${size} bytes of data`);
  }
  const data = blob.subarray(start);
  const values = new Map<number, RpmValue>();
  let end = 0;
  for (let at = 8; at < start; at += ENTRY_BYTES) {
    const tag = blob.readUInt32BE(at);
    // The first entry may be a region: its data is a trailer behind the entries it holds.
    if (at === 8 && tag < FIRST_TAG) continue;
    const [type, offset, count] = [
      blob.readUInt32BE(at + 4),
      blob.readUInt32BE(at + 8),
      blob.readUInt32BE(at + 12),
    ];
    if (tag < FIRST_TAG || offset < end || offset > data.length || count === 0 || count > data.length) {
      throw invalidDatabase(`tag ${tag} at ${offset} of a header`);
    }
    end = endOf(data, offset, type, count);
    values.set(tag, { type, count, data: data.subarray(offset, end) });
  }
  return values;
}

/** The text of a tag, or the first of several. */
export function rpmText(header: RpmHeader, tag: number): string | undefined {
  const value = header.get(tag);
  if (value === undefined || !isText(value.type)) return undefined;
  return value.data.toString('utf8', 0, value.data.indexOf(0));
}

/** The texts of a tag; empty when it is absent. */
export function rpmTexts(header: RpmHeader, tag: number): readonly string[] {
  const value = header.get(tag);
  if (value === undefined || !isText(value.type)) return [];
  return value.data.toString('utf8', 0, value.data.length - 1).split('\0');
}

/** The numbers of a tag, unsigned and of at most 32 bits; empty when it is absent. */
export function rpmNumbers(header: RpmHeader, tag: number): readonly number[] {
  const { type, count, data } = header.get(tag) ?? { type: 0, count: 0, data: Buffer.alloc(0) };
  const size = SIZES[type] ?? 8;
  if (size > 4) return [];
  return Array.from({ length: count }, (_, index) => data.readUIntBE(index * size, size));
}

function isText(type: number): boolean {
  return type === STRING || type === STRINGS || type === TRANSLATIONS;
}

function endOf(data: Buffer, offset: number, type: number, count: number): number {
  let end = offset;
  const size = SIZES[type];
  if (size !== undefined) end += size * count;
  else if (isText(type)) {
    for (let left = type === STRING ? 1 : count; left > 0; left -= 1) {
      const zero = data.indexOf(0, end);
      if (zero === -1) throw invalidDatabase('a text of a header without end');
      end = zero + 1;
    }
  } else throw invalidDatabase(`type ${type} in a header`);
  if (end > data.length) throw invalidDatabase('a value leaves its header');
  return end;
}
