import { hostOf } from '../downloads/command.ts';

/** What kind of internal address a URL names; undefined for a public or unknown one. */
export function internalAddress(url: string): string | undefined {
  const host = hostOf(url);
  if (host === undefined) return undefined;
  if (/^(?:metadata\.google\.internal|metadata|instance-data)$/.test(host)) return 'a cloud metadata service';
  const octets = ipv4(host);
  if (octets === undefined) {
    return /^\[(?:fe80|f[cd][0-9a-f]{2}):|^\[::1\]$/.test(host) ? 'a private IPv6 address' : undefined;
  }
  const [a, b] = octets as [number, number];
  if (a === 169 && b === 254) return 'the link-local network, where cloud metadata services answer';
  if (a === 127) return 'the build host itself';
  const isPrivate =
    a === 10 ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168) ||
    (a === 100 && b >= 64 && b < 128);
  return isPrivate ? 'a private network' : undefined;
}

/** IPv4 address as inet_aton reads it: decimal, octal, hexadecimal, short forms, or mapped into IPv6. */
function ipv4(host: string): readonly number[] | undefined {
  const mapped = /^\[::ffff:(?:([0-9a-f]{1,4}):([0-9a-f]{1,4})|([\d.]+))\]$/.exec(host);
  if (mapped !== null) {
    if (mapped[3] !== undefined) return ipv4(mapped[3]);
    return toOctets(Number.parseInt(mapped[1]!, 16) * 65536 + Number.parseInt(mapped[2]!, 16));
  }
  const pieces = host.split('.');
  if (pieces.length > 4 || !pieces.every((piece) => /^(?:0x[0-9a-f]{1,8}|\d{1,11})$/.test(piece)))
    return undefined;
  const numbers = pieces.map((piece) => (/^0\d/.test(piece) ? Number.parseInt(piece, 8) : Number(piece)));
  const last = numbers.pop()!;
  const value = numbers.reduce((sum, number, index) => sum + number * 256 ** (3 - index), last);
  return Number.isFinite(value) && value < 2 ** 32 ? toOctets(value) : undefined;
}

function toOctets(value: number): readonly number[] {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256);
}
