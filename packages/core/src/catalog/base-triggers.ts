import { readTriggers } from '../lineage/dockerfile/triggered-inputs.ts';
import { ARCHITECTURES } from '../provenance/official-images/architectures.ts';
import type { InputResolver, ResolvedInput } from './input-resolver.ts';
import type { Asking } from './library-index.ts';
import { locate } from './locate.ts';
import { type RecipeInput, toInput } from './recipe.ts';
import type { SourceReader } from './source-reader.ts';
import type { CatalogFinding } from './types.ts';

/**
 * What the `ONBUILD` triggers of a base take from other images: they run in the stage that is built on it. Those of a base
 * whose Dockerfile cannot be read are not known; its own build says why.
 */
export async function resolveTriggers(
  { line, architecture, earlier = [] }: RecipeInput,
  { input: { kind, target }, found }: ResolvedInput,
  asking: Asking,
  { reader, resolver }: { readonly reader: SourceReader; readonly resolver: InputResolver },
): Promise<{ readonly inputs: readonly ResolvedInput[]; readonly findings: readonly CatalogFinding[] }> {
  if (found === undefined || target.kind !== 'build' || (kind !== 'base' && kind !== 'stage')) return NONE;
  const triggers = await triggersOf(found, reader);
  if (triggers.length === 0) return NONE;
  const platform = ARCHITECTURES.get(found.build.architecture)!;
  const { inputs, unreadable } = readTriggers(triggers, { earlier, line, platform });
  return {
    inputs: inputs.map((image) => {
      const recipe = { ...toInput(image), ...(architecture === undefined ? {} : { architecture }) };
      const { input, finding } = resolver.resolve(recipe, asking);
      return { input: { ...input, triggeredBy: target.id }, ...(finding === undefined ? {} : { finding }) };
    }),
    findings: unreadable.map((why) => ({
      ...{ code: 'dockerfile-invalid', line },
      message: `an ONBUILD trigger of ${target.id}: ${why}`,
    })),
  };
}

const NONE = { inputs: [], findings: [] };

async function triggersOf(
  { build }: NonNullable<ResolvedInput['found']>,
  reader: SourceReader,
): Promise<readonly string[]> {
  if (build.builder === 'oci-import') return [];
  const source = await locate(build, reader);
  if ('code' in source) return [];
  const file = await reader.find(source.repository, source.commit, source.path);
  if (file.status !== 'file') return [];
  const { triggers = [] } = await reader.inputs(source.repository, file.id, build.architecture);
  return triggers;
}
