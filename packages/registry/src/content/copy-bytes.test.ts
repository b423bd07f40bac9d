// Bytes on their way from a registry into a layout, whose memory is received into again.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestHex, digestOf } from '../digest.ts';
import { type OciLayout, openOciLayout } from '../layout/oci-layout.ts';
import type { Descriptor } from '../oci/types.ts';
import { parseReference, type Repository } from '../reference.ts';
import { RegistryClient } from '../remote/client.ts';
import type { Fault } from '../testing/faults/mischief.ts';
import { pushTestImage } from '../testing/image.ts';
import { startRegistry } from '../testing/registry.ts';
import { copyImage } from './copy.ts';
import { copyBlob } from './copy-blob.ts';
import { blobOf } from './read.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-copy-bytes-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const freshLayout = () => openOciLayout(mkdtempSync(join(directory, 'layout-')), { create: true });

async function pushBytes(client: RegistryClient, repository: Repository, bytes: Uint8Array) {
  const descriptor = { mediaType: 'text/plain', digest: digestOf(bytes), size: bytes.byteLength };
  await client.pushBlob(repository, blobOf(bytes, descriptor));
  return descriptor;
}

const pathOf = (layout: OciLayout, { digest }: Descriptor) =>
  join(layout.directory, 'blobs', 'sha256', digestHex(digest));

function expectNothingOf(layout: OciLayout, blob: Descriptor): void {
  expect(existsSync(pathOf(layout, blob))).toBe(false);
  expect(readdirSync(layout.directory).filter((name) => name.startsWith('.partial'))).toEqual([]);
}

describe('copyImage() into a registry', () => {
  test('sends every byte in its place, though a connection is held up meanwhile', async () => {
    const received = new Map<string, Buffer>();
    const othersArrived = Promise.withResolvers<void>();
    let stalled: string;
    await using from = await startRegistry();
    await using to = await startRegistry({
      intercept: async (request, response) => {
        if (request.method !== 'PUT' || request.url?.includes('/uploads/') !== true) return false;
        const digest = new URL(request.url, to.url).searchParams.get('digest')!;
        if (digest === stalled) await othersArrived.promise;
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk);
        received.set(digest, Buffer.concat(chunks));
        if (received.size === 4) othersArrived.resolve();
        response.writeHead(201).end();
        return true;
      },
    });
    await using client = new RegistryClient();
    const source = parseReference(`${from.host}/slow`);
    const target = parseReference(`${to.host}/slow`);
    // More than the sockets of both sides hold.
    const contents = [32, 8, 8, 8, 8].map((mebibytes) => randomBytes(mebibytes * 2 ** 20 + 7));
    const blobs = await Promise.all(contents.map((content) => pushBytes(client, source, content)));
    stalled = blobs[0]!.digest;
    const options = { source: client, destination: client };
    await Promise.all(blobs.map((blob) => copyBlob(source, target, blob, options)));
    for (const [index, { digest }] of blobs.entries()) {
      expect(received.get(digest)?.equals(contents[index]!)).toBe(true);
    }
  });
});

describe('copyImage() into a layout', () => {
  test('brings many layers, each byte in its place', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const reference = parseReference(`${registry.host}/many:1`);
    const layers = Array.from({ length: 40 }, (_, index) => [
      { path: `file-${index}`, content: randomBytes(1 + ((index * 379_733) % 1_500_000)) },
    ]);
    const image = await pushTestImage(client, reference, { layers });
    const layout = await freshLayout();
    const report = await copyImage(reference, reference, {
      ...{ source: client, destination: layout, concurrency: 8 },
    });
    expect(report.blobs.uploaded).toBe(41);
    for (const layer of image.layers) {
      expect(digestOf(readFileSync(pathOf(layout, layer)))).toBe(layer.digest);
    }
  });

  test('leaves the bytes alone that somebody else is reading', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const repository = parseReference(`${registry.host}/beside`);
    const layout = await freshLayout();
    const held = randomBytes(5 * 2 ** 20);
    const heldBlob = await pushBytes(client, repository, held);
    const copied = await Promise.all(
      Array.from({ length: 6 }, () => pushBytes(client, repository, randomBytes(3 * 2 ** 20))),
    );
    const chunks: Uint8Array[] = [];
    const copies = copied.map((blob) =>
      copyBlob(repository, repository, blob, { source: client, destination: layout }),
    );
    for await (const chunk of client.openBlob(repository, heldBlob)) chunks.push(chunk);
    await Promise.all(copies);
    expect(Buffer.concat(chunks).equals(held)).toBe(true);
  });

  test('leaves the bytes alone that a source of the caller keeps', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const repository = parseReference(`${registry.host}/kept`);
    const layout = await freshLayout();
    const kept: Uint8Array[] = [];
    const contents = Array.from({ length: 8 }, () => randomBytes(2 * 2 ** 20));
    for (const content of contents) {
      const descriptor = await pushBytes(client, repository, content);
      const open = async function* () {
        for await (const chunk of client.openBlob(repository, descriptor)) {
          kept.push(chunk);
          yield chunk;
        }
      };
      await layout.pushBlob(repository, { descriptor, open });
    }
    expect(Buffer.concat(kept).equals(Buffer.concat(contents))).toBe(true);
  });

  test('goes on after cuts, with the same bytes', async () => {
    await using registry = await startRegistry({ faults: ['cut-blobs'] });
    await using client = new RegistryClient({ baseDelayMs: 1 });
    const repository = parseReference(`${registry.host}/cut`);
    const content = randomBytes(3 * 2 ** 20 + 7);
    const blob = await pushBytes(client, repository, content);
    const layout = await freshLayout();
    await copyBlob(repository, repository, blob, { source: client, destination: layout });
    expect(readFileSync(pathOf(layout, blob)).equals(content)).toBe(true);
  });

  test.each<[Fault, string]>([
    ['other-bytes', 'DIGEST_MISMATCH'],
    ['wrong-size', 'SIZE_MISMATCH'],
    ['cut-blobs-always', 'UNREACHABLE'],
  ])('keeps nothing of a large blob with the fault %s', async (fault, code) => {
    await using registry = await startRegistry();
    await using client = new RegistryClient({ baseDelayMs: 1 });
    const repository = parseReference(`${registry.host}/wrong`);
    const blob = await pushBytes(client, repository, randomBytes(4 * 2 ** 20));
    registry.misbehave(fault);
    const layout = await freshLayout();
    const copy = copyBlob(repository, repository, blob, { source: client, destination: layout });
    await expect(copy).rejects.toMatchObject({ code });
    expectNothingOf(layout, blob);
  });

  test('keeps nothing when it is stopped half-way', async () => {
    const content = randomBytes(8 * 2 ** 20);
    const reason = new Error('enough');
    const controller = new AbortController();
    await using registry = await startRegistry({
      intercept: (request, response) => {
        if (request.method !== 'GET' || request.url?.includes('/blobs/') !== true) return false;
        response.writeHead(200, { 'content-length': content.byteLength });
        // The second half never comes.
        response.write(content.subarray(0, content.byteLength / 2), () => controller.abort(reason));
        return true;
      },
    });
    await using client = new RegistryClient();
    const repository = parseReference(`${registry.host}/half`);
    const blob = await pushBytes(client, repository, content);
    const layout = await freshLayout();
    const { signal } = controller;
    const copy = copyBlob(repository, repository, blob, { source: client, destination: layout, signal });
    await expect(copy).rejects.toBe(reason);
    expectNothingOf(layout, blob);
  });
});
