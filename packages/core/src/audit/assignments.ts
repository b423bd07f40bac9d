import type { DockerfileInstruction } from '../dockerfile/types.ts';

/** `NAME=value` of an ENV, ARG or LABEL. */
export interface InstructionAssignment {
  readonly name: string;
  /** Unquoted and expanded as far as known; absent for `ARG NAME`. */
  readonly value?: string;
  /** True when the value still holds, or was made of, variables. */
  readonly variable: boolean;
}

/** What expansions may still give; a text beyond it stays as written. */
export interface ExpansionBudget {
  characters: number;
}

/** Reads the assignments of ENV, ARG and LABEL; nothing for other instructions. */
export function assignmentsOf(
  instruction: DockerfileInstruction,
  variables: ReadonlyMap<string, string>,
  budget: ExpansionBudget = { characters: 1_000_000 },
): readonly InstructionAssignment[] {
  if (!/^(ENV|ARG|LABEL)$/.test(instruction.keyword)) return [];
  const text = instruction.arguments.trim();
  const legacy = /^([^\s="']+)[ \t]+([\s\S]*)$/.exec(text);
  if (legacy !== null && instruction.keyword !== 'ARG') {
    return [assignment(legacy[1]!, legacy[2]!.trim(), variables, budget)];
  }
  return splitWords(text).map((word) => {
    const equals = word.indexOf('=');
    if (equals < 0) return { name: word, variable: false };
    return assignment(unquote(word.slice(0, equals)), word.slice(equals + 1), variables, budget);
  });
}

function assignment(
  name: string,
  written: string,
  variables: ReadonlyMap<string, string>,
  budget: ExpansionBudget,
): InstructionAssignment {
  const single = /^'[^']*'$/.test(written);
  const plain = unquote(written);
  if (single) return { name, value: plain, variable: false };
  return { name, value: expandVariables(plain, variables, budget), variable: /\$\{?[A-Za-z_]/.test(plain) };
}

/** Replaces `$NAME` and `${NAME}` that are known; leaves the rest as `${NAME}`. */
function expandVariables(
  text: string,
  variables: ReadonlyMap<string, string>,
  budget: ExpansionBudget,
): string {
  return text.replace(/\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})/g, (_, plain, braced) => {
    const name: string = plain ?? braced;
    const value = variables.get(name);
    if (value === undefined || value.length > budget.characters) return `\${${name}}`;
    budget.characters -= value.length;
    return value;
  });
}

/** Splits at blanks outside quotes, keeping the quotes. */
function splitWords(text: string): readonly string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]!;
    if (char === '\\' && quote !== "'") {
      word += char + (text[at + 1] ?? '');
      at += 1;
    } else if (quote === '' && /\s/.test(char)) {
      if (word !== '') words.push(word);
      word = '';
    } else {
      if (quote === '' && (char === '"' || char === "'")) quote = char;
      else if (char === quote) quote = '';
      word += char;
    }
  }
  if (word !== '') words.push(word);
  return words;
}

function unquote(text: string): string {
  return text.replace(/\\(.)|"|'/g, (_, escaped: string | undefined) => escaped ?? '');
}
