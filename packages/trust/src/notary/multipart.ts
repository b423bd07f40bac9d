import { randomBytes } from 'node:crypto';

/** A file of a publish: the role and its exact bytes. */
export interface PublishPart {
  readonly role: string;
  readonly bytes: Uint8Array;
}

/** Writes the body of a publish as notary-server wants it: one file per role, the role as its file name. */
export function encodeMultipart(parts: readonly PublishPart[]): { contentType: string; body: Buffer } {
  const boundary = randomBytes(30).toString('hex');
  const chunks = parts.flatMap(({ role, bytes }) => [
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="files"; filename="${role}"\r\n` +
        'Content-Type: application/octet-stream\r\n\r\n',
    ),
    bytes,
    Buffer.from('\r\n'),
  ]);
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    body: Buffer.concat([...chunks, Buffer.from(`--${boundary}--\r\n`)]),
  };
}
