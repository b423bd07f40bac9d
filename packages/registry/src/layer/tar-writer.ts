import { BLOCK_BYTES } from './tar-header.ts';
import { encodeText } from './tar-text.ts';
import type { LayerEntry } from './types.ts';

const FLAGS: Readonly<Partial<Record<LayerEntry['type'], string>>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};
/** What seven and eleven octal digits hold. */
const MAX_ID = 0o7777777;
const MAX_NUMBER = 0o77777777777;

/**
 * Encodes the headers of an entry: ustar, with PAX records before it only for what ustar cannot say. The same entry
 * gives the same bytes.
 *
 * @see POSIX pax, "ustar Interchange Format", "pax Interchange Format"
 */
export function encodeEntry(entry: LayerEntry): Buffer {
  const name = encodeText(relativeName(entry));
  const target = entry.linkTarget ?? '';
  const link = encodeText(entry.type === 'hardlink' ? target.slice(1) : target);
  const seconds = Math.floor(entry.mtime);
  const records: Buffer[] = [];
  const note = (needed: boolean, key: string, value: Buffer | string) => {
    if (needed) records.push(encodeRecord(key, Buffer.from(value)));
  };
  note(name.length > 100, 'path', name);
  note(link.length > 100, 'linkpath', link);
  note(entry.uid > MAX_ID, 'uid', String(entry.uid));
  note(entry.gid > MAX_ID, 'gid', String(entry.gid));
  note(entry.size > MAX_NUMBER, 'size', String(entry.size));
  note(seconds !== entry.mtime || seconds < 0 || seconds > MAX_NUMBER, 'mtime', String(entry.mtime));
  for (const [key, value] of Object.entries(entry.xattrs ?? {}).sort(([one], [other]) =>
    one < other ? -1 : 1,
  )) {
    note(true, `SCHILY.xattr.${key}`, Buffer.from(value, 'base64'));
  }
  const header = encodeHeader(
    name,
    FLAGS[entry.type] ?? '0',
    link,
    entry,
    Math.min(Math.max(seconds, 0), MAX_NUMBER),
  );
  if (records.length === 0) return header;
  const body = Buffer.concat(records);
  const about = { mode: 0o644, uid: 0, gid: 0, size: body.length };
  return Buffer.concat([
    encodeHeader(Buffer.from('PaxHeader'), 'x', Buffer.alloc(0), about, 0),
    body,
    padding(body.length),
    header,
  ]);
}

/** The zeros that fill the last block of some content. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** The end of an archive. */
export const END_OF_ARCHIVE: Buffer = Buffer.alloc(2 * BLOCK_BYTES);

function relativeName({ path, type }: LayerEntry): string {
  if (path === '/') return './';
  return type === 'directory' ? `${path.slice(1)}/` : path.slice(1);
}

function encodeHeader(
  name: Buffer,
  flag: string,
  link: Buffer,
  { mode, uid, gid, size, device }: Pick<LayerEntry, 'mode' | 'uid' | 'gid' | 'size' | 'device'>,
  seconds: number,
): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  const put = (at: number, digits: number, value: number) =>
    header.write(`${Math.max(value, 0).toString(8).padStart(digits, '0')}\0`, at, 'latin1');
  name.copy(header, 0, 0, 100);
  put(100, 7, mode);
  put(108, 7, uid > MAX_ID ? 0 : uid);
  put(116, 7, gid > MAX_ID ? 0 : gid);
  put(124, 11, size > MAX_NUMBER ? 0 : size);
  put(136, 11, seconds);
  header.fill(' ', 148, 156);
  header.write(flag, 156, 'latin1');
  link.copy(header, 157, 0, 100);
  header.write('ustar\u000000', 257, 'latin1');
  put(329, 7, device?.major ?? 0);
  put(337, 7, device?.minor ?? 0);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function encodeRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
