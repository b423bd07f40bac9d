/** A simple command as it would run: name without directory, arguments expanded as far as the text tells. */
export interface ShellStep {
  /** `curl` for `/usr/bin/curl`; empty for an assignment alone, or when only the build knows it. */
  readonly name: string;
  readonly args: readonly ShellArgument[];
  readonly assignments: readonly { readonly name: string; readonly value: ShellArgument }[];
  /** Steps whose output is this one's standard input. */
  readonly inputs: readonly ShellStep[];
  /** Heredoc or here-string on standard input. */
  readonly inputText?: ShellArgument;
  /** File on standard input. */
  readonly inputFile?: ShellArgument;
  /** Files that standard output goes to. */
  readonly outputs: readonly ShellArgument[];
  /** True when a `$(...)` or `<(...)` takes its output. */
  readonly captured: boolean;
  /** As written, of the innermost script. */
  readonly source: string;
}

/** An expanded word. */
export interface ShellArgument {
  /** Without quotes; what is not known stays as `${NAME}` or `$(:)`. */
  readonly text: string;
  /** Every value the text allows, when a variable has several (a `for` list, the branches of a `case`); else `text`. */
  readonly alternatives: readonly string[];
  /** Steps inside its command and process substitutions, and inside those of the variables it uses. */
  readonly commands: readonly ShellStep[];
  /** True for `<(...)` and `>(...)`. */
  readonly process: boolean;
}

/** Everything that a script runs, in the order of its text. */
export interface ShellRun {
  readonly steps: readonly ShellStep[];
  /** Nested scripts (`sh -c`, `eval`) and excesses that could not be followed. */
  readonly unread: readonly string[];
}
