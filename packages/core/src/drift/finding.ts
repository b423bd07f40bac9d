import type { Lineage } from '../lineage/types.ts';
import type { DriftEvent } from './types.ts';

/** An event with what `watch()` has to know of it. */
export interface Finding {
  readonly event: DriftEvent;
  /** The same for the same fact, whoever it affects and however the failure is worded. */
  readonly key: string;
  /** Names and places that have to answer for the fact to be seen. */
  readonly needs: readonly string[];
  /** The lineages that hold what is no longer so. */
  readonly lineages: readonly Lineage[];
}

/** Makes a finding of an event. */
export function findingOf(
  event: DriftEvent,
  needs: readonly string[],
  uses: readonly { readonly lineage: Lineage }[],
): Finding {
  const facts = Object.entries(event).filter(([name]) => name !== 'affects' && name !== 'error');
  return {
    event,
    key: JSON.stringify(facts),
    needs,
    lineages: [...new Set(uses.map(({ lineage }) => lineage))],
  };
}

/** Groups values by a text, in the order they come. */
export function groupBy<T>(values: Iterable<T>, key: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const group = groups.get(key(value));
    if (group === undefined) groups.set(key(value), [value]);
    else group.push(value);
  }
  return groups;
}
