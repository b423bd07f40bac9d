/** An archive entry as no well-behaved writer makes it, for tests. */
export interface RawHeader {
  readonly name: string;
  readonly flag?: string;
  /** Octal text, or the 12 bytes themselves. */
  readonly size?: string | Buffer;
  readonly mode?: string;
  readonly uid?: string;
  readonly linkName?: string;
  readonly major?: string;
  readonly magic?: string;
  readonly checksum?: string;
  readonly body?: Buffer | string;
  readonly encoding?: 'latin1';
}

/** Makes a header and its content, with a checksum that fits whatever the fields say. */
export function entry({ name, flag = '0', body = '', ...fields }: RawHeader): Buffer {
  const content = Buffer.from(body);
  const header = Buffer.alloc(512);
  const put = (at: number, text: string | Buffer) => Buffer.from(text).copy(header, at);
  put(0, name);
  put(100, fields.mode ?? '0000644\0');
  put(108, Buffer.from(fields.uid ?? '0000000\0', fields.encoding));
  put(116, '0000000\0');
  put(124, fields.size ?? `${content.length.toString(8).padStart(11, '0')}\0`);
  put(136, '00000000000\0');
  put(148, ' '.repeat(8));
  put(156, flag);
  put(157, fields.linkName ?? '');
  put(257, fields.magic ?? 'ustar\x0000');
  put(329, fields.major ?? '0000000\0');
  put(337, '0000000\0');
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, fields.checksum ?? `${sum.toString(8).padStart(6, '0')}\0 `);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

/** The end of an archive. */
export const end: Buffer = Buffer.alloc(1024);
/** Makes an extension header of PAX records. */
export function pax(...records: string[]): Buffer {
  return entry({ name: 'pax', flag: 'x', body: records.join('') });
}

/** Makes one PAX record. */
export function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  const digits = String(bytes + String(bytes).length).length;
  return `${bytes + digits}${rest}`;
}
