// Plans for the rebuild claims: shared bases below many images, written down rather than resolved.
import { createHash } from 'node:crypto';
import { planId, type RebuildPlan, type RebuildStep, type SourceHost } from '../packages/core/src/index.ts';
import type { Digest } from '../packages/registry/src/index.ts';

export const platform = { os: 'linux', architecture: 'amd64' };

/** One image of a plan. */
export interface PlannedImage {
  readonly name: string;
  /** What follows the `FROM` line. */
  readonly instructions: string;
  /** Image of the plan it stands on. */
  readonly base?: string;
}

/** A plan of images, parents first; the lowest stand on a public image by digest, or on nothing. */
export function planOf(
  registry: string,
  images: readonly PlannedImage[],
  ground?: { readonly reference: string; readonly digest: Digest },
): RebuildPlan {
  const steps = images.map(({ name, instructions, base }): RebuildStep => {
    const parent = base === undefined ? ground?.reference : `${registry}/public/${base}:1`;
    const input =
      base !== undefined
        ? [{ kind: 'base' as const, reference: `${registry}/public/${base}:1`, step: base }]
        : ground === undefined
          ? []
          : [{ kind: 'base' as const, reference: ground.reference, pinned: ground.digest }];
    return {
      id: name,
      key: createHash('sha256').update(name).digest('hex'),
      reference: { registry, repository: `public/${name}`, tag: '1' },
      platform,
      location: {
        repository: 'https://git.example/org/images',
        commit: 'a'.repeat(40),
        directory: name,
        path: `${name}/Dockerfile`,
      },
      dockerfile: `FROM ${parent ?? 'scratch'}\n${instructions}\n`,
      inputs: input,
      target: { registry, repository: `vetted/${name}`, tag: '1' },
      scratch: { registry, repository: `vetted-scratch/${name}` },
    };
  });
  return { id: planId({ platform, steps }), platform, steps, gaps: [] };
}

/** 8 bases, and 32 images on them. */
export function fortyImages(instructions: (name: string) => string): readonly PlannedImage[] {
  const bases = Array.from({ length: 8 }, (_, index) => `base${index}`);
  const images = Array.from({ length: 32 }, (_, index) => ({
    name: `image${index}`,
    base: `base${index % 8}`,
  }));
  return [...bases.map((name) => ({ name })), ...images].map((image) => ({
    ...image,
    instructions: instructions(image.name),
  }));
}

/** A source host whose every context is empty. */
export const emptyHost: SourceHost = {
  supports: () => true,
  readFile: async () => ({ content: Buffer.from(''), url: 'x' }),
  async *readDirectory() {},
  commitOf: async () => 'a'.repeat(40),
  reachability: async () => 'reachable',
};
