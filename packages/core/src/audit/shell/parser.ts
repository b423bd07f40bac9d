import { ShellSyntaxError } from './cursor.ts';
import { CommandScanner } from './simple-command.ts';
import type { ShellList, ShellNode, ShellParse, ShellWord } from './syntax.ts';

/** Options of {@link parseShell}. */
export interface ParseShellOptions {
  /** Heredoc bodies that a Dockerfile parser already took out, in order of their `<<` operators. */
  readonly heredocs?: readonly { readonly content: string; readonly expand: boolean }[];
}

/**
 * Reads a script in the language of POSIX sh, with the extensions of bash that appear in Dockerfiles. Linear in
 * the text; nesting is bounded at 100 levels. A script it cannot read is an answer (`ok: false`), never an
 * exception and never a partial tree.
 *
 * @see POSIX.1-2024 XCU 2.10, Shell Grammar
 */
export function parseShell(text: string, options: ParseShellOptions = {}): ShellParse {
  const parser = new ShellParser(text, options.heredocs);
  try {
    return { ok: true, script: parser.script() };
  } catch (error) {
    if (error instanceof ShellSyntaxError) return { ok: false, reason: error.message, offset: error.offset };
    throw error;
  }
}

const CLOSERS: ReadonlySet<string> = new Set(['}', 'do', 'done', 'elif', 'else', 'esac', 'fi', 'then', 'in']);

class ShellParser extends CommandScanner {
  script(): ShellList {
    const list = this.list();
    if (!this.atEnd()) throw this.unexpected();
    this.finishHeredocs();
    return list;
  }

  protected override list(): ShellList {
    const items: ShellNode[] = [];
    this.enter();
    for (;;) {
      this.skipNewlines();
      if (
        this.atEnd() ||
        this.text[this.position] === ')' ||
        this.startsWith(';;') ||
        this.startsWith(';&')
      ) {
        break;
      }
      const word = this.reservedAhead();
      if (word !== undefined && CLOSERS.has(word)) break;
      items.push(this.andOr());
      this.skipBlank();
      if (this.startsWith(';;') || this.startsWith(';&')) break;
      const separator = this.text[this.position];
      if (separator === ';' || (separator === '&' && this.text[this.position + 1] !== '&'))
        this.position += 1;
      else if (separator !== '\n') break;
    }
    this.leave();
    return { kind: 'list', items };
  }

  private andOr(): ShellNode {
    const items: ShellNode[] = [this.pipeline()];
    const operators: ('&&' | '||')[] = [];
    for (;;) {
      this.skipBlank();
      const operator = this.startsWith('&&') ? '&&' : this.startsWith('||') ? '||' : undefined;
      if (operator === undefined) break;
      this.position += 2;
      this.skipNewlines();
      operators.push(operator);
      items.push(this.pipeline());
    }
    return items.length === 1 ? items[0]! : { kind: 'and-or', items, operators };
  }

  private pipeline(): ShellNode {
    for (let word = this.reservedAhead(); word === '!' || word === 'time'; word = this.reservedAhead()) {
      this.take(word);
      this.skipBlank();
      if (word === 'time' && this.wordIs('-p')) this.take('-p');
    }
    const commands: ShellNode[] = [this.command()];
    for (;;) {
      this.skipBlank();
      if (this.text[this.position] !== '|' || this.startsWith('||')) break;
      this.position += this.startsWith('|&') ? 2 : 1;
      this.skipNewlines();
      commands.push(this.command());
    }
    return commands.length === 1 ? commands[0]! : { kind: 'pipeline', commands };
  }

  protected override command(): ShellNode {
    this.skipBlank();
    if (this.startsWith('((')) {
      const arithmetic = this.arithmeticCommand();
      if (arithmetic !== undefined) return arithmetic;
    }
    if (this.text[this.position] === '(') {
      this.position += 1;
      const body = this.body();
      this.expect(')');
      return { kind: 'group', subshell: true, body, redirections: this.redirections() };
    }
    const word = this.reservedAhead();
    switch (word) {
      case '{': {
        this.take('{');
        const body = this.body();
        this.take('}');
        return { kind: 'group', subshell: false, body, redirections: this.redirections() };
      }
      case 'if':
        return this.ifCommand();
      case 'while':
      case 'until': {
        this.take(word);
        const condition = this.body();
        const body = this.doGroup();
        return { kind: 'loop', condition, body, redirections: this.redirections() };
      }
      case 'for':
      case 'select':
        return this.forCommand(word);
      case 'case':
        return this.caseCommand();
      case 'function':
        return this.functionCommand();
      case '[[':
        return this.testCommand();
      case undefined:
        return this.simpleCommand();
      default:
        throw this.unexpected();
    }
  }

  /** A list that must not be empty. */
  private body(): ShellList {
    const list = this.list();
    if (list.items.length === 0) throw this.unexpected();
    return list;
  }

  private ifCommand(): ShellNode {
    const branches: { condition: ShellList; body: ShellList }[] = [];
    this.take('if');
    for (;;) {
      const condition = this.body();
      this.take('then');
      branches.push({ condition, body: this.body() });
      if (this.reservedAhead() !== 'elif') break;
      this.take('elif');
    }
    let otherwise: ShellList | undefined;
    if (this.reservedAhead() === 'else') {
      this.take('else');
      otherwise = this.body();
    }
    this.take('fi');
    return { kind: 'if', branches, otherwise, redirections: this.redirections() };
  }

  private doGroup(): ShellList {
    this.skipNewlines();
    this.take('do');
    const body = this.body();
    this.take('done');
    return body;
  }

  private forCommand(keyword: string): ShellNode {
    this.take(keyword);
    this.skipBlank();
    if (this.startsWith('((')) {
      if (this.arithmeticCommand() === undefined) throw this.unexpected();
      this.skipSeparator();
      return { kind: 'for', words: [], body: this.doGroup(), redirections: this.redirections() };
    }
    const name = this.name();
    this.skipNewlines();
    const words: ShellWord[] = [];
    if (this.wordIs('in')) {
      this.take('in');
      for (;;) {
        this.skipBlank();
        if (!this.wordAhead()) break;
        words.push(this.word());
      }
    }
    this.skipSeparator();
    return { kind: 'for', name, words, body: this.doGroup(), redirections: this.redirections() };
  }

  private skipSeparator(): void {
    this.skipBlank();
    if (this.text[this.position] === ';') this.position += 1;
    this.skipNewlines();
  }

  private caseCommand(): ShellNode {
    this.take('case');
    this.skipBlank();
    const subject = this.word();
    this.skipNewlines();
    this.take('in');
    const clauses: { patterns: readonly ShellWord[]; body: ShellList }[] = [];
    for (;;) {
      this.skipNewlines();
      if (this.wordIs('esac')) break;
      if (this.text[this.position] === '(') this.position += 1;
      const patterns: ShellWord[] = [];
      for (;;) {
        this.skipBlank();
        patterns.push(this.word());
        this.skipBlank();
        if (this.text[this.position] !== '|') break;
        this.position += 1;
      }
      this.expect(')');
      clauses.push({ patterns, body: this.list() });
      this.skipNewlines();
      if (this.startsWith(';;&')) this.position += 3;
      else if (this.startsWith(';;') || this.startsWith(';&')) this.position += 2;
      else break;
    }
    this.skipNewlines();
    this.take('esac');
    return { kind: 'case', subject, clauses, redirections: this.redirections() };
  }

  private functionCommand(): ShellNode {
    this.take('function');
    this.skipBlank();
    const name = this.word().source;
    this.skipBlank();
    if (this.text[this.position] === '(') {
      this.position += 1;
      this.expect(')');
    }
    this.skipNewlines();
    return { kind: 'function', name, body: this.command() };
  }
}
