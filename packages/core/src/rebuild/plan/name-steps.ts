import { digestHex, formatReference, type ImageReference, type Repository } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import type { RebuildInput, RebuildStep } from '../types.ts';
import { type InternalNames, type NameRule, readNameRules } from './internal-names.ts';

/** A step that has no name yet. */
export interface NamelessStep extends Omit<RebuildStep, 'target' | 'inputs'> {
  readonly inputs: readonly Omit<RebuildInput, 'name'>[];
  /** Tag of its result, when the caller chose it. */
  readonly tag?: string;
}

/** What names are made of. */
interface NamingOptions {
  readonly registry: string;
  /** Nothing that was admitted is below it. */
  readonly scratchPrefix: string;
  readonly names: readonly NameRule[];
}

/**
 * Gives each step the name its result gets, and each input the name of the step that makes it. Tags are kept; where a plan has
 * several images of one tag, those the Dockerfiles name by digest get it with the beginning of the digest.
 *
 * @throws {@link CoreError} `NAME_UNMAPPED` for an image no rule takes; `NAME_CONFLICT` for two public repositories that become one,
 * for two images of one name, and for a name in the scratch repository
 */
export function nameSteps(steps: readonly NamelessStep[], options: NamingOptions): readonly RebuildStep[] {
  const internal = readNameRules(options.names);
  const sources = new Map<string, NamelessStep>();
  const wanted = steps.map((step) => {
    const repository = repositoryOf(step, internal);
    refuseScratch(step, repository, options);
    const name = formatReference(repository);
    const other = sources.get(name);
    if (other !== undefined && publicName(other) !== publicName(step)) throw conflict(other, step, name);
    sources.set(name, step);
    return { ...repository, tag: step.tag ?? tagOf(step) };
  });
  const counts = new Map<string, number>();
  for (const name of wanted.map(formatReference)) counts.set(name, (counts.get(name) ?? 0) + 1);
  const targets = new Map<string, ImageReference>();
  const taken = new Map<string, NamelessStep>();
  for (const [index, step] of steps.entries()) {
    const plain = wanted[index] as ImageReference;
    const shared = (counts.get(formatReference(plain)) ?? 0) > 1;
    const { digest } = step.reference;
    const target =
      shared && step.tag === undefined && digest !== undefined && step.reference.tag !== undefined
        ? { ...plain, tag: `${step.reference.tag.slice(0, 100)}-${digestHex(digest).slice(0, 12)}` }
        : plain;
    const name = formatReference(target);
    const other = taken.get(name);
    if (other !== undefined) throw conflict(other, step, name);
    taken.set(name, step);
    targets.set(step.id, target);
  }
  return steps.map(({ tag: _tag, scratch, original, ...step }) => ({
    ...step,
    inputs: step.inputs.map((input) => {
      const target = targets.get(input.step ?? '');
      return target === undefined ? input : { ...input, name: formatReference(target) };
    }),
    ...(original === undefined ? {} : { original }),
    target: targets.get(step.id) as ImageReference,
    scratch,
  }));
}

function repositoryOf(step: NamelessStep, internal: InternalNames): Repository {
  const repository = internal(step.reference);
  if (repository !== undefined) return repository;
  throw new CoreError('NAME_UNMAPPED', `no rule gives ${publicName(step)} an internal name`, {
    hint: "Add a rule for it; { from: '*', to: 'registry.corp/vetted/*' } at the end takes what is left.",
    details: { image: publicName(step) },
  });
}

function refuseScratch(
  step: NamelessStep,
  place: Repository,
  { registry, scratchPrefix }: NamingOptions,
): void {
  if (place.registry !== registry || !`${place.repository}/`.startsWith(`${scratchPrefix}/`)) return;
  throw new CoreError('NAME_CONFLICT', `${publicName(step)} would be admitted into the scratch repository`, {
    hint: 'Give admitted images a name that is not below scratchPrefix.',
    details: { image: publicName(step), name: formatReference(place) },
  });
}

function conflict(one: NamelessStep, other: NamelessStep, name: string): CoreError {
  return new CoreError('NAME_CONFLICT', `${one.id} and ${other.id} both become ${name}`, {
    hint: 'Give them rules, or tags, that tell them apart.',
    details: { name },
  });
}

function publicName({ reference: { registry, repository } }: NamelessStep): string {
  return formatReference({ registry, repository });
}

function tagOf({ reference: { tag, digest } }: NamelessStep): string {
  return tag ?? (digest === undefined ? 'latest' : digestHex(digest).slice(0, 40));
}
