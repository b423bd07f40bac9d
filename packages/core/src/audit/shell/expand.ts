import type { ShellArgument, ShellStep } from './steps.ts';
import type { ShellList, ShellPart, ShellWord } from './syntax.ts';

/** A value a variable may have. */
export interface VariableValue {
  readonly text: string;
  readonly commands: readonly ShellStep[];
}

/** What expansion needs to know. */
export interface ShellVariables {
  values(name: string): readonly VariableValue[] | undefined;
  readonly positional: readonly ShellArgument[] | undefined;
  /** Evaluates a substitution and gives its steps. */
  run(body: ShellList): readonly ShellStep[];
}

const MAX_TEXT = 20_000;
const MAX_ALTERNATIVES = 32;

/** Expands a word into fields; with `single` it stays one (assignments, redirections). */
export function expandWord(
  word: ShellWord,
  variables: ShellVariables,
  single: boolean,
): readonly ShellArgument[] {
  const fields: Field[] = [];
  let field: Field | undefined;
  const current = (): Field => {
    if (field === undefined) {
      field = new Field();
      fields.push(field);
    }
    return field;
  };
  for (const part of word.parts) {
    if (
      part.kind === 'parameter' &&
      (part.name === '@' || part.name === '*') &&
      part.operator === undefined
    ) {
      const values = variables.positional;
      if (values === undefined) current().add(`\${${part.name}}`);
      else
        values.forEach((value, index) => {
          if (index > 0) {
            if (single) current().add(' ');
            else field = undefined;
          }
          current().addArgument(value);
        });
      continue;
    }
    const pieces = expandPart(part, variables);
    const text = pieces.options.length === 1 ? pieces.options[0]! : pieces.placeholder;
    const splits = !single && part.kind === 'parameter' && !part.quoted && /\s/.test(text);
    if (!splits) {
      current().addPieces(pieces);
      continue;
    }
    const values = text.trim().split(/\s+/);
    if (/^\s/.test(text)) field = undefined;
    values.forEach((value, index) => {
      if (index > 0) field = undefined;
      if (value !== '' || part.quoted) current().addPieces({ ...pieces, options: [value] });
    });
    if (/\s$/.test(text)) field = undefined;
  }
  return fields.map((each) => each.argument());
}

interface Pieces {
  readonly options: readonly string[];
  readonly placeholder: string;
  readonly commands: readonly ShellStep[];
  readonly process: boolean;
}

class Field {
  private text = '';
  private alternatives: readonly string[] = [''];
  private commands: readonly ShellStep[] = [];
  private process = false;

  add(text: string): void {
    this.text = joinBounded(this.text, text);
    this.alternatives = this.alternatives.map((each) => joinBounded(each, text));
  }

  addArgument(argument: ShellArgument): void {
    this.addPieces({
      options: argument.alternatives,
      placeholder: argument.text,
      commands: argument.commands,
      process: argument.process,
    });
  }

  addPieces({ options, placeholder, commands, process }: Pieces): void {
    const text = options.length === 1 ? options[0]! : placeholder;
    // Several variables with several values each would multiply; the second and later ones stay names.
    const spread = options.length > 1 && this.alternatives.length === 1;
    const choices = spread ? options.slice(0, MAX_ALTERNATIVES) : [text];
    this.alternatives = this.alternatives.flatMap((each) =>
      choices.map((choice) => joinBounded(each, choice)),
    );
    this.text = joinBounded(this.text, text);
    if (commands.length > 0) this.commands = [...this.commands, ...commands].slice(0, 1000);
    this.process ||= process;
  }

  argument(): ShellArgument {
    return {
      text: this.text,
      alternatives: this.alternatives,
      commands: this.commands,
      process: this.process,
    };
  }
}

function joinBounded(head: string, tail: string): string {
  // Cutting again and again would copy the whole text for every part behind the bound.
  if (head.length >= MAX_TEXT) return head;
  const text = head + tail;
  return text.length > MAX_TEXT ? text.slice(0, MAX_TEXT) : text;
}

function expandPart(part: ShellPart, variables: ShellVariables): Pieces {
  switch (part.kind) {
    case 'text':
      return known(part.value);
    case 'arithmetic':
      return known('$((:))');
    case 'command':
      return { ...known('$(:)'), commands: variables.run(part.body) };
    case 'process':
      return { ...known('$(:)'), commands: variables.run(part.body), process: true };
    case 'parameter':
      return expandParameter(part, variables);
  }
}

function known(text: string): Pieces {
  return { options: [text], placeholder: text, commands: [], process: false };
}

function expandParameter(part: ShellPart & { kind: 'parameter' }, variables: ShellVariables): Pieces {
  const values = variables.values(part.name) ?? [];
  const operand = part.operand === undefined ? undefined : expandWord(part.operand, variables, true)[0];
  const commands = [...values.flatMap((value) => value.commands), ...(operand?.commands ?? [])].slice(
    0,
    1000,
  );
  const fallback = part.operator !== undefined && /^:?[-=]$/.test(part.operator);
  if (values.length === 0) {
    if (fallback) return { ...known(operand?.text ?? ''), commands };
    return { ...known(`\${${part.name}${part.operator ?? ''}${operand?.text ?? ''}}`), commands };
  }
  const changed = part.operator === undefined || fallback || /^:?\?$/.test(part.operator);
  const placeholder = changed ? `\${${part.name}}` : `\${${part.name}${part.operator}${operand?.text ?? ''}}`;
  const texts = values.map(({ text }) =>
    changed ? text : trimmed(text, part.operator ?? '', operand?.text),
  );
  const options = texts.every((text) => text !== undefined) ? [...new Set(texts)] : [placeholder];
  return { options, placeholder, commands, process: false };
}

/** `${name%suffix}` and `${name#prefix}` with plain patterns; the rest is not known. */
function trimmed(text: string, operator: string, pattern: string | undefined): string | undefined {
  if (pattern === undefined || /[*?[\\$]/.test(pattern)) return undefined;
  if (operator === '%' || operator === '%%') {
    return text.endsWith(pattern) ? text.slice(0, text.length - pattern.length) : text;
  }
  if (operator === '#' || operator === '##')
    return text.startsWith(pattern) ? text.slice(pattern.length) : text;
  return undefined;
}
