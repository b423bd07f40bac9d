import type { HistoryEntry } from '@imagevet/registry';

/** A history entry read as an instruction. */
export interface Recorded {
  readonly keyword: string;
  /** What follows the keyword; for RUN in the classic form the whole command. */
  readonly text: string;
  /**
   * Who writes so: `classic` is the builder in Docker Engine (`/bin/sh -c #(nop)  ENV A=b`, and a bare command for RUN),
   * `buildah` its imitation, which has one blank less, `buildkit` everything that begins with the keyword.
   */
  readonly form: 'classic' | 'buildah' | 'buildkit';
}

/** An entry that counts, with its place in the image's history. */
export interface PlacedEntry {
  readonly index: number;
  readonly entry: HistoryEntry;
  /**
   * Every way it can be read, the likeliest first. A classic RUN whose command holds the mark of the other instructions looks
   * like one of those, and only the Dockerfile can tell.
   */
  readonly readings: readonly Recorded[];
}

/** The entries instructions can have made: all but those BuildKit's exporter adds for layers it cannot explain, and squashing. */
export function countedEntries(history: readonly HistoryEntry[]): readonly PlacedEntry[] {
  return history.flatMap((entry, index) => {
    const by = entry.created_by ?? '';
    const squashed = by === '' && /^(?:merge|create new from) sha256:/.test(entry.comment ?? '');
    const isFiller = entry.comment === 'buildkit.exporter.image.v0';
    return isFiller || squashed ? [] : [{ index, entry, readings: readingsOf(by.trim()) }];
  });
}

/** The layer each entry made, by its index. */
export function layerIndexes(history: readonly HistoryEntry[]): readonly (number | undefined)[] {
  let next = 0;
  return history.map((entry) => {
    if (entry.empty_layer === true) return undefined;
    next += 1;
    return next - 1;
  });
}

/** Tells whether an entry says nothing of how it was made: no text, or the bare shell of a container that was committed. */
export function isSilent({ entry }: PlacedEntry): boolean {
  const text = (entry.created_by ?? '').trim();
  return text === '' || /^(?:\/\w{1,16}){0,4}\/?(?:ba|a|da)?sh(?: -c)?$/.test(text);
}

function readingsOf(raw: string): readonly Recorded[] {
  const begins = keywordOf(raw);
  if (begins !== undefined) {
    const text = raw.endsWith(BUILDKIT) ? raw.slice(0, -BUILDKIT.length) : raw;
    return [{ keyword: begins, text: text.slice(begins.length).trim(), form: 'buildkit' }];
  }
  const run: Recorded = { keyword: 'RUN', text: raw, form: 'classic' };
  const mark = raw.indexOf(NO_OPERATION);
  const rest = mark < 0 ? '' : raw.slice(mark + NO_OPERATION.length);
  const keyword = keywordOf(rest.trimStart());
  if (keyword === undefined) return [run];
  const form = rest.startsWith(' ') || /^(?:ADD|COPY|WORKDIR)/.test(rest) ? 'classic' : 'buildah';
  return [{ keyword, text: rest.trimStart().slice(keyword.length).trim(), form }, run];
}

const BUILDKIT = ' # buildkit';
const NO_OPERATION = '#(nop) ';

function keywordOf(text: string): string | undefined {
  const word = /^[A-Z]{3,11}(?= |$)/.exec(text)?.[0];
  return word !== undefined && RECORDED.has(word) ? word : undefined;
}

const RECORDED: ReadonlySet<string> = new Set(
  (
    'ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME ' +
    'WORKDIR'
  ).split(' '),
);
