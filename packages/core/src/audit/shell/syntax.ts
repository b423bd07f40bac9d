/** A shell script as read by {@link parseShell}: what runs, in order. */
export interface ShellList {
  readonly kind: 'list';
  readonly items: readonly ShellNode[];
}

/** Any command of the shell grammar. @see POSIX.1-2024 XCU 2.9 */
export type ShellNode =
  | ShellSimple
  | ShellPipeline
  | ShellAndOr
  | ShellGroup
  | ShellIf
  | ShellLoop
  | ShellFor
  | ShellCase
  | ShellFunction
  | ShellTest;

/** `A=1 name word... >file`. */
export interface ShellSimple {
  readonly kind: 'simple';
  readonly assignments: readonly ShellAssignment[];
  readonly words: readonly ShellWord[];
  readonly redirections: readonly ShellRedirection[];
  /** As written. */
  readonly source: string;
}

/** `name=value`; `a=(x y)` gives several words. */
export interface ShellAssignment {
  readonly name: string;
  readonly values: readonly ShellWord[];
}

/** `a | b`. */
export interface ShellPipeline {
  readonly kind: 'pipeline';
  readonly commands: readonly ShellNode[];
}

/** `left && right`, `left || right`; a chain leans to the left. */
export interface ShellAndOr {
  readonly kind: 'and-or';
  readonly items: readonly ShellNode[];
  /** Between the items: one fewer. */
  readonly operators: readonly ('&&' | '||')[];
}

/** `( list )` or `{ list; }`. */
export interface ShellGroup {
  readonly kind: 'group';
  readonly subshell: boolean;
  readonly body: ShellList;
  readonly redirections: readonly ShellRedirection[];
}

/** `if ...; then ...; elif ...; else ...; fi`. */
export interface ShellIf {
  readonly kind: 'if';
  readonly branches: readonly { readonly condition: ShellList; readonly body: ShellList }[];
  readonly otherwise?: ShellList;
  readonly redirections: readonly ShellRedirection[];
}

/** `while` and `until`. */
export interface ShellLoop {
  readonly kind: 'loop';
  readonly condition: ShellList;
  readonly body: ShellList;
  readonly redirections: readonly ShellRedirection[];
}

/** `for name in words; do ...; done`; also `select`, and the arithmetic form (then without name). */
export interface ShellFor {
  readonly kind: 'for';
  readonly name?: string;
  readonly words: readonly ShellWord[];
  readonly body: ShellList;
  readonly redirections: readonly ShellRedirection[];
}

/** `case subject in pattern) ... ;; esac`. */
export interface ShellCase {
  readonly kind: 'case';
  readonly subject: ShellWord;
  readonly clauses: readonly { readonly patterns: readonly ShellWord[]; readonly body: ShellList }[];
  readonly redirections: readonly ShellRedirection[];
}

/** `name() body`. */
export interface ShellFunction {
  readonly kind: 'function';
  readonly name: string;
  readonly body: ShellNode;
}

/** `[[ ... ]]` or `(( ... ))`. */
export interface ShellTest {
  readonly kind: 'test';
  readonly words: readonly ShellWord[];
  readonly redirections: readonly ShellRedirection[];
  readonly source: string;
}

/** `2>file`, `<<EOF`, `<<<word`. */
export interface ShellRedirection {
  readonly operator: string;
  /** File descriptor, when written. */
  readonly descriptor?: string;
  /** File, descriptor or here-string; for a heredoc its body. */
  readonly target: ShellWord;
}

/** One word: parts side by side. */
export interface ShellWord {
  readonly parts: readonly ShellPart[];
  /** As written, quotes included. */
  readonly source: string;
}

/** A piece of a word. `quoted` pieces are not split into fields. */
export type ShellPart =
  | { readonly kind: 'text'; readonly value: string; readonly quoted: boolean }
  | {
      readonly kind: 'parameter';
      readonly name: string;
      /** `:-`, `%%`, `/` ...; absent for plain `$name`. */
      readonly operator?: string;
      readonly operand?: ShellWord;
      readonly quoted: boolean;
    }
  | { readonly kind: 'command'; readonly body: ShellList; readonly quoted: boolean }
  | { readonly kind: 'process'; readonly direction: '<' | '>'; readonly body: ShellList }
  | { readonly kind: 'arithmetic'; readonly source: string };

/** What {@link parseShell} gives: the script, or why it is not one. */
export type ShellParse =
  | { readonly ok: true; readonly script: ShellList }
  | { readonly ok: false; readonly reason: string; readonly offset: number };
