import { familiarReference, formatPlatform, formatReference, parseReference } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import { pinnedInput } from '../plan/pin-inputs.ts';
import type { RebuildPlan, RebuildStep } from '../types.ts';

/** A bake file in JSON. @see docker/buildx, bake reference */
export interface BakeFile {
  readonly group: { readonly default: { readonly targets: readonly string[] } };
  readonly target: Readonly<Record<string, BakeTarget>>;
}

/** One image of a bake file. */
export interface BakeTarget {
  /** Repository, commit and directory: `https://host/repository.git#<commit>:<directory>`. */
  readonly context: string;
  readonly 'dockerfile-inline': string;
  /** What a name in the Dockerfile stands for. */
  readonly contexts: Readonly<Record<string, string>>;
  readonly args?: Readonly<Record<string, string>>;
  /** The stage that becomes the image. */
  readonly target?: string;
  readonly platforms: readonly string[];
  readonly tags: readonly string[];
}

/**
 * Writes a plan as a file for `docker buildx bake`: Dockerfiles unchanged, every parent named by a context of its own, sources
 * at their commits. What bake builds was not checked by us, and is pushed where unjudged builds are: compare it before it is
 * signed. An image that is taken over from an OCI layout is not built: what stands on it is built on the public one, by digest.
 *
 * @throws {@link CoreError} `PLAN_INVALID` for a plan that builds nothing, for which bake has no file
 */
export function toBakeFile(plan: RebuildPlan): BakeFile {
  const built = plan.steps.filter(({ layout }) => layout === undefined);
  if (built.length === 0) throw new CoreError('PLAN_INVALID', 'the plan has no image to build');
  const context = (step: RebuildStep) =>
    step.layout === undefined
      ? `target:${targetName(step)}`
      : `docker-image://${formatReference({ ...step.reference, tag: undefined, digest: step.original ?? step.layout.digest })}`;
  const names = new Map(plan.steps.map((step) => [step.id, context(step)]));
  const target = Object.fromEntries(built.map((step) => [targetName(step), bakeTarget(step, names)]));
  return { group: { default: { targets: Object.keys(target) } }, target };
}

function bakeTarget(step: RebuildStep, names: ReadonlyMap<string, string>): BakeTarget {
  const { repository, commit, directory } = step.location;
  const { buildArgs, target } = step.parameters ?? {};
  const contexts = step.inputs.flatMap((input): readonly (readonly [string, string])[] => {
    // A frontend is named in the file itself; contexts do not reach it.
    if (input.kind === 'frontend') return [];
    const own = input.step === undefined ? undefined : names.get(input.step);
    const pin = pinnedInput(input, () => undefined);
    if (own === undefined && pin === undefined) return [];
    return [[contextName(input.reference), own ?? `docker-image://${pin}`]];
  });
  return {
    context: `${repository}.git#${commit}${directory === '.' ? '' : `:${directory}`}`,
    'dockerfile-inline': literal(step.dockerfile),
    contexts: Object.fromEntries(contexts),
    ...(buildArgs === undefined
      ? {}
      : {
          args: Object.fromEntries(Object.entries(buildArgs).map(([name, value]) => [name, literal(value)])),
        }),
    ...(target === undefined ? {} : { target }),
    platforms: [formatPlatform(step.platform)],
    tags: [formatReference({ ...step.scratch, tag: step.target.tag ?? 'latest' })],
  };
}

/** BuildKit looks a name up in its short form, without `:latest`. */
function contextName(reference: string): string {
  return familiarReference(parseReference(reference)).replace(/:latest$/, '');
}

/** Strings of a bake file are templates. */
function literal(text: string): string {
  return text.replaceAll(/[$%]\{/g, (opening) => `${opening[0]}${opening}`);
}

/** Letters, digits, `-` and `_` are what a target's name may have; the key keeps it unique. */
function targetName({ reference, key }: RebuildStep): string {
  const readable = `${reference.repository}-${reference.tag ?? ''}`
    .replaceAll(/[^A-Za-z0-9]+/g, '-')
    .slice(0, 60);
  return `${readable}-${key.slice(0, 8)}`;
}
