import type { SourceAnswer } from './ask-source.ts';
import { dependents } from './dependents.ts';
import { type Finding, findingOf, groupBy } from './finding.ts';
import type { DriftState, SourceState } from './types.ts';
import type { WatchedSource } from './watched-sources.ts';

/** A place with what its repository says. */
export interface AskedSource extends WatchedSource {
  readonly answer: SourceAnswer;
}

/** Holds the commits lineages name against what their repositories hold now. */
export function compareSources(sources: readonly AskedSource[]): {
  readonly findings: readonly Finding[];
  readonly states: readonly SourceState[];
} {
  return {
    findings: [...sources.flatMap(findingsOf), ...replacements(sources)],
    states: sources.map((source) => {
      const { commit, answer } = source;
      const now = answer.type === 'answered' && answer.now !== undefined ? { now: answer.now } : {};
      return { ...placeOf(source), commit, state: stateOf(source), ...now };
    }),
  };
}

function findingsOf(source: AskedSource): readonly Finding[] {
  const { repository, ref, commit: was, uses, answer } = source;
  const place = placeOf(source);
  const needs = [needOf(source)];
  if (answer.type === 'not-asked') return [];
  if (answer.type === 'failed') {
    const { error } = answer;
    const event = { type: 'source-unreachable', ...place, was, error, affects: dependents(uses) } as const;
    return [findingOf(event, needs, uses)];
  }
  const findings: Finding[] = [];
  if (ref !== undefined && hasMoved(source)) {
    const now = answer.now === undefined ? {} : { now: answer.now };
    const affects = dependents(uses);
    findings.push(findingOf({ type: 'source-moved', repository, ref, was, ...now, affects }, needs, uses));
  }
  // What the lineage itself says is in no branch has not gone since.
  const lost = uses.filter(({ node }) => node.dockerfile.reachability !== 'unreachable');
  if (answer.reachability === 'unreachable' && lost.length > 0) {
    const event = { type: 'source-gone', ...place, was, affects: dependents(lost) } as const;
    findings.push(findingOf(event, needs, lost));
  }
  return findings;
}

/** Repositories whose names lead to others now. Lineages may hold different ids, when they were resolved before and after. */
function replacements(sources: readonly AskedSource[]): readonly Finding[] {
  const replaced = sources.flatMap((source) => {
    const { repository, uses, answer } = source;
    const now = answer.type === 'answered' ? answer.identity : undefined;
    if (now === undefined) return [];
    return uses.flatMap((use) => {
      const was = use.node.dockerfile.repository?.id;
      return was === undefined || was === now ? [] : [{ repository, was, now, use, need: needOf(source) }];
    });
  });
  const groups = groupBy(replaced, ({ repository, was, now }) => JSON.stringify([repository, was, now]));
  return [...groups.values()].map((group) => {
    const { repository, was, now } = group[0]!;
    const uses = group.map(({ use }) => use);
    const event = { type: 'source-replaced', repository, was, now, affects: dependents(uses) } as const;
    return findingOf(event, [...new Set(group.map(({ need }) => need))], uses);
  });
}

function needOf({ repository, ref, commit }: WatchedSource): string {
  return JSON.stringify([repository, ref, commit]);
}

function placeOf({ repository, ref }: WatchedSource): Pick<SourceState, 'repository' | 'ref'> {
  return { repository, ...(ref === undefined ? {} : { ref }) };
}

function stateOf(source: AskedSource): DriftState {
  const { answer, ref } = source;
  if (answer.type === 'not-asked') return 'unknown';
  if (answer.type === 'failed') return 'unreachable';
  if (answer.reachability === 'unreachable') return 'gone';
  if (hasMoved(source)) return 'moved';
  const known = answer.reachability === 'reachable' && (ref === undefined || answer.refRead);
  return known ? 'unchanged' : 'unknown';
}

function hasMoved({ answer, ref, commit }: AskedSource): boolean {
  return answer.type === 'answered' && answer.refRead && ref !== undefined && answer.now !== commit;
}
