import type { HistoryEntry } from '@imagevet/registry';
import { finalStage } from '../dockerfile/queries.ts';
import type { Dockerfile, DockerfileInstruction, DockerfileStage } from '../dockerfile/types.ts';

/** One instruction beside the history entry it made. */
export interface AlignedInstruction {
  readonly line: number;
  readonly keyword: string;
  /** Index in the image's history. */
  readonly history: number;
  /** Index of the layer it made; absent when it made none. */
  readonly layer?: number;
}

/** Whether a Dockerfile can have made an image. */
export interface HistoryAlignment {
  readonly consistency: 'consistent' | 'inconsistent' | 'unchecked';
  readonly instructions: readonly AlignedInstruction[];
  /** The first place that does not fit. */
  readonly inconsistency?: { readonly line?: number; readonly history?: number; readonly message: string };
}

/** Options of {@link alignHistory}. */
export interface AlignHistoryOptions {
  /** How many entries belong to the base. @defaultValue all but as many as the Dockerfile has instructions */
  readonly parentEntries?: number;
  /** The base's ONBUILD triggers, which run first. */
  readonly onBuild?: readonly string[];
  /** The stage that was built. @defaultValue the last */
  readonly target?: string;
}

/** A history entry as an instruction. */
interface Recorded {
  readonly keyword: string;
  readonly text: string;
  readonly index: number;
}

/**
 * Aligns the instructions of the final stage with the history an image carries, one to one. Understands what the classic
 * builder and BuildKit record. What a history does not record (FROM, heredoc bodies, expanded values) is not compared.
 */
export function alignHistory(
  dockerfile: Dockerfile,
  history: readonly HistoryEntry[],
  options: {
    readonly parentEntries?: number;
    readonly onBuild?: readonly string[];
    readonly target?: string;
  } = {},
): HistoryAlignment {
  if (history.length === 0) return { consistency: 'unchecked', instructions: [] };
  const instructions = instructionsOf(dockerfile, options.target);
  const triggers = options.onBuild?.length ?? 0;
  const expected = instructions.length + triggers;
  const entries = history.map((entry, index) => ({ entry, index })).filter(({ entry }) => !isFiller(entry));
  const start =
    options.parentEntries === undefined
      ? Math.max(0, entries.length - expected)
      : entries.filter(({ index }) => index < (options.parentEntries ?? 0)).length;
  const own = entries.slice(start + triggers).map(({ entry, index }) => readEntry(entry, index));
  const layers = layerIndexes(history);
  const aligned: AlignedInstruction[] = [];
  for (const [position, instruction] of instructions.entries()) {
    const recorded = own[position];
    const problem =
      recorded === undefined ? 'the history has no entry for it' : mismatch(instruction, recorded);
    if (problem !== undefined || recorded === undefined) {
      const message = `${instruction.keyword} in line ${instruction.startLine}: ${problem}`;
      const history = recorded === undefined ? {} : { history: recorded.index };
      return {
        consistency: 'inconsistent',
        instructions: aligned,
        inconsistency: { line: instruction.startLine, ...history, message },
      };
    }
    const layer = layers[recorded.index];
    aligned.push({
      line: instruction.startLine,
      keyword: instruction.keyword,
      history: recorded.index,
      ...(layer === undefined ? {} : { layer }),
    });
  }
  const extra = own[instructions.length];
  if (extra === undefined) return { consistency: 'consistent', instructions: aligned };
  const message = `history entry ${extra.index} (${extra.keyword}) has no instruction in the Dockerfile`;
  return {
    consistency: 'inconsistent',
    instructions: aligned,
    inconsistency: { history: extra.index, message },
  };
}

/** The instructions that made the image's own layers: the final stage's, after those of the stages it stands on. */
function instructionsOf(dockerfile: Dockerfile, target?: string): readonly DockerfileInstruction[] {
  const chain: DockerfileStage[] = [];
  let stage: DockerfileStage | undefined = finalStage(dockerfile, target);
  while (stage !== undefined) {
    chain.unshift(stage);
    stage = stage.base.kind === 'stage' ? dockerfile.stages[stage.base.stage] : undefined;
  }
  return chain.flatMap(({ instructions }) => instructions);
}

/** Entries BuildKit's exporter adds for layers it cannot explain. */
function isFiller(entry: HistoryEntry): boolean {
  return entry.comment === 'buildkit.exporter.image.v0' && (entry.created_by ?? '') === '';
}

function layerIndexes(history: readonly HistoryEntry[]): readonly (number | undefined)[] {
  let next = 0;
  return history.map((entry) => {
    if (entry.empty_layer === true) return undefined;
    next += 1;
    return next - 1;
  });
}

/** Reads both builders' ways of writing an instruction. */
function readEntry(entry: HistoryEntry, index: number): Recorded {
  const raw = (entry.created_by ?? '').replace(/\s*# buildkit$/, '').trim();
  const plain = instructionText(entry, raw);
  const word = /^([A-Z]+)\b/.exec(plain ?? raw)?.[1];
  return word !== undefined && RECORDED.has(word)
    ? { keyword: word, text: collapse((plain ?? raw).slice(word.length)), index }
    : { keyword: 'RUN', text: collapse(raw), index };
}

/**
 * What follows the classic builder's `<shell> #(nop)`. The shell is whatever SHELL set; a RUN whose own text contains the
 * mark makes a layer, which of the others only ADD, COPY and WORKDIR do.
 */
function instructionText(entry: HistoryEntry, raw: string): string | undefined {
  const mark = raw.indexOf('#(nop) ');
  if (mark < 0 || mark > MAX_SHELL) return undefined;
  const text = raw.slice(mark + 7).trimStart();
  return entry.empty_layer === true || /^(?:ADD|COPY|WORKDIR)\b/.test(text) ? text : undefined;
}

const MAX_SHELL = 1024;

const RECORDED: ReadonlySet<string> = new Set([
  ...[
    'ADD',
    'ARG',
    'CMD',
    'COPY',
    'ENTRYPOINT',
    'ENV',
    'EXPOSE',
    'HEALTHCHECK',
    'LABEL',
    'MAINTAINER',
    'ONBUILD',
  ],
  ...['RUN', 'SHELL', 'STOPSIGNAL', 'USER', 'VOLUME', 'WORKDIR'],
]);

function mismatch(instruction: DockerfileInstruction, recorded: Recorded): string | undefined {
  if (instruction.keyword !== recorded.keyword) {
    return `the history has ${recorded.keyword} ${JSON.stringify(recorded.text.slice(0, 120))} there`;
  }
  const wanted = comparable(instruction);
  if (wanted === undefined || contains(recorded, wanted, instruction.keyword)) return undefined;
  return `the history has ${JSON.stringify(recorded.text.slice(0, 120))} there`;
}

/** The part of an instruction that a history records unchanged. */
function comparable(instruction: DockerfileInstruction): string | undefined {
  const text = collapse(instruction.arguments);
  switch (instruction.keyword) {
    case 'RUN':
      return instruction.heredocs.length > 0 || text.startsWith('[') ? undefined : text;
    case 'ENV':
    case 'LABEL':
    case 'ARG':
      return /^["']?([^\s="']+)/.exec(text)?.[1];
    case 'USER':
    case 'STOPSIGNAL':
      return /["'\\`]/.test(text) ? undefined : text;
    default:
      return undefined;
  }
}

function contains(recorded: Recorded, wanted: string, keyword: string): boolean {
  if (wanted.includes('$') && keyword !== 'RUN') return true;
  if (keyword === 'USER' || keyword === 'STOPSIGNAL') return recorded.text === wanted;
  return keyword === 'RUN'
    ? recorded.text.endsWith(wanted)
    : recorded.text.replace(/^["']/, '').startsWith(wanted);
}

function collapse(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}
