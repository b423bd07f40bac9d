import { TrustError } from '../errors.ts';

/** A PEM block: label, headers and bytes. */
export interface PemBlock {
  readonly label: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
}

/**
 * Reads every PEM block of a text. Other headers than OpenSSL's may come first, which OpenSSL itself refuses.
 *
 * @throws {@link TrustError} `INVALID_KEY` for a block that does not end or is not base64.
 */
export function parsePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let block: { label: string; headers: Record<string, string>; body: string } | undefined;
  for (const line of text.split('\n').map((part) => part.trim())) {
    if (block === undefined) {
      if (line.startsWith('-----BEGIN ') && line.endsWith('-----')) {
        block = { label: line.slice(11, -5), headers: Object.create(null), body: '' };
      }
    } else if (line === `-----END ${block.label}-----`) {
      blocks.push({ label: block.label, headers: block.headers, bytes: decodeBody(block.body) });
      block = undefined;
    } else if (line.includes(':') && block.body === '') {
      const colon = line.indexOf(':');
      block.headers[line.slice(0, colon).trim()] = line.slice(colon + 1).trim();
    } else {
      block.body += line;
    }
  }
  if (block !== undefined) throw new TrustError('INVALID_KEY', `read PEM: block ${block.label} does not end`);
  return blocks;
}

/** Writes a PEM block as Go does: headers sorted by name, an empty line after them, 64 columns. */
export function writePem(
  label: string,
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): string {
  const names = Object.keys(headers).sort();
  const head = names.length === 0 ? [] : [...names.map((name) => `${name}: ${headers[name]}`), ''];
  const body =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `${[`-----BEGIN ${label}-----`, ...head, ...body, `-----END ${label}-----`].join('\n')}\n`;
}

function decodeBody(body: string): Uint8Array {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(body))
    throw new TrustError('INVALID_KEY', 'read PEM: body is not base64');
  return Buffer.from(body, 'base64');
}
