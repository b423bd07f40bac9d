import type { ShellAssignment, ShellNode, ShellPart, ShellRedirection, ShellWord } from './syntax.ts';
import { ShellScanner } from './words.ts';

const RESERVED: ReadonlySet<string> = new Set([
  ...['!', '{', '}', 'case', 'do', 'done', 'elif', 'else', 'esac', 'fi', 'for', 'if', 'in', 'then'],
  ...['until', 'while', 'function', 'select', '[[', 'time'],
]);

/** Commands without lists inside, and the reserved words that stand between the others. */
export abstract class CommandScanner extends ShellScanner {
  /** Any command; the body of a function is one. */
  protected abstract command(): ShellNode;

  /** The reserved word at this position, when it stands alone. */
  protected reservedAhead(): string | undefined {
    this.skipBlank();
    const word = this.plainWordAhead();
    return word !== undefined && RESERVED.has(word) ? word : undefined;
  }

  protected wordIs(expected: string): boolean {
    return this.plainWordAhead() === expected;
  }

  protected take(word: string): void {
    this.skipNewlines();
    if (!this.wordIs(word)) throw this.unexpected(word);
    this.position += word.length;
  }

  protected name(): string {
    const name = this.plainWordAhead();
    if (name === undefined || !/^[A-Za-z_]\w*$/.test(name)) throw this.unexpected('a variable name');
    this.position += name.length;
    return name;
  }

  protected expect(char: string): void {
    this.skipNewlines();
    if (this.text[this.position] !== char) throw this.unexpected(char);
    this.position += 1;
  }

  protected simpleCommand(): ShellNode {
    const start = this.position;
    const assignments: ShellAssignment[] = [];
    const words: ShellWord[] = [];
    const redirections: ShellRedirection[] = [];
    let end = start;
    for (;;) {
      this.skipBlank();
      const redirection = this.redirection();
      if (redirection !== undefined) redirections.push(redirection);
      else if (words.length === 0 && this.assignmentAhead() !== undefined)
        assignments.push(this.assignment());
      else if (this.wordAhead()) words.push(this.word());
      else break;
      end = this.position;
      if (words.length === 1 && assignments.length === 0 && redirections.length === 0) {
        const body = this.functionBody(words[0]!);
        if (body !== undefined) return { kind: 'function', name: words[0]!.source, body };
      }
    }
    if (end === start) throw this.unexpected();
    return { kind: 'simple', assignments, words, redirections, source: this.text.slice(start, end) };
  }

  /** What follows `name ()`. */
  private functionBody(word: ShellWord): ShellNode | undefined {
    const start = this.position;
    this.skipBlank();
    if (this.text[this.position] !== '(' || word.parts.some((part: ShellPart) => part.kind !== 'text')) {
      this.position = start;
      return undefined;
    }
    this.position += 1;
    this.expect(')');
    this.skipNewlines();
    this.enter();
    const body = this.command();
    this.leave();
    return body;
  }

  private assignment(): ShellAssignment {
    const { name, length } = this.assignmentAhead()!;
    this.position += length;
    if (this.text[this.position] !== '(') {
      const empty: ShellWord = { parts: [], source: '' };
      return { name, values: [this.wordAhead() ? this.word() : empty] };
    }
    this.position += 1;
    const values: ShellWord[] = [];
    for (;;) {
      this.skipNewlines();
      if (this.text[this.position] === ')') break;
      values.push(this.word());
    }
    this.position += 1;
    return { name, values };
  }

  protected redirections(): readonly ShellRedirection[] {
    const found: ShellRedirection[] = [];
    for (;;) {
      this.skipBlank();
      const redirection = this.redirection();
      if (redirection === undefined) return found;
      found.push(redirection);
    }
  }

  protected testCommand(): ShellNode {
    const start = this.position;
    this.take('[[');
    const words: ShellWord[] = [];
    for (;;) {
      this.skipNewlines();
      if (this.wordIs(']]')) break;
      const char = this.text[this.position];
      if (char === undefined) throw this.unexpected();
      if (words.at(-1)?.source === '=~') words.push(this.patternWord());
      else if ('()<>!'.includes(char) && !this.wordAhead()) words.push(this.symbol(1));
      else if (this.startsWith('&&') || this.startsWith('||')) words.push(this.symbol(2));
      else if (this.wordAhead()) words.push(this.word());
      else throw this.unexpected();
    }
    this.take(']]');
    const source = this.text.slice(start, this.position);
    return { kind: 'test', words, redirections: this.redirections(), source };
  }

  private symbol(length: number): ShellWord {
    const source = this.text.slice(this.position, this.position + length);
    this.position += length;
    return { parts: [{ kind: 'text', value: source, quoted: false }], source };
  }

  protected arithmeticCommand(): ShellNode | undefined {
    const end = this.arithmeticEnd(this.position + 2);
    if (end === undefined) return undefined;
    const source = this.text.slice(this.position, end);
    this.position = end;
    return { kind: 'test', words: [], redirections: this.redirections(), source };
  }
}
