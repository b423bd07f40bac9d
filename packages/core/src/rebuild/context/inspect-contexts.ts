import type { OperationOptions } from '@imagevet/registry';
import type { SourceEntry, SourceHost } from '../../lineage/types.ts';
import type { RebuildPlan, RebuildStep } from '../types.ts';
import { type ContextFinding, findForeignContent } from './foreign-content.ts';
import { readContext } from './read-context.ts';

/** Options of {@link inspectContexts}. */
export interface InspectContextsOptions extends OperationOptions {
  /** Reads the build contexts. */
  readonly host: Pick<SourceHost, 'readDirectory'>;
}

/**
 * Reads the build context of every step of a plan before anything is built, and names the submodules and Git LFS pointers in it,
 * by step. A step of which a finding has a `line` is denied unless `incompleteContext` allows it.
 *
 * @throws {@link CoreError} `SOURCE_INVALID`, `SOURCE_LIMIT_EXCEEDED`, `SOURCE_UNSUPPORTED`, and what the host throws
 */
export async function inspectContexts(
  plan: RebuildPlan,
  { host, signal }: InspectContextsOptions,
): Promise<readonly (ContextFinding & { readonly step: string })[]> {
  const found: (ContextFinding & { readonly step: string })[] = [];
  for (const step of plan.steps) {
    if (step.layout !== undefined) continue;
    const { findings } = await readStepContext(step, host, { signal });
    found.push(...findings.map((finding) => ({ step: step.id, ...finding })));
  }
  return found;
}

/** The context of one step, and what is not in it. */
export async function readStepContext(
  { location, dockerfile, platform, parameters, triggers }: RebuildStep,
  host: Pick<SourceHost, 'readDirectory'>,
  options: OperationOptions,
): Promise<{ readonly context: readonly SourceEntry[]; readonly findings: readonly ContextFinding[] }> {
  const context = await readContext(host, location, options);
  const read = { text: dockerfile, platform, parameters, triggers };
  return { context, findings: findForeignContent(context, location, read) };
}
