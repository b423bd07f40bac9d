// A table of pairs: what imagevet and another program make of each other's work.

/** What a pair came to. `peer-defect`: the other program is wrong; the note gives our right answer. */
export type Outcome = 'pass' | 'FAIL' | 'absent' | 'peer-defect';

interface Cell {
  readonly outcome: Outcome;
  readonly note?: string;
}

/** Thrown by a check when the other program is wrong and we are right. */
export class PeerDefect extends Error {}

/** Thrown by a check when something it needs is not on this machine. */
export class Absent extends Error {}

/** Starts a service of this machine, or returns why it cannot be had. */
export async function startOrAbsent<T>(start: () => Promise<T>): Promise<T | Absent> {
  return start().catch((error: unknown) => {
    if (error instanceof Absent) return error;
    throw error;
  });
}

/** Most time one check may take, in milliseconds. */
const CHECK_MS = 60_000;

/** A table that is filled cell by cell. */
export class Matrix {
  readonly title: string;
  readonly #columns: readonly string[];
  readonly #rows = new Map<string, Map<string, Cell>>();

  constructor(title: string, columns: readonly string[]) {
    this.title = title;
    this.#columns = columns;
  }

  get outcomes(): readonly Outcome[] {
    return [...this.#rows.values()].flatMap((row) => [...row.values()].map(({ outcome }) => outcome));
  }

  /** Runs a check and keeps what it came to: pass when it ends, FAIL when it throws. */
  async check(row: string, column: string, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (!this.#columns.includes(column)) throw new Error(`${this.title}: no column ${column}`);
    const cells = this.#rows.get(row) ?? new Map<string, Cell>();
    this.#rows.set(row, cells.set(column, await outcomeOf(run)));
  }

  /** The table, then why cells did not pass. */
  render(): string {
    const table = [
      [this.title, ...this.#columns],
      ...[...this.#rows].map(([name, cells]) => [
        name,
        ...this.#columns.map((column) => cells.get(column)?.outcome ?? '-'),
      ]),
    ];
    const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
    const lines = table.map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    );
    const notes = [...this.#rows].flatMap(([row, cells]) =>
      [...cells]
        .filter(([, { note }]) => note !== undefined)
        .map(([column, { outcome, note }]) =>
          outcome === 'absent' ? `  absent: ${note}` : `  ${outcome}: ${row}, ${column}: ${note}`,
        ),
    );
    return [...lines, ...new Set(notes)].join('\n');
  }
}

async function outcomeOf(run: (signal: AbortSignal) => Promise<void>): Promise<Cell> {
  const signal = AbortSignal.timeout(CHECK_MS);
  const late = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error(`not done after ${CHECK_MS} ms`)));
  });
  try {
    await Promise.race([run(signal), late]);
    return { outcome: 'pass' };
  } catch (error) {
    const outcome = error instanceof Absent ? 'absent' : error instanceof PeerDefect ? 'peer-defect' : 'FAIL';
    return { outcome, note: error instanceof Error ? error.message : String(error) };
  }
}
