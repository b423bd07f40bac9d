import { gzipSync } from 'node:zlib';
import type { Pusher } from '../content/interfaces.ts';
import { blobOf } from '../content/read.ts';
import { type Digest, digestOf } from '../digest.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor } from '../oci/types.ts';
import type { ImageReference } from '../reference.ts';
import { end, entry, pax, record } from './raw-tar.ts';

/** An image that means harm, by name; {@link listHostileImages} says what each holds. */
export type HostileImage = HostileLayer | 'wrong-diff-id' | 'foreign-layer';

/** What a layer of a hostile image holds. */
export type HostileLayer =
  | 'path-escape'
  | 'absolute-path'
  | 'pax-path-escape'
  | 'symlink-escape'
  | 'hardlink-escape'
  | 'whiteout-escape'
  | 'device-nodes'
  | 'set-user-id'
  | 'name-collisions'
  | 'path-twice'
  | 'names-disagree'
  | 'negative-size'
  | 'sparse-file'
  | 'extension-bomb'
  | 'gzip-bomb'
  | 'zstd-bomb'
  | 'truncated'
  | 'trailing-data';

/** The layer of each image: an archive, or compressed bytes that are none. */
const LAYERS: Readonly<Record<HostileLayer, readonly [holds: string, make: () => Layer]>> = {
  'path-escape': ['a file above the root', () => tar(entry({ name: '../../etc/cron.d/evil' }))],
  'absolute-path': ['a file at an absolute path', () => tar(entry({ name: '/etc/cron.d/evil' }))],
  'pax-path-escape': [
    'an extension header that moves a file above the root',
    () => tar(pax(record('path', '../../evil')), entry({ name: 'harmless' })),
  ],
  'symlink-escape': [
    'a symbolic link out of the root, and a file below it',
    () =>
      tar(
        entry({ name: 'out', flag: '2', linkName: '/tmp' }),
        entry({ name: 'out/evil', body: 'evil' }),
        entry({ name: 'chain', flag: '2', linkName: 'out/..' }),
        entry({ name: 'chain/evil', body: 'evil' }),
      ),
  ],
  'hardlink-escape': [
    'a hard link to a file above the root',
    () => tar(entry({ name: 'shadow', flag: '1', linkName: '../../etc/shadow' })),
  ],
  'whiteout-escape': ['a whiteout of the parent directory', () => tar(entry({ name: 'etc/.wh...' }))],
  'device-nodes': [
    'devices and a pipe, one of them a whiteout to overlayfs',
    () =>
      tar(
        entry({ name: 'mem', flag: '3', major: '0000001\0' }),
        entry({ name: 'whiteout', flag: '3' }),
        entry({ name: 'disk', flag: '4', major: '0000010\0' }),
        entry({ name: 'pipe', flag: '6' }),
      ),
  ],
  'set-user-id': [
    'a program that runs as root',
    () => tar(entry({ name: 'su', mode: '0006755\0', body: '#!/bin/sh' })),
  ],
  'name-collisions': [
    'names that differ in case or Unicode form only',
    () =>
      tar(
        ...['a', 'A', '\u00e9', 'e\u0301', 'stra\u00dfe', 'STRASSE'].map((name) =>
          entry({ name, body: name }),
        ),
      ),
  ],
  'path-twice': [
    'one path twice, with other content',
    () => tar(entry({ name: 'a', body: 'first' }), entry({ name: './a', body: 'last' })),
  ],
  'names-disagree': [
    'two extension headers that name one file differently',
    () =>
      tar(
        pax(record('path', 'one')),
        entry({ name: 'L', flag: 'L', body: 'two\0' }),
        entry({ name: 'three' }),
      ),
  ],
  'negative-size': ['a file of negative size', () => tar(entry({ name: 'a', size: Buffer.alloc(12, 0xff) }))],
  'sparse-file': ['a sparse file', () => tar(entry({ name: 'a', flag: 'S' }))],
  'extension-bomb': [
    'an extension header of eight gigabytes',
    () => tar(entry({ name: 'x', flag: 'x', size: '77777777777\0' })),
  ],
  'gzip-bomb': [
    'a hundred megabytes of zeros in gzip',
    () => ({ blob: gzipSync(Buffer.alloc(100 * 2 ** 20)) }),
  ],
  'zstd-bomb': [
    'a zstd frame that asks for a window of two gigabytes',
    () => ({ blob: Buffer.from('28b52ffd00a8010000', 'hex') }),
  ],
  truncated: [
    'an archive that ends inside a file',
    () => ({ blob: gzipSync(entry({ name: 'a', size: '00000010000\0' })) }),
  ],
  'trailing-data': [
    'data behind the end of the archive',
    () => tar(entry({ name: 'a', body: 'a' }), end, Buffer.alloc(512, 'x')),
  ],
};

interface Layer {
  readonly blob: Uint8Array;
  /** Digest of the archive; of the blob where it is none. */
  readonly diffId?: Digest;
}

const OTHERS: Readonly<Record<'wrong-diff-id' | 'foreign-layer', string>> = {
  'wrong-diff-id': 'a layer that is not what the config says it is',
  'foreign-layer': 'a layer that is to be fetched from the metadata address of clouds',
};

/** Every image {@link pushHostileImage} can make. */
export function listHostileImages(): readonly { readonly name: HostileImage; readonly holds: string }[] {
  const layers = Object.entries(LAYERS).map(([name, [holds]]) => ({ name: name as HostileImage, holds }));
  const others = Object.entries(OTHERS).map(([name, holds]) => ({ name: name as HostileImage, holds }));
  return [...layers, ...others];
}

/** Makes an image that means harm to who reads, merges or unpacks its layer. @returns its manifest */
export async function pushHostileImage(
  client: Pusher,
  reference: ImageReference,
  name: HostileImage,
): Promise<Descriptor> {
  const layer: Layer =
    name in OTHERS ? tar(entry({ name: 'a', body: 'a' })) : LAYERS[name as HostileLayer][1]();
  const foreign = name === 'foreign-layer';
  const descriptor: Descriptor = {
    mediaType: foreign
      ? 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'
      : MediaType.ociLayerGzip,
    digest: digestOf(layer.blob),
    size: layer.blob.byteLength,
    ...(foreign ? { urls: ['http://169.254.169.254/latest/meta-data/'] } : {}),
  };
  if (!foreign) await client.pushBlob(reference, blobOf(layer.blob, descriptor));
  const diffId = name === 'wrong-diff-id' ? digestOf('another') : (layer.diffId ?? descriptor.digest);
  const config = Buffer.from(
    JSON.stringify({
      ...{ architecture: 'amd64', os: 'linux', config: {} },
      rootfs: { type: 'layers', diff_ids: [diffId] },
    }),
  );
  const described = { mediaType: MediaType.ociConfig, digest: digestOf(config), size: config.byteLength };
  await client.pushBlob(reference, blobOf(config, described));
  const mediaType = MediaType.ociManifest;
  const document = { schemaVersion: 2, mediaType, config: described, layers: [descriptor] };
  return client.pushManifest(reference, { mediaType, bytes: Buffer.from(JSON.stringify(document)) });
}

function tar(...entries: readonly Buffer[]): Layer {
  const archive = Buffer.concat([...entries, end]);
  return { blob: gzipSync(archive), diffId: digestOf(archive) };
}
