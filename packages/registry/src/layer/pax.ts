import { invalidArchive } from './tar-header.ts';
import { decodeText } from './tar-text.ts';

/** What the PAX records before an entry say about it; a record with an empty value says nothing. */
export interface PaxRecords {
  path?: string;
  linkPath?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  /** Values in base64. */
  xattrs?: Record<string, string>;
  sparse?: boolean;
}

const XATTR = 'SCHILY.xattr.';

/**
 * Parses the body of a PAX extended header: `<length> <key>=<value>\n`, repeated.
 *
 * @throws {@link RegistryError} `INVALID_LAYER` for a record that is not of that form.
 * @see POSIX pax, "pax Extended Header"
 */
export function parsePax(body: Buffer): PaxRecords {
  const records: PaxRecords = {};
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const digits = space === -1 ? '' : body.toString('latin1', at, Math.min(space, at + 9));
    const end = at + Number(digits);
    const equals = body.indexOf(0x3d, space);
    if (!/^[1-9][0-9]{0,7}$/.test(digits) || end > body.length || body[end - 1] !== 0x0a) {
      throw invalidArchive('a PAX record has a wrong length');
    }
    if (equals === -1 || equals >= end - 1 || equals < space + 2) {
      throw invalidArchive('a PAX record has no key');
    }
    const key = text(body, space + 1, equals, 'key');
    if (equals + 1 < end - 1) setRecord(records, key, body.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

function setRecord(records: PaxRecords, key: string, value: Buffer): void {
  if (key === 'path') records.path = text(value, 0, value.length, key);
  else if (key === 'linkpath') records.linkPath = text(value, 0, value.length, key);
  else if (key === 'size' || key === 'uid' || key === 'gid') records[key] = integer(value, key);
  else if (key === 'mtime') records.mtime = decimal(value, key);
  else if (key.startsWith(XATTR)) {
    // A null prototype, as the names are the image's.
    records.xattrs ??= Object.create(null) as Record<string, string>;
    records.xattrs[key.slice(XATTR.length)] = value.toString('base64');
  } else if (key.startsWith('GNU.sparse.')) records.sparse = true;
}

function text(bytes: Buffer, start: number, end: number, what: string): string {
  if (bytes.subarray(start, end).includes(0)) throw invalidArchive(`a PAX ${what} contains NUL`);
  return decodeText(bytes, start, end);
}

function integer(value: Buffer, key: string): number {
  const digits = value.toString('latin1', 0, 20);
  if (!/^[0-9]{1,16}$/.test(digits) || !Number.isSafeInteger(Number(digits))) {
    throw invalidArchive(`PAX ${key} is not a number in range`);
  }
  return Number(digits);
}

function decimal(value: Buffer, key: string): number {
  const digits = value.toString('latin1', 0, 40);
  if (!/^-?[0-9]{1,15}(?:\.[0-9]{0,20})?$/.test(digits)) throw invalidArchive(`PAX ${key} is not a number`);
  return Number(digits);
}
