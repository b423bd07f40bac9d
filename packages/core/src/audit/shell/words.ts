import { META, ShellCursor, ShellSyntaxError } from './cursor.ts';
import type { ShellList, ShellPart, ShellRedirection, ShellWord } from './syntax.ts';

const REDIRECTION_OPERATORS = [
  '&>>',
  '&>',
  '<<<',
  '<<-',
  '<<',
  '<>',
  '<&',
  '>>',
  '>|',
  '>&',
  '<',
  '>',
] as const;

interface PendingHeredoc {
  readonly delimiter: string;
  readonly expand: boolean;
  readonly stripTabs: boolean;
  /** The redirection's target, filled when the body is read. */
  readonly parts: ShellPart[];
}

/** Words, quotes, expansions, redirections and blanks of a script; commands are the parser's. */
export abstract class ShellScanner extends ShellCursor {
  private readonly pending: PendingHeredoc[] = [];
  private readonly extracted: { readonly content: string; readonly expand: boolean }[];

  constructor(text: string, heredocs: readonly { content: string; expand: boolean }[] = [], depth = 0) {
    super(text, depth);
    this.extracted = [...heredocs];
  }

  protected abstract list(): ShellList;
  abstract script(): ShellList;

  protected word(): ShellWord {
    const start = this.position;
    const parts = this.parts((char) => META.includes(char), false);
    if (this.position === start) throw this.unexpected('a word');
    return { parts, source: this.text.slice(start, this.position) };
  }

  /** The right side of `=~`: parentheses and bars belong to it. */
  protected patternWord(): ShellWord {
    const start = this.position;
    let open = 0;
    const parts = this.parts((char) => {
      if (char === '(') open += 1;
      if (char === ')') open -= 1;
      return open < 0 || (open === 0 && ' \t\n'.includes(char));
    }, true);
    if (this.position === start) throw this.unexpected('a pattern');
    return { parts, source: this.text.slice(start, this.position) };
  }

  private parts(isEnd: (char: string) => boolean, raw: boolean, plainSingleQuote = false): ShellPart[] {
    const parts: ShellPart[] = [];
    let literal = '';
    const flush = (): void => {
      if (literal !== '') parts.push({ kind: 'text', value: literal, quoted: false });
      literal = '';
    };
    for (;;) {
      const char = this.text[this.position];
      if (char === undefined) break;
      const next = this.text[this.position + 1];
      if (!raw && (char === '<' || char === '>') && next === '(') {
        flush();
        this.position += 2;
        parts.push({ kind: 'process', direction: char, body: this.nested() });
      } else if (
        !raw &&
        char === '(' &&
        '?*+@!='.includes(this.text[this.position - 1] ?? ' ') &&
        literal !== ''
      ) {
        literal += this.balanced();
      } else if (isEnd(char)) {
        break;
      } else if (char === '\\') {
        if (next === undefined) literal += '\\';
        else if (next !== '\n') parts.push(...takeText(literal), { kind: 'text', value: next, quoted: true });
        if (next !== undefined && next !== '\n') literal = '';
        this.position += 2;
      } else if (char === "'" && !plainSingleQuote) {
        flush();
        parts.push({ kind: 'text', value: this.singleQuoted(), quoted: true });
      } else if (char === '"') {
        flush();
        this.position += 1;
        for (const part of this.doubleQuoted('"')) parts.push(part);
        this.position += 1;
      } else if (char === '$' && next === "'") {
        flush();
        this.position += 1;
        parts.push({ kind: 'text', value: this.ansiQuoted(), quoted: true });
      } else if (char === '$' && next === '"') {
        this.position += 1;
      } else if (char === '$' || char === '`') {
        const part = this.expansion(false);
        if (part.kind === 'text') literal += part.value;
        else {
          flush();
          parts.push(part);
        }
      } else {
        literal += char;
        this.position += 1;
      }
    }
    flush();
    return parts;
  }

  /** Up to, not including, the closing quote; with `end` undefined up to the end of the text (a heredoc body). */
  private doubleQuoted(end: string | undefined): ShellPart[] {
    const start = this.position;
    const parts: ShellPart[] = [];
    let literal = '';
    for (;;) {
      const char = this.text[this.position];
      if (char === undefined) {
        if (end !== undefined) throw new ShellSyntaxError('unterminated double quote', start - 1);
        break;
      }
      if (char === end) break;
      if (char === '\\') {
        const next = this.text[this.position + 1];
        if (next !== '\n') literal += next !== undefined && '$`"\\'.includes(next) ? next : `\\${next ?? ''}`;
        this.position += 2;
      } else if (char === '$' || char === '`') {
        const part = this.expansion(true);
        if (part.kind === 'text') literal += part.value;
        else {
          parts.push({ kind: 'text', value: literal, quoted: true }, part);
          literal = '';
        }
      } else {
        literal += char;
        this.position += 1;
      }
    }
    parts.push({ kind: 'text', value: literal, quoted: true });
    return parts;
  }

  private expansion(quoted: boolean): ShellPart {
    if (this.text[this.position] === '`') return { kind: 'command', body: this.backquoted(), quoted };
    if (this.startsWith('$((')) {
      const end = this.arithmeticEnd(this.position + 3);
      if (end !== undefined) {
        const source = this.text.slice(this.position, end);
        this.position = end;
        return { kind: 'arithmetic', source };
      }
    }
    if (this.startsWith('$(')) {
      this.position += 2;
      return { kind: 'command', body: this.nested(), quoted };
    }
    if (this.startsWith('${')) return this.parameter(quoted);
    const pattern = /\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])/y;
    pattern.lastIndex = this.position;
    const match = pattern.exec(this.text);
    this.position += match === null ? 1 : match[0].length;
    return match === null
      ? { kind: 'text', value: '$', quoted }
      : { kind: 'parameter', name: match[1]!, quoted };
  }

  private nested(): ShellList {
    const body = this.list();
    this.skipNewlines();
    if (this.text[this.position] !== ')') throw this.unexpected(')');
    this.position += 1;
    return body;
  }

  private backquoted(): ShellList {
    const start = this.position;
    let script = '';
    for (this.position += 1; ; this.position += 1) {
      const char = this.text[this.position];
      if (char === undefined) throw new ShellSyntaxError('unterminated backquote', start);
      if (char === '`') break;
      if (char === '\\' && '$`\\'.includes(this.text[this.position + 1] ?? ' ')) this.position += 1;
      script += this.text[this.position] ?? '';
    }
    this.position += 1;
    this.enter();
    const nested = this.nestedScanner(script, this.depth).script();
    this.leave();
    return nested;
  }

  private nestedScanner(script: string, depth: number): ShellScanner {
    const Self = this.constructor as new (text: string, heredocs: readonly [], depth: number) => ShellScanner;
    return new Self(script, [], depth);
  }

  private parameter(quoted: boolean): ShellPart {
    const start = this.position;
    const pattern = /\$\{([#!]?)([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])(\[[^\]\n]{0,100}\])?/y;
    pattern.lastIndex = start;
    const match = pattern.exec(this.text);
    if (match === null) throw new ShellSyntaxError('bad substitution', start);
    this.position += match[0].length;
    const operators = /:[-=?+]|[-=?+]|%%?|##?|\/[/#%]?|\^\^?|,,?|:|@/y;
    operators.lastIndex = this.position;
    const operator = operators.exec(this.text)?.[0];
    this.position += operator?.length ?? 0;
    this.enter();
    const from = this.position;
    // POSIX 2.6.2: within double quotes the word of `:-` and its kin keeps single quotes as they are.
    const plainSingleQuote = quoted && operator !== undefined && /^:?[-=?+]$/.test(operator);
    const parts = this.parts((char) => char === '}', true, plainSingleQuote);
    this.leave();
    if (this.text[this.position] !== '}') throw new ShellSyntaxError('unterminated ${', start);
    const source = this.text.slice(from, this.position);
    this.position += 1;
    if (operator === undefined && source !== '') throw new ShellSyntaxError('bad substitution', start);
    const name = match[2]!;
    return operator === undefined && match[1] === ''
      ? { kind: 'parameter', name, quoted }
      : { kind: 'parameter', name, operator: operator ?? match[1], operand: { parts, source }, quoted };
  }

  protected redirection(): ShellRedirection | undefined {
    const descriptor = /(?:[0-9]{1,9}|\{[A-Za-z_]\w{0,63}\})(?=[<>])/y;
    descriptor.lastIndex = this.position;
    const written = descriptor.exec(this.text)?.[0];
    const at = this.position + (written?.length ?? 0);
    const operator = REDIRECTION_OPERATORS.find((token) => this.text.startsWith(token, at));
    if (operator === undefined) return undefined;
    // `<(` and `>(` are process substitutions, which are words.
    if ((operator === '<' || operator === '>') && this.text[at + 1] === '(' && written === undefined)
      return undefined;
    this.position = at + operator.length;
    this.skipBlank();
    if (operator === '<<' || operator === '<<-')
      return { operator, descriptor: written, target: this.heredoc(operator) };
    return { operator, descriptor: written, target: this.word() };
  }

  private heredoc(operator: '<<' | '<<-'): ShellWord {
    const word = this.word();
    const delimiter = word.parts.map((part) => (part.kind === 'text' ? part.value : '')).join('');
    const parts: ShellPart[] = [];
    const target: ShellWord = { parts, source: word.source };
    const body = this.extracted.shift();
    if (body !== undefined) {
      for (const part of this.heredocParts(body.content, body.expand)) parts.push(part);
      return target;
    }
    const expand = !/['"\\]/.test(word.source);
    this.pending.push({ delimiter, expand, stripTabs: operator === '<<-', parts });
    return target;
  }

  protected override readHeredocs(): void {
    for (const heredoc of this.pending.splice(0)) {
      const lines: string[] = [];
      let closed = false;
      while (!this.atEnd()) {
        const end = this.text.indexOf('\n', this.position);
        const line = this.text.slice(this.position, end < 0 ? undefined : end);
        this.position = end < 0 ? this.text.length : end + 1;
        const stripped = heredoc.stripTabs ? line.replace(/^\t+/, '') : line;
        closed = stripped === heredoc.delimiter;
        if (closed) break;
        lines.push(stripped);
      }
      if (!closed) throw new ShellSyntaxError(`unterminated heredoc ${heredoc.delimiter}`, this.position);
      const body = this.heredocParts(lines.map((line) => `${line}\n`).join(''), heredoc.expand);
      for (const part of body) heredoc.parts.push(part);
    }
  }

  private heredocParts(content: string, expand: boolean): readonly ShellPart[] {
    if (!expand) return [{ kind: 'text', value: content, quoted: true }];
    return this.nestedScanner(content, this.depth).doubleQuoted(undefined);
  }

  protected finishHeredocs(): void {
    if (this.pending.length > 0) throw new ShellSyntaxError('unterminated heredoc', this.position);
  }
}

function takeText(value: string): readonly ShellPart[] {
  return value === '' ? [] : [{ kind: 'text', value, quoted: false }];
}
