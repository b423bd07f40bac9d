import type { DockerfileInstruction } from '../dockerfile/types.ts';
import { evaluateShell } from './shell/evaluate.ts';
import { parseShell } from './shell/parser.ts';
import type { ShellStep } from './shell/steps.ts';

/** What a RUN does, or why that is not known. */
export type RunOutcome =
  | { readonly kind: 'shell'; readonly steps: readonly ShellStep[]; readonly unread: readonly string[] }
  | { readonly kind: 'unread'; readonly reason: string };

/** A command and the instruction it stands in. */
export interface CommandUnit {
  readonly step: ShellStep;
  readonly instruction: DockerfileInstruction;
}

const SHELLS = /^(sh|bash|dash|ash|ksh|zsh|busybox)$/;

/** Reads the commands of a RUN: shell form, exec form, heredoc script. */
export function readRun(
  instruction: DockerfileInstruction,
  shell: readonly string[],
  variables: ReadonlyMap<string, string>,
): RunOutcome {
  const exec = jsonArray(instruction.arguments);
  if (exec !== undefined) {
    // An exec form is one command whatever SHELL says; quoting its words makes it one for the parser too.
    const script = exec.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
    return readScript(script, [], variables);
  }
  const name = programName(shell[0] ?? '');
  if (!SHELLS.test(name)) return { kind: 'unread', reason: `the shell is ${name}` };
  const text = instruction.arguments;
  const whole = /^\s*<<-?\s*(?:"[^"\s]*"|'[^'\s]*'|[^\s'"|&;<>()]+)\s*$/.test(text);
  const body = instruction.heredocs[0];
  if (!whole || body === undefined) return readScript(text, instruction.heredocs, variables);
  // BuildKit: a RUN that is nothing but a heredoc runs its body; a `#!` line names another interpreter.
  const interpreter = /^#!\s*(\S+)(?:[ \t]+(?:-S[ \t]+)?(\S+))?/.exec(body.content);
  const program = interpreter === null ? name : programName(interpreter[1]!);
  const actual = program === 'env' ? programName(interpreter?.[2] ?? '') : program;
  if (!SHELLS.test(actual)) return { kind: 'unread', reason: `the heredoc is run by ${actual}` };
  return readScript(body.content, [], variables);
}

function readScript(
  text: string,
  heredocs: DockerfileInstruction['heredocs'],
  variables: ReadonlyMap<string, string>,
): RunOutcome {
  const parsed = parseShell(text, { heredocs });
  if (!parsed.ok) return { kind: 'unread', reason: parsed.reason };
  return { kind: 'shell', ...evaluateShell(parsed.script, variables) };
}

function programName(path: string): string {
  return (path.split(/[/\\]/).pop() ?? '').toLowerCase().replace(/\.exe$/, '');
}

/** The strings of an exec form, or undefined for a shell form. */
export function jsonArray(text: string): readonly string[] | undefined {
  if (!text.trimStart().startsWith('[')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
  } catch {
    return undefined;
  }
}
