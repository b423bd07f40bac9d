// A claim: how we do beside a peer that does the same, as a ratio in one run.

/** What came of a claim. A peer that is not here proves nothing: `absent`. */
export type ClaimOutcome = 'ok' | 'short' | 'absent';

/** A claim with what was measured. */
export interface Claim {
  readonly name: string;
  /** What was measured, with its unit. */
  readonly ours: string;
  readonly peer: string;
  /** How many times better ours is. */
  readonly ratio: number;
  readonly goal: number;
}

/** The line of a claim and what came of it. */
export function judge({ name, ours, peer, ratio, goal }: Claim): {
  readonly line: string;
  readonly outcome: ClaimOutcome;
} {
  const outcome = ratio >= goal ? 'ok' : 'short';
  const line = `${name}: ours=${ours} peer=${peer} ratio=${ratio.toFixed(2)} goal=${Number(goal.toFixed(2))} ${outcome}`;
  return { line, outcome };
}

/** The line of a claim whose peer is not on this machine. */
export function absent(
  name: string,
  goal: number,
): { readonly line: string; readonly outcome: ClaimOutcome } {
  return { line: `${name}: ours=- peer=- ratio=- goal=${Number(goal.toFixed(2))} absent`, outcome: 'absent' };
}

/** Runs each contender some rounds, by turns, and returns the median of each in milliseconds. */
export async function medians<T extends readonly ((round: number) => unknown)[]>(
  contenders: T,
  rounds: number,
): Promise<{ [K in keyof T]: number }> {
  const times = contenders.map((): number[] => []);
  // One round more, not counted, so that what is loaded and compiled on first use is so for all.
  for (let round = 0; round <= rounds; round += 1) {
    for (const [index, run] of contenders.entries()) {
      const start = performance.now();
      await run(round);
      if (round > 0) times[index]!.push(performance.now() - start);
    }
  }
  return times.map(median) as unknown as { [K in keyof T]: number };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
