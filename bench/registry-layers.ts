// Reading all layers of an image, beside the recipe everyone writes: createGunzip() into tar-stream.
// Both download from the same registry with the same client and compute the same: blob digest, diffID, a SHA-256
// per file.
import { createHash, hash } from 'node:crypto';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import { createGunzip, gunzipSync, gzipSync } from 'node:zlib';
import {
  type BlobSource,
  digestOf,
  parseReference,
  RegistryClient,
  type ResolvedImage,
  resolveImage,
  scanImage,
} from '../packages/registry/src/index.ts';
import { startRegistry } from '../packages/registry/src/testing/index.ts';
import { available, startDockerRegistry } from '../test/services.ts';
import { type ClaimOutcome, judge } from './claim.ts';

const LAYERS = 4;
const LAYER_BYTES = 48 * 2 ** 20;
const ROUNDS = 3;

/** Runs the comparison; returns what came of each claim. */
export async function benchRegistryLayers(print: (line: string) => void): Promise<readonly ClaimOutcome[]> {
  const registry = available('docker-registry') ? await startDockerRegistry() : await startRegistry();
  try {
    const client = new RegistryClient();
    const image = await pushImage(client, registry.host);
    const bytes = LAYERS * LAYER_BYTES;
    const [ours, peer, parallel, floor] = await race([
      () => scanImage(image, { source: client }),
      // As usually written, layer after layer; and as someone would who knows that layers are independent.
      async () => {
        for (const index of image.layers.keys()) await recipe(client, image, index);
      },
      () => Promise.all(image.layers.map((_, index) => recipe(client, image, index))),
      () => work(client, image),
    ] as const);
    const rate = ({ ms }: Measured) => `${Math.round(bytes / 1000 / ms)}MB/s`;
    const cpu = ({ cpuMs }: Measured) => `${Math.round(cpuMs)}ms`;
    const claims = [
      claim('registry.layers-vs-gunzip-tar-stream', rate(ours), rate(peer), peer.ms / ours.ms, 2),
      claim('registry.layers-vs-recipe-in-parallel', rate(ours), rate(parallel), parallel.ms / ours.ms, 1),
      claim('registry.layers-cpu-vs-floor', cpu(ours), cpu(floor), floor.cpuMs / ours.cpuMs, 0.85),
    ];
    for (const { line } of claims) print(line);
    return claims.map(({ outcome }) => outcome);
  } finally {
    await registry.close();
  }
}

interface Measured {
  readonly ms: number;
  /** Processor time of all threads. */
  readonly cpuMs: number;
}

/** The fastest of some rounds of each, by turns, as the machine has other things to do. */
async function race<T extends readonly (() => Promise<unknown>)[]>(
  contenders: T,
): Promise<{ [K in keyof T]: Measured }> {
  const fastest = contenders.map(() => ({ ms: Infinity, cpuMs: Infinity }));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, run] of contenders.entries()) {
      const [start, before] = [performance.now(), process.cpuUsage()];
      await run();
      const { user, system } = process.cpuUsage(before);
      const best = fastest[index]!;
      best.ms = Math.min(best.ms, performance.now() - start);
      best.cpuMs = Math.min(best.cpuMs, (user + system) / 1000);
    }
  }
  return fastest as unknown as { [K in keyof T]: Measured };
}

function claim(name: string, ours: string, peer: string, ratio: number, goal: number) {
  return judge({ name, ours, peer, ratio, goal });
}

/** The usual recipe. */
async function recipe(client: RegistryClient, image: ResolvedImage, index: number): Promise<void> {
  const { extract } = createRequire(new URL('../packages/registry/package.json', import.meta.url))(
    'tar-stream',
  );
  const diffId = createHash('sha256');
  const inflated = Readable.from(client.openBlob(image.reference, image.layers[index]!)).pipe(createGunzip());
  inflated.on('data', (chunk: Buffer) => diffId.update(chunk));
  for await (const entry of inflated.pipe(extract()) as AsyncIterable<AsyncIterable<Buffer>>) {
    const digest = createHash('sha256');
    for await (const chunk of entry) digest.update(chunk);
    digest.digest('hex');
  }
  if (`sha256:${diffId.digest('hex')}` !== image.diffIds[index])
    throw new Error('the recipe read other bytes');
}

/** What no reader can do without: the download, one inflation, and SHA-256 of blob, archive and files. */
async function work(client: RegistryClient, image: ResolvedImage): Promise<void> {
  for (const layer of image.layers) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of client.openBlob(image.reference, layer)) chunks.push(chunk);
    const blob = Buffer.concat(chunks);
    hash('sha256', blob);
    const archive = gunzipSync(blob, { chunkSize: 2 ** 20 });
    hash('sha256', archive);
    hash('sha256', archive);
  }
}

/** Pushes an image of layers that compress about as well as a distribution does; another seed, other bytes. */
export async function pushImage(
  client: RegistryClient,
  host: string,
  { seed = 0, layerBytes = LAYER_BYTES }: { readonly seed?: number; readonly layerBytes?: number } = {},
): Promise<ResolvedImage> {
  const reference = parseReference(`${host}/bench:layers-${seed}`);
  const push = async (bytes: Uint8Array, mediaType: string) => {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
    const source: BlobSource = {
      descriptor,
      async *open() {
        yield bytes;
      },
    };
    await client.pushBlob(reference, source);
    return descriptor;
  };
  const layers = [];
  const diffIds = [];
  for (let index = 0; index < LAYERS; index += 1) {
    const archive = makeArchive(seed + index, layerBytes);
    diffIds.push(digestOf(archive));
    layers.push(
      await push(
        gzipSync(archive, { level: layerBytes > LAYER_BYTES ? 1 : 6 }),
        'application/vnd.oci.image.layer.v1.tar+gzip',
      ),
    );
  }
  const rootfs = { type: 'layers', diff_ids: diffIds };
  const config = { architecture: 'amd64', os: 'linux', config: {}, rootfs };
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: await push(Buffer.from(JSON.stringify(config)), 'application/vnd.oci.image.config.v1+json'),
    layers,
  };
  await client.pushManifest(reference, { bytes: Buffer.from(JSON.stringify(manifest)), mediaType });
  return resolveImage(reference, { source: client });
}

/** An archive of files from 1 KiB to 1 MiB that compresses about as well as a distribution does. */
function makeArchive(seed: number, layerBytes: number): Buffer {
  const archive = Buffer.alloc(layerBytes);
  let state = 0x9e3779b9 + seed;
  const random = (limit: number) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
  const words = Array.from({ length: 4096 }, () => Buffer.from(random(2 ** 31).toString(36)));
  let at = 0;
  for (let file = 0; at < layerBytes - 3 * 2 ** 20; file += 1) {
    const size = 1024 << random(11);
    writeHeader(archive, at, `usr/share/${seed}/file${file}`, size);
    at += 512;
    for (const end = at + size; at < end; ) at += words[random(4096)]!.copy(archive, at, 0, end - at);
  }
  return archive;
}

function writeHeader(archive: Buffer, at: number, name: string, size: number): void {
  archive.write(name, at);
  archive.write('0000644\x000000000\x000000000\0', at + 100);
  archive.write(`${size.toString(8).padStart(11, '0')}\x0000000000000\0        0`, at + 124);
  archive.write('ustar\x0000', at + 257);
  const sum = archive.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148);
}
