import { type Descriptor, type Digest, MediaType } from '@imagevet/registry';
import type { Lineage } from '../lineage/types.ts';
import type { Answer } from './ask.ts';
import { dependents } from './dependents.ts';
import { type Finding, findingOf, groupBy } from './finding.ts';
import type { DriftState, ReferenceState } from './types.ts';
import type { NameUse, WatchedName } from './watched-names.ts';

/** A name with what the registry says. */
export interface AskedName extends WatchedName {
  readonly answer: Answer;
  /** What the name was when first seen, for lineages that do not hold what it was. */
  readonly baseline?: Digest;
}

/** Holds what lineages say of names against what registries say now; index against index, manifest against manifest. */
export function compareNames(names: readonly AskedName[]): {
  readonly findings: readonly Finding[];
  readonly references: readonly ReferenceState[];
} {
  return {
    findings: [...names.flatMap(findingsOf), ...movedBases(names)],
    references: names.map((name) => ({
      reference: name.text,
      state: stateOf(name),
      ...(name.answer.type === 'found' ? { now: name.answer.descriptor.digest } : {}),
    })),
  };
}

function findingsOf(name: AskedName): readonly Finding[] {
  const { text: reference, answer, uses, baseline } = name;
  const needs = [reference];
  if (answer.type === 'failed') {
    const event = {
      type: 'unreachable',
      reference,
      error: answer.error,
      affects: dependents(uses),
    } as const;
    return [findingOf(event, needs, uses)];
  }
  if (answer.type === 'gone') {
    const groups = groupBy(uses, ({ was }) => was?.digest ?? baseline ?? '');
    return [...groups.values()].map((group) => {
      const was = group[0]?.was?.digest ?? baseline;
      const seen = was === undefined ? {} : { was };
      const event = { type: 'upstream-gone', reference, ...seen, affects: dependents(group) } as const;
      return findingOf(event, needs, group);
    });
  }
  const moved = uses.flatMap((use) => {
    const was = movedFrom(use, answer.descriptor, baseline);
    return was === undefined ? [] : [{ use, was }];
  });
  return [...groupBy(moved, ({ was }) => was)].map(([, group]) => {
    const from = group.map(({ use }) => use);
    const { was } = group[0]!;
    const now = answer.descriptor.digest;
    return findingOf({ type: 'tag-moved', reference, was, now, affects: dependents(from) }, needs, from);
  });
}

/** Children that are as they were, on bases whose tags are not. */
function movedBases(names: readonly AskedName[]): readonly Finding[] {
  const unmoved = unmovedNodes(names);
  const found = names.flatMap((name) => {
    const { text: base, answer, uses, baseline } = name;
    if (answer.type !== 'found') return [];
    return uses.flatMap((use) => {
      const was = movedFrom(use, answer.descriptor, baseline);
      if (was === undefined || name.reference.digest !== undefined) return [];
      const children = use.lineage.edges.filter(({ kind, to }) => kind === 'base' && to === use.node.id);
      return children.flatMap(({ from: child }) => {
        const own = unmoved.get(use.lineage)?.get(child);
        if (own === undefined) return [];
        const event = { type: 'base-moved', child, base, was, now: answer.descriptor.digest } as const;
        return [findingOf(event, [base, ...own], [use])];
      });
    });
  });
  return [...groupBy(found, ({ key }) => key).values()].map((same) => ({
    ...same[0]!,
    lineages: [...new Set(same.flatMap(({ lineages }) => lineages))],
  }));
}

/** The nodes of each lineage that are known to be as they were, with the names that say so. */
function unmovedNodes(names: readonly AskedName[]): ReadonlyMap<Lineage, Map<string, readonly string[]>> {
  const unmoved = new Map<Lineage, Map<string, readonly string[]>>();
  for (const name of names) {
    for (const use of name.uses) {
      const { lineage, node } = use;
      // What goes by a digest cannot move.
      const isPinned = node.reference.digest !== undefined;
      if (!isPinned && stateOf({ ...name, uses: [use] }) !== 'unchanged') continue;
      const nodes = unmoved.get(lineage) ?? new Map<string, readonly string[]>();
      unmoved.set(lineage, nodes.set(node.id, isPinned ? [] : [name.text]));
    }
  }
  return unmoved;
}

function stateOf({ answer, uses, baseline }: AskedName): DriftState {
  if (answer.type === 'gone') return 'gone';
  if (answer.type === 'failed') return 'unreachable';
  const { descriptor } = answer;
  if (uses.some((use) => movedFrom(use, descriptor, baseline) !== undefined)) return 'moved';
  const known = uses.every(
    (use) => recordedOf(use, descriptor, baseline) !== undefined || use.was?.digest === descriptor.digest,
  );
  return known ? 'unchanged' : 'unknown';
}

/** What the name was for this use, when it is something else now. */
function movedFrom(use: NameUse, descriptor: Descriptor, baseline: Digest | undefined): Digest | undefined {
  const was = recordedOf(use, descriptor, baseline);
  return was === descriptor.digest ? undefined : was;
}

/** The digest that the answer can be compared with. */
function recordedOf(
  { was }: NameUse,
  { mediaType }: Descriptor,
  baseline: Digest | undefined,
): Digest | undefined {
  if (was === undefined) return baseline;
  return was.partOfIndex && INDEXES.has(mediaType) ? baseline : was.digest;
}

const INDEXES: ReadonlySet<string> = new Set([MediaType.ociIndex, MediaType.dockerManifestList]);
