import {
  type Fetcher,
  formatPlatform,
  formatReference,
  type ImageReference,
  ImagevetError,
  type LayerEntry,
  type OperationOptions,
  type Platform,
  type ResolvedImage,
  resolveImage,
  scanLayer,
} from '@imagevet/registry';
import { CoreError } from '../errors.ts';

/** `e_machine` of an architecture's programs. @see System V ABI, "ELF Header" */
const MACHINES: Readonly<Record<string, number>> = {
  ...{ amd64: 62, '386': 3, arm: 40, arm64: 183, riscv64: 243 },
  ...{ ppc64le: 21, s390x: 22, mips64le: 8, loong64: 258 },
};
const HEADER_BYTES = 20;
/** Where programs are: reading the heads of all files would cost more and tell no more. */
const PROGRAMS = /^(?:usr\/)?(?:local\/)?s?bin\//;

/** Layers whose machines are remembered; a base is read once for all that is built on it. */
const REMEMBERED = 1000;

/**
 * Checks that images are for the platform they are to be built on, by their label and by their programs. Some engines build on
 * a base of another platform and label the result as asked; and a label alone is anybody's word.
 */
export class MachineCheck {
  readonly #known = new Map<string, ReadonlySet<number>>();

  /** @throws {@link CoreError} `BUILD_UNSUPPORTED` */
  async check(
    reference: ImageReference,
    platform: Platform,
    options: OperationOptions & { readonly source: Fetcher },
  ): Promise<void> {
    const name = formatReference(reference);
    const image = await resolveImage(reference, { ...options, platform }).catch((error: unknown) => {
      if (!ImagevetError.is(error) || error.code !== 'PLATFORM_NOT_FOUND') throw error;
      throw new CoreError('BUILD_UNSUPPORTED', `the base ${name} is not for ${formatPlatform(platform)}`, {
        cause: error,
      });
    });
    const expected = MACHINES[platform.architecture];
    if (expected === undefined || platform.os !== 'linux') return;
    for (const [index, diffId] of image.diffIds.entries()) {
      const found = this.#known.get(diffId) ?? (await machinesIn(image, index, options));
      if (this.#known.size < REMEMBERED) this.#known.set(diffId, found);
      if (found.size === 0) continue;
      if (found.has(expected)) return;
      const names = [...found].map(nameOf).join(', ');
      throw new CoreError(
        'BUILD_UNSUPPORTED',
        `the base ${name} says it is for ${formatPlatform(platform)}, but its programs are for ${names}`,
        {
          hint: 'Whoever built it labelled it wrongly; do not build on it.',
          details: { machines: [...found] },
        },
      );
    }
  }
}

/** The machines the programs in a layer are for. */
async function machinesIn(
  image: ResolvedImage,
  index: number,
  { source, signal }: OperationOptions & { readonly source: Fetcher },
): Promise<ReadonlySet<number>> {
  const layer = image.layers[index];
  const diffId = image.diffIds[index];
  if (layer === undefined || diffId === undefined) return new Set();
  const { entries } = await scanLayer(source.openBlob(image.reference, layer, { signal }), {
    digest: layer.digest,
    diffId,
    hashFiles: false,
    keepContent: ({ type, path }: LayerEntry) =>
      type === 'file' && PROGRAMS.test(path.replace(/^\//, '')) ? HEADER_BYTES : false,
    signal,
  });
  return new Set(entries.flatMap(({ content }) => machineOf(content) ?? []));
}

/** `e_machine` of a file that begins as an ELF program does. */
function machineOf(content: Uint8Array | undefined): number | undefined {
  if (content === undefined || content.byteLength < HEADER_BYTES) return undefined;
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  if (bytes.readUInt32BE(0) !== 0x7f454c46) return undefined;
  return bytes[5] === 2 ? bytes.readUInt16BE(18) : bytes.readUInt16LE(18);
}

function nameOf(machine: number): string {
  return Object.entries(MACHINES).find(([, number]) => number === machine)?.[0] ?? `machine ${machine}`;
}
