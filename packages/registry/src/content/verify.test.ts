import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { VerifiedStream, verified } from './verify.ts';

const content = Buffer.from('one two three');
const descriptor = { mediaType: 'text/plain', digest: digestOf(content), size: content.byteLength };

async function* chunks(...parts: readonly string[]) {
  for (const part of parts) yield Buffer.from(part);
}
const right = () => chunks('one ', 'two ', 'three');
const wrong = () => chunks('one ', 'two ', 'THREE');

async function read(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

describe('verified()', () => {
  test('passes on what its descriptor names, and nothing else', async () => {
    expect(await read(verified(right(), descriptor, 'it'))).toBe(content.toString());
    const code = (code: string) => expect.objectContaining({ code });
    await expect(read(verified(wrong(), descriptor, 'it'))).rejects.toEqual(code('DIGEST_MISMATCH'));
    await expect(read(verified(chunks('one'), descriptor, 'it'))).rejects.toEqual(code('SIZE_MISMATCH'));
    await expect(read(verified(chunks('x'.repeat(99)), descriptor, 'it'))).rejects.toEqual(
      code('SIZE_MISMATCH'),
    );
  });

  test('withholds the last chunk until it knows', async () => {
    const seen: string[] = [];
    await expect(async () => {
      for await (const chunk of verified(wrong(), descriptor, 'it')) seen.push(Buffer.from(chunk).toString());
    }).rejects.toThrow();
    expect(seen).toEqual(['one ', 'two ']);
  });

  test('hashes nothing twice', async () => {
    // Says it was hashed when it was not: the only way to see that it is believed.
    const believed = new VerifiedStream(wrong(), descriptor);
    expect(await read(verified(believed, descriptor, 'it'))).toBe('one two THREE');
  });

  test('hashes again what was verified as something else', async () => {
    const other = { ...descriptor, digest: digestOf('one two THREE') };
    const stream = verified(wrong(), other, 'other');
    await expect(read(verified(stream, descriptor, 'it'))).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
  });

  test('refuses what somebody began to read', async () => {
    const stream = verified(right(), descriptor, 'it');
    await stream[Symbol.asyncIterator]().next();
    await expect(read(verified(stream, descriptor, 'it'))).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  test('is read once: the second time it would end without a byte, as if that were the blob', async () => {
    const stream = verified(right(), descriptor, 'it');
    expect(await read(stream)).toBe(content.toString());
    await expect(read(stream)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      hint: expect.stringContaining('Open the blob again'),
    });
  });

  test('believes no stream that only looks verified', async () => {
    const stream = verified(right(), descriptor, 'it');
    const imitation = Object.create(stream, { [Symbol.asyncIterator]: { value: wrong } });
    await expect(read(verified(imitation, descriptor, 'it'))).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
    Object.assign(stream, { [Symbol.asyncIterator]: wrong });
    expect(await read(verified(stream, descriptor, 'it'))).toBe(content.toString());
  });
});
