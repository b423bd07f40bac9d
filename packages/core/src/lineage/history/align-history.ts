import type { ExecutionConfig, HistoryEntry } from '@imagevet/registry';
import type { Dockerfile } from '../../dockerfile/types.ts';
import type { HistoryInconsistency } from '../types.ts';
import { type Expected, expectInstructions } from './expect.ts';
import { countedEntries, isSilent, layerIndexes, type PlacedEntry } from './recorded.ts';

/** One instruction beside the history entry it made. */
export interface AlignedInstruction {
  /** Where it stands; for a trigger of the base, the FROM it ran at. */
  readonly line: number;
  readonly keyword: string;
  /** Set when an ONBUILD of the base ran it: it stands in the base's Dockerfile. */
  readonly trigger?: true;
  /** Index in the image's history. */
  readonly history: number;
  /** Index of the layer it made; absent when it made none. */
  readonly layer?: number;
}

/** Whether a Dockerfile can have made an image. */
export interface HistoryAlignment {
  /** `unchecked`: the history does not say. */
  readonly consistency: 'consistent' | 'inconsistent' | 'unchecked';
  /** The instructions whose entries are known, in their order. BuildKit leaves no entry of an ONBUILD. */
  readonly instructions: readonly AlignedInstruction[];
  /** The first place that does not fit. */
  readonly inconsistency?: HistoryInconsistency;
  /** Why the history does not say, when it does not. */
  readonly reason?: string;
}

/** Options of {@link alignHistory}. */
export interface AlignHistoryOptions {
  /**
   * How many entries belong to the base. Without it the last entries are compared, from the last one on, and what stands
   * before them is taken for the base's.
   */
  readonly parentEntries?: number;
  /** The base's configuration: its ENV, SHELL, WORKDIR and ONBUILD. What it decides is not compared when it is not known. */
  readonly base?: ExecutionConfig;
  /** How many layers the image has; a history that tells of another number is not believed. */
  readonly layers?: number;
}

/**
 * Aligns the instructions of the final stage, and of the stages and ONBUILD triggers below it, with the history an image
 * carries. Reads what the classic builder and BuildKit record, and expands variables as far as they are known.
 *
 * Not in a history, and so not compared: FROM, `--from`, `--mount`, `--link`, the text of a heredoc COPY, BuildKit's ONBUILD,
 * labels and ARG values given at build time. Blanks count once.
 *
 * @throws {@link CoreError} `INVALID_DOCKERFILE` when the Dockerfile has no stage of the name it was read for
 */
export function alignHistory(
  dockerfile: Dockerfile,
  history: readonly HistoryEntry[],
  options: AlignHistoryOptions = {},
): HistoryAlignment {
  const { parentEntries, base, layers } = options;
  const expected = expectInstructions(dockerfile, base);
  const indexes = layerIndexes(history);
  const made = indexes.filter((index) => index !== undefined).length;
  if (history.length === 0) return unchecked('the image has no history');
  if (layers !== undefined && layers !== made) {
    return unchecked(`the history tells of ${made} layers, and the image has ${layers}`);
  }
  const entries = countedEntries(history);
  const own = parentEntries === undefined ? entries : entries.filter(({ index }) => index >= parentEntries);
  const found = parentEntries === undefined ? fromEitherEnd(expected, own) : fromStart(expected, own);
  const instructions = found.pairs.map(({ instruction: { line, keyword, trigger }, index }) => {
    const layer = indexes[index];
    return {
      ...{ line, keyword, history: index },
      ...(trigger === undefined ? {} : { trigger }),
      ...(layer === undefined ? {} : { layer }),
    };
  });
  const { inconsistency, reason } = found;
  if (inconsistency !== undefined) return { consistency: 'inconsistent', instructions, inconsistency };
  if (reason !== undefined) return { ...unchecked(reason), instructions };
  return { consistency: 'consistent', instructions };
}

function unchecked(reason: string): HistoryAlignment {
  return { consistency: 'unchecked', instructions: [], reason };
}

interface Found {
  readonly pairs: readonly { readonly instruction: Expected; readonly index: number }[];
  readonly inconsistency?: HistoryInconsistency;
  readonly reason?: string;
}

/**
 * Where the base's part ends is not known: the last instruction made the last entry. Of two readings that fail, the one that
 * gets further says where: from the end on, and from the start on if there were as many entries as instructions.
 */
function fromEitherEnd(expected: readonly Expected[], own: readonly PlacedEntry[]): Found {
  const back = fromEnd(expected, own);
  if (back.inconsistency === undefined) return back;
  const recorded = expected.filter((instruction) => !isUnrecorded(instruction, own.at(-1)));
  const forth = fromStart(expected, own.slice(Math.max(0, own.length - recorded.length)));
  return forth.inconsistency !== undefined && forth.pairs.length > back.pairs.length ? forth : back;
}

function fromStart(expected: readonly Expected[], own: readonly PlacedEntry[]): Found {
  const pairs: Found['pairs'][number][] = [];
  let position = 0;
  for (const instruction of expected) {
    const placed = own[position];
    if (placed !== undefined && fitsAt(instruction, placed)) {
      pairs.push({ instruction, index: placed.index });
      position += 1;
    } else if (!isUnrecorded(instruction, placed, own[position - 1])) {
      if (placed !== undefined && isSilent(placed)) return { pairs, reason: silence(placed) };
      return { pairs, inconsistency: misfit(instruction, placed) };
    }
  }
  while (isGivenLabel(own[position])) position += 1;
  const extra = own[position];
  if (extra === undefined) return { pairs };
  if (isSilent(extra)) return { pairs, reason: silence(extra) };
  const seen = shownEntry(extra);
  const message = `entry ${extra.index} of the history (${seen}) has no instruction in the Dockerfile`;
  return { pairs, inconsistency: { history: extra.index, seen, message } };
}

function fromEnd(expected: readonly Expected[], own: readonly PlacedEntry[]): Found {
  const backwards: Found['pairs'][number][] = [];
  const found = (rest: Omit<Found, 'pairs'> = {}): Found => ({ pairs: backwards.toReversed(), ...rest });
  let position = own.length - 1;
  for (const instruction of expected.toReversed()) {
    while (backwards.length === 0 && isGivenLabel(own[position]) && !fitsAt(instruction, own[position])) {
      position -= 1;
    }
    const placed = own[position];
    if (placed !== undefined && fitsAt(instruction, placed)) {
      backwards.push({ instruction, index: placed.index });
      position -= 1;
    } else if (!isUnrecorded(instruction, placed, own[position + 1])) {
      if (placed !== undefined && isSilent(placed)) return found({ reason: silence(placed) });
      return found({ inconsistency: misfit(instruction, placed) });
    }
  }
  return found();
}

function fitsAt(instruction: Expected, placed: PlacedEntry | undefined): boolean {
  return placed?.readings.some((recorded) => instruction.accepts(recorded)) === true;
}

/** BuildKit leaves no entry of an ONBUILD; whether it was BuildKit shows in the entries where one would be. */
function isUnrecorded(instruction: Expected, ...near: readonly (PlacedEntry | undefined)[]): boolean {
  if (instruction.keyword !== 'ONBUILD') return false;
  const speaking = near.find((placed) => placed !== undefined && !isSilent(placed));
  return speaking === undefined || speaking.readings[0]?.form === 'buildkit';
}

/** `docker build --label` of the classic builder leaves an entry of its own for each label, after all others. */
function isGivenLabel(placed: PlacedEntry | undefined): boolean {
  if (placed === undefined) return false;
  const [recorded] = placed.readings;
  return recorded?.keyword === 'LABEL' && recorded.form !== 'buildkit';
}

function silence({ index }: PlacedEntry): string {
  return `entry ${index} of the history does not say what made it`;
}

function misfit(instruction: Expected, placed: PlacedEntry | undefined): HistoryInconsistency {
  const { line, keyword } = instruction;
  const expected = cut(instruction.text);
  const where =
    instruction.trigger === true ? `ONBUILD ${keyword} run by line ${line}` : `${keyword} in line ${line}`;
  if (placed === undefined) {
    return {
      line,
      expected,
      message: `${where}: expected ${quoted(expected)}, but the history has no entry left`,
    };
  }
  const seen = shownEntry(placed);
  const message = `${where}: expected ${quoted(expected)}, but the history has ${quoted(seen)}`;
  return { line, history: placed.index, expected, seen, message };
}

function shownEntry({ readings: [recorded] }: PlacedEntry): string {
  return cut(`${recorded?.keyword} ${recorded?.text}`);
}

const quoted = (text: string): string => JSON.stringify(text);

function cut(text: string): string {
  const line = text.slice(0, 400).replaceAll(/\s+/g, ' ').trim();
  return line.length > 160 ? `${line.slice(0, 160)}…` : line;
}
