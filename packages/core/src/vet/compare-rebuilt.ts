import { resolveImage } from '@imagevet/registry';
import { compareImages } from '../compare/compare-images.ts';
import type { Comparison } from '../compare/types.ts';
import { CoreError, type Gap } from '../errors.ts';
import type { Lineage } from '../lineage/types.ts';
import type { Facts } from '../policy/types.ts';
import { gapOf } from './gap-of.ts';
import { type Build, builtImages } from './rebuild-lineage.ts';
import { originals } from './trace-lineage.ts';
import type { VetEvent, VetOptions } from './types.ts';

export async function compareRebuilt(
  lineage: Lineage,
  build: Build,
  options: VetOptions,
  report: (event: VetEvent) => void,
): Promise<{ readonly comparisons: Facts['comparisons']; readonly gaps: readonly Gap[] }> {
  const comparisons: Record<string, Comparison> = {};
  const gaps: Gap[] = [];
  const built = builtImages(build.result);
  if (built.size === 0 || options.target === undefined) {
    report({ type: 'stage-skipped', stage: 'compare', reason: 'nothing was rebuilt' });
    return { comparisons, gaps };
  }
  report({ type: 'stage-started', stage: 'compare' });
  const originalSource = originals(lineage, options);
  for (const node of lineage.nodes) {
    const image = built.get(node.id);
    if (image === undefined) continue;
    try {
      if (node.image === undefined) throw new CoreError('SOURCE_NOT_FOUND', `no registry showed ${node.id}`);
      const rebuilt = await resolveImage(image.reference, {
        source: options.target.client,
        platform: node.platform,
        signal: options.signal,
      });
      comparisons[node.id] = await compareImages(node.image, rebuilt, {
        originalSource,
        rebuiltSource: options.target.client,
        dockerfile: node.dockerfile,
        signal: options.signal,
      });
    } catch (error) {
      gaps.push({ ...gapOf('compare', error, options.signal), node: node.id });
    }
  }
  const grades = Object.values(comparisons).map((comparison) => comparison.grade);
  report({
    type: 'stage-finished',
    stage: 'compare',
    summary: grades.join(', ') || 'nothing could be compared',
  });
  return { comparisons, gaps };
}
