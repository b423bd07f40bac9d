import { openingOf } from './heredocs.ts';
import { invalid } from './invalid.ts';
import { refuseFlags } from './known-flags.ts';
import type { DockerfileInstruction } from './types.ts';
import { splitBlanks, splitWords, trim } from './words.ts';

type Command = Omit<DockerfileInstruction, 'heredocs' | 'endLine'>;

/** Instructions that may stand alone: an empty command is run by the shell. */
const MAY_BE_EMPTY: ReadonlySet<string> = new Set(['RUN', 'CMD', 'ENTRYPOINT']);
/** Instructions whose arguments may be a JSON list. */
const MAY_BE_LIST: ReadonlySet<string> = new Set([
  ...['ADD', 'CMD', 'COPY', 'ENTRYPOINT', 'HEALTHCHECK', 'RUN', 'SHELL', 'VOLUME'],
]);
/** Instructions that have no flags. ARG and STOPSIGNAL have none either, but let them stand. */
const WITHOUT_FLAGS: ReadonlySet<string> = new Set([
  ...[
    'CMD',
    'ENTRYPOINT',
    'ENV',
    'EXPOSE',
    'LABEL',
    'MAINTAINER',
    'ONBUILD',
    'SHELL',
    'USER',
    'VOLUME',
    'WORKDIR',
  ],
]);

/**
 * Refuses what BuildKit refuses in an instruction whose arguments are otherwise not read here. Flags of RUN, COPY, ADD, FROM and
 * HEALTHCHECK that nobody knows are let stand: newer frontends add some.
 *
 * @throws CoreError `INVALID_DOCKERFILE`
 * @see BuildKit, `frontend/dockerfile/instructions`, `ParseInstruction`
 */
export function refuseMalformed(command: Command, escapeCharacter: '\\' | '`'): void {
  const { keyword, arguments: text, flags, startLine } = command;
  const refuse = (reason: string) => {
    throw invalid(reason, startLine);
  };
  if (text === '' && !MAY_BE_EMPTY.has(keyword)) refuse(`${keyword} without arguments`);
  for (const { name } of flags) {
    if (WITHOUT_FLAGS.has(keyword)) refuse(`${keyword} takes no flag --${name.slice(0, 40)}`);
  }
  const isNoCheck = keyword === 'HEALTHCHECK' && /^none$/i.test(text);
  if (!isNoCheck) refuseFlags(keyword, flags, refuse);
  const list = keyword === 'HEALTHCHECK' ? trim(text.slice(/^\S*/.exec(text)?.[0].length)) : text;
  const items = MAY_BE_LIST.has(keyword) ? readList(list) : undefined;
  if (items === 'mixed') refuse(`the list of ${keyword} holds something else than strings`);
  switch (keyword) {
    case 'SHELL':
      if (items === undefined || items.length === 0) refuse('SHELL takes a JSON list');
      break;
    case 'ENV':
    case 'LABEL':
      refusePairs(command, escapeCharacter);
      break;
    case 'ARG':
      if (splitWords(text, escapeCharacter).some((word) => word.startsWith('=')))
        refuse('ARG without a name');
      break;
    case 'COPY':
    case 'ADD': {
      const words = items === undefined || items === 'mixed' ? splitBlanks(text) : items;
      if (words.length < 2) refuse(`${keyword} takes a source and a destination`);
      if (openingOf(words.at(-1) ?? '', startLine) !== undefined) refuse(`${keyword} to a heredoc`);
      break;
    }
    case 'VOLUME': {
      const words = items === undefined || items === 'mixed' ? [text] : items;
      if (words.length === 0 || words.some((word) => trim(word) === '')) refuse('VOLUME without a path');
      break;
    }
    case 'ONBUILD':
      if (/^(?:ONBUILD|FROM|MAINTAINER)$/i.test(splitBlanks(text, 2)[0] ?? ''))
        refuse('ONBUILD takes no ONBUILD, FROM or MAINTAINER');
      break;
    case 'HEALTHCHECK':
      refuseHealthcheck(text, items, refuse);
      break;
    default:
  }
}

function refuseHealthcheck(
  text: string,
  items: readonly string[] | 'mixed' | undefined,
  refuse: (reason: string) => void,
): void {
  const [kind = '', ...others] = text.split(/\s+/);
  if (/^none$/i.test(kind)) {
    if (others.length > 0) refuse('HEALTHCHECK NONE takes no arguments');
  } else if (!/^cmd$/i.test(kind))
    refuse(`HEALTHCHECK of an unknown kind ${JSON.stringify(kind.slice(0, 40))}`);
  else if (others.length === 0 || (items !== undefined && items.length === 0))
    refuse('HEALTHCHECK CMD without a command');
}

function refusePairs({ keyword, arguments: text, startLine }: Command, escapeCharacter: '\\' | '`'): void {
  const [first = '', ...others] = splitWords(text, escapeCharacter);
  if (first.includes('=')) {
    const stray = others.find((word) => !word.includes('='));
    if (stray !== undefined)
      throw invalid(`${keyword} ${JSON.stringify(stray.slice(0, 40))} has no =`, startLine);
    if ([first, ...others].some((word) => word.startsWith('=')))
      throw invalid(`${keyword} without a name`, startLine);
  } else if (splitBlanks(text, 2).length < 2)
    throw invalid(`${keyword} ${first.slice(0, 40)} has no value`, startLine);
}

/** Tells the list form of arguments from the shell form. */
export function isJsonList(text: string): boolean {
  return Array.isArray(readList(text));
}

/** The items of a JSON list of strings; `mixed` for a list of something else; undefined for what is no JSON list. */
function readList(text: string): readonly string[] | 'mixed' | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (!Array.isArray(value)) return undefined;
    return value.every((item) => typeof item === 'string') ? value : 'mixed';
  } catch {
    return undefined;
  }
}
