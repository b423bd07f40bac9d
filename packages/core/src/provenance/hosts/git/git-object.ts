import { createHash } from 'node:crypto';

/** Computes the id git gives to content, by the hash its repository uses. */
export function blobId(content: Uint8Array, like: string): string {
  return createHash(like.length === 64 ? 'sha256' : 'sha1')
    .update(`blob ${content.byteLength}\0`)
    .update(content)
    .digest('hex');
}
