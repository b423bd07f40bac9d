import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sameDnfLog } from './dnf-log.ts';

const log = (time: string, took: number, size: string, width: number) =>
  Buffer.from(
    [
      `${time} INFO --- logging initialized ---`,
      `${time} DDEBUG timer: config: ${took} ms`,
      `${time} DDEBUG Command: dnf -y install tool `,
      `${time} DEBUG my: using metadata from Sun Nov 29 00:24:${10 + (took % 50)} 2026.`,
      `${time} INFO Last metadata expiration check: 0:00:0${took % 10} ago on Sun 29 Nov 2026 12:24:19 AM UTC.`,
      `${time} INFO ${'='.repeat(width)}`,
      ` tool   ${' '.repeat(width % 7)}noarch   1:2.0-3    my    ${size}`,
      `${time} INFO Total size: ${size}`,
      '',
    ].join('\n'),
  );
const one = log('2026-11-29T00:24:19+0000', 6, '6.4 k', 80);

describe('sameDnfLog()', () => {
  test('sameDnfLog() takes times, durations, sizes and widths for no difference', () => {
    expect(sameDnfLog(one, log('2026-12-01T10:00:00Z', 77, '12 M', 91))).toBe(true);
  });

  test.each([
    ['tool', 'evil'],
    ['1:2.0-3', '1:2.0-4'],
    ['INFO ---', 'WARN ---'],
    ['using metadata from Sun', 'using metadata from http://x Sun'],
    ['config: 6 ms', 'config: six ms'],
  ])('sameDnfLog() sees %s become %s', (from, to) => {
    expect(sameDnfLog(one, Buffer.from(one.toString().replace(from, to)))).toBe(false);
  });

  test('sameDnfLog() of any bytes answers', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.nat(one.length), (bytes, at) => {
        const altered = Buffer.concat([one.subarray(0, at), bytes, one.subarray(at)]);
        const readable = bytes.filter((byte) => byte > 32 && byte < 127);
        if (readable.length > 20) expect(sameDnfLog(one, altered)).toBe(false);
        expect(typeof sameDnfLog(one, altered)).toBe('boolean');
      }),
    );
  });
});
