import type { PublishPart } from '../notary/multipart.ts';

/** Reads the files of a publish; `undefined` when the body is not multipart. A trailing `.json` of a name is dropped. */
export function decodeMultipart(contentType: string, body: Buffer): PublishPart[] | undefined {
  const boundary = /^multipart\/form-data;.*boundary="?([^";]{1,70})"?/i.exec(contentType)?.[1];
  if (boundary === undefined) return undefined;
  const delimiter = Buffer.from(`--${boundary}`);
  const parts: PublishPart[] = [];
  for (let at = body.indexOf(delimiter); at >= 0; ) {
    const start = at + delimiter.length;
    if (body.subarray(start, start + 2).toString('latin1') === '--') return parts;
    const next = body.indexOf(delimiter, start);
    if (next < 0) return undefined;
    // CRLF after the delimiter and before the next one belong to the frame.
    const part = body.subarray(start + 2, next - 2);
    const split = part.indexOf('\r\n\r\n');
    const role = /filename="([^"]*)"/i.exec(part.subarray(0, Math.max(split, 0)).toString('utf8'))?.[1];
    if (split < 0 || role === undefined) return undefined;
    parts.push({ role: role.replace(/\.json$/, ''), bytes: part.subarray(split + 4) });
    at = next;
  }
  return undefined;
}
