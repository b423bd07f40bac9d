import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import {
  type Digest,
  digestOf,
  type ExecutionConfig,
  type Fetcher,
  type ResolvedImage,
} from '@imagevet/registry';
import { type Header, pack } from 'tar-stream';
import { compareImages } from '../compare-images.ts';
import type { Comparison } from '../types.ts';

/** Content of a file, or an entry of a tar with it. */
export type Item = string | (Partial<Header> & { content?: string | Buffer });
export type Files = Readonly<Record<string, Item>>;

/** An image whose blobs are in memory. */
export interface MemoryImage {
  readonly image: ResolvedImage;
  readonly source: Pick<Fetcher, 'openBlob'>;
  /** Digests of the blobs that were opened. */
  readonly opened: Digest[];
}

/** An image of the given layers; `time` is when all its files were made. */
export async function build(
  layers: readonly Files[],
  options: {
    time?: number;
    execution?: ExecutionConfig;
    labels?: Record<string, string>;
    level?: number;
    history?: ResolvedImage['history'];
  } = {},
): Promise<MemoryImage> {
  const { time = 1, execution = {}, level, history = [] } = options;
  const blobs = new Map<Digest, Buffer>();
  const opened: Digest[] = [];
  const tars = await Promise.all(layers.map((files) => archive(files, time)));
  const descriptor = (mediaType: string, bytes: Buffer) => {
    blobs.set(digestOf(bytes), bytes);
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const blobsOf = tars.map((tar) =>
    descriptor('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(tar, { level })),
  );
  const identity = JSON.stringify([blobsOf, execution]);
  const image: ResolvedImage = {
    reference: { registry: 'registry.test', repository: 'app', tag: 'v1' },
    manifest: descriptor('application/vnd.oci.image.manifest.v1+json', Buffer.from(identity)),
    config: descriptor('application/vnd.oci.image.config.v1+json', Buffer.from(`config ${identity}`)),
    layers: blobsOf,
    platform: { os: 'linux', architecture: 'amd64' },
    diffIds: tars.map((tar) => digestOf(tar)),
    history,
    annotations: {},
    labels: {},
    execution,
  };
  const source: Pick<Fetcher, 'openBlob'> = {
    async *openBlob(_, { digest }) {
      opened.push(digest);
      yield blobs.get(digest)!;
    },
  };
  return { image, source, opened };
}

async function archive(files: Files, time: number): Promise<Buffer> {
  const tar = pack();
  for (const [name, item] of Object.entries(files)) {
    const { content = '', ...header } = typeof item === 'string' ? { content: item } : item;
    tar.entry({ name: name.slice(1), mtime: new Date(time * 1000), ...header }, content);
  }
  tar.finalize();
  return buffer(tar);
}

/** Compares two images in memory. */
export async function compare(
  original: MemoryImage,
  rebuilt: MemoryImage,
  options: { maxDifferences?: number; dockerfile?: { text: string } } = {},
): Promise<Comparison> {
  return compareImages(original.image, rebuilt.image, {
    originalSource: original.source,
    rebuiltSource: rebuilt.source,
    ...options,
  });
}
