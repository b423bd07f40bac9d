/** Where and why a text is not a shell script. */
export class ShellSyntaxError extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

const MAX_DEPTH = 100;
/** Characters that end a word. */
export const META: string = ' \t\r\n;&|<>()';

/** A place in a script: blanks, what comes next, and texts without expansions. */
export abstract class ShellCursor {
  protected position = 0;
  protected readonly text: string;
  protected depth: number;

  constructor(text: string, depth: number) {
    this.text = text;
    this.depth = depth;
  }

  /** Called behind each newline between commands. */
  protected abstract readHeredocs(): void;

  protected atEnd(): boolean {
    return this.position >= this.text.length;
  }

  protected startsWith(token: string): boolean {
    return this.text.startsWith(token, this.position);
  }

  /** Counts a level of nesting. */
  protected enter(): void {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw new ShellSyntaxError(`nesting deeper than ${MAX_DEPTH}`, this.position);
  }

  protected leave(): void {
    this.depth -= 1;
  }

  protected unexpected(expected?: string): ShellSyntaxError {
    const found = this.atEnd()
      ? 'the end'
      : JSON.stringify(this.text.slice(this.position, this.position + 12));
    return new ShellSyntaxError(
      expected === undefined ? `unexpected ${found}` : `expected ${expected}, found ${found}`,
      this.position,
    );
  }

  /** Blanks, continuations and, at the start of a word, a comment. */
  protected skipBlank(): void {
    for (;;) {
      const char = this.text[this.position];
      if (char === ' ' || char === '\t' || char === '\r') this.position += 1;
      else if (char === '\\' && this.text[this.position + 1] === '\n') this.position += 2;
      else if (char === '\\' && this.startsWith('\\\r\n')) this.position += 3;
      else if (char === '#' && this.wordBoundary()) {
        const end = this.text.indexOf('\n', this.position);
        this.position = end < 0 ? this.text.length : end;
      } else return;
    }
  }

  protected skipNewlines(): void {
    for (;;) {
      this.skipBlank();
      if (this.text[this.position] !== '\n') return;
      this.position += 1;
      this.readHeredocs();
    }
  }

  private wordBoundary(): boolean {
    const before = this.text[this.position - 1];
    return before === undefined || META.includes(before) || before === '`';
  }

  /** Whether a word starts here. */
  protected wordAhead(): boolean {
    const char = this.text[this.position];
    if (char === undefined) return false;
    if ((char === '<' || char === '>') && this.text[this.position + 1] === '(') return true;
    return !META.includes(char);
  }

  /** The word here when it holds neither quotes nor expansions. */
  protected plainWordAhead(): string | undefined {
    let end = this.position;
    for (let char = this.text[end]; char !== undefined && !META.includes(char); char = this.text[end]) {
      if (char === '"' || char === "'" || char === '\\' || char === '$' || char === '`') return undefined;
      // Long words are never reserved ones.
      if (end - this.position > 255) return undefined;
      end += 1;
    }
    return end === this.position ? undefined : this.text.slice(this.position, end);
  }

  protected assignmentAhead(): { readonly name: string; readonly length: number } | undefined {
    const pattern = /([A-Za-z_][A-Za-z0-9_]*)(?:\[[^\]\n]{0,100}\])?\+?=/y;
    pattern.lastIndex = this.position;
    const match = pattern.exec(this.text);
    return match === null ? undefined : { name: match[1]!, length: match[0].length };
  }

  /** A parenthesised pattern or array subscript, as text. */
  protected balanced(): string {
    const start = this.position;
    let open = 0;
    for (; this.position < this.text.length; this.position += 1) {
      const char = this.text[this.position];
      if (char === '(') open += 1;
      else if (char === ')') open -= 1;
      if (open === 0) {
        this.position += 1;
        return this.text.slice(start, this.position);
      }
    }
    throw this.unexpected(')');
  }

  protected singleQuoted(): string {
    const end = this.text.indexOf("'", this.position + 1);
    if (end < 0) throw new ShellSyntaxError('unterminated single quote', this.position);
    const value = this.text.slice(this.position + 1, end);
    this.position = end + 1;
    return value;
  }

  protected ansiQuoted(): string {
    const start = this.position;
    let value = '';
    for (this.position += 1; this.position < this.text.length; this.position += 1) {
      const char = this.text[this.position]!;
      if (char === "'") {
        this.position += 1;
        return value;
      }
      if (char === '\\') {
        this.position += 1;
        const escaped = this.text[this.position] ?? '';
        value += { n: '\n', t: '\t', r: '\r' }[escaped] ?? escaped;
      } else value += char;
    }
    throw new ShellSyntaxError("unterminated $'", start);
  }

  /** Offset behind the `))` that closes an arithmetic expression whose body starts at `from`. */
  protected arithmeticEnd(from: number): number | undefined {
    let open = 0;
    for (let at = from; at < this.text.length; at += 1) {
      const char = this.text[at];
      if (char === '\n' || char === ';' || char === '"' || char === "'") {
        if (char !== ';') return undefined;
      } else if (char === '(') open += 1;
      else if (char === ')') {
        if (open === 0) return this.text[at + 1] === ')' ? at + 2 : undefined;
        open -= 1;
      }
    }
    return undefined;
  }
}
