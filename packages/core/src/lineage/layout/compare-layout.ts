import { isDeepStrictEqual } from 'node:util';
import { type Digest, type ExecutionConfig, formatPlatform, type ResolvedImage } from '@imagevet/registry';

/** How far the image of an OCI layout is the published one. */
export interface LayoutComparison {
  /**
   * `manifest`: the same bytes. `config`: the same config, and so the same files and the same way to run them; builders add
   * annotations to manifests. `content`: the same files and the same way to run them, under a config that says something else
   * beside, such as a time. `none`: another image.
   */
  readonly match: 'manifest' | 'config' | 'content' | 'none';
  /** Manifest in the layout. */
  readonly manifest: Digest;
  /** The first thing that is different, for a match below `config`. */
  readonly difference?: string;
}

/** Holds the image of a layout against the one a registry shows. */
export function compareLayout(
  layout: Pick<ResolvedImage, 'manifest' | 'config' | 'platform' | 'diffIds' | 'execution'>,
  published: Pick<ResolvedImage, 'manifest' | 'config' | 'platform' | 'diffIds' | 'execution'>,
): LayoutComparison {
  const manifest = layout.manifest.digest;
  if (manifest === published.manifest.digest) return { match: 'manifest', manifest };
  if (layout.config.digest === published.config.digest) return { match: 'config', manifest };
  const difference = differenceOf(layout, published);
  if (difference !== undefined) return { match: 'none', manifest, difference };
  return { match: 'content', manifest, difference: 'the configs differ beside files and execution' };
}

function differenceOf(
  layout: Pick<ResolvedImage, 'platform' | 'diffIds' | 'execution'>,
  published: Pick<ResolvedImage, 'platform' | 'diffIds' | 'execution'>,
): string | undefined {
  const [own, other] = [layout, published].map(({ platform }) => formatPlatform(platform));
  if (own !== other) return `the layout is for ${own}, the image for ${other}`;
  const [ours, theirs] = [layout.diffIds, published.diffIds];
  const at = Array.from({ length: Math.max(ours.length, theirs.length) }, (_item, index) => index).find(
    (index) => ours[index] !== theirs[index],
  );
  if (at !== undefined) {
    const [left, right] = [ours[at] ?? 'no layer', theirs[at] ?? 'no layer'];
    return `layer ${at} of the layout is ${left}, of the image ${right}`;
  }
  const names = new Set([...Object.keys(layout.execution), ...Object.keys(published.execution)]);
  const name = [...names]
    .sort()
    .find((each) => !isDeepStrictEqual(said(layout.execution, each), said(published.execution, each)));
  return name === undefined
    ? undefined
    : `${name} of its configuration is another in the layout than in the image`;
}

/** A value as it counts: null, an empty list and an empty text say no more than nothing does. */
function said(execution: ExecutionConfig, name: string): unknown {
  const value: unknown = Object.hasOwn(execution, name)
    ? execution[name as keyof ExecutionConfig]
    : undefined;
  if (value === null || value === '') return undefined;
  return typeof value === 'object' && Object.keys(value as object).length === 0 ? undefined : value;
}
