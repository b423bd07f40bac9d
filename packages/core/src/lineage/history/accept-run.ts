import type { DockerfileInstruction } from '../../dockerfile/types.ts';
import type { Recorded } from './recorded.ts';
import { collapse, type Scope } from './scope.ts';
import { type Acceptor, jsonList } from './written.ts';

/**
 * A RUN is recorded as the words the process was given: the shell and the command, or the list of the exec form; before
 * them, when ARGs were set, their count and values: `|2 A=1 B=two words /bin/sh -c make`.
 */
export function acceptRun(instruction: DockerfileInstruction, scope: Scope): Acceptor {
  const list = jsonList(instruction.arguments);
  const commands = list === undefined ? shellCommands(instruction) : [list.join(' ')];
  const shells = list !== undefined ? [''] : scope.shell === undefined ? undefined : [`${scope.shell} `];
  const wanted = commands.map(collapse);
  return {
    text: wanted[0] ?? '',
    accepts: ({ text }: Recorded) => {
      const recorded = collapse(text);
      return wanted.some((command) => isCommand(recorded, command, shells));
    },
  };
}

/** What the shell may have been given. A heredoc that is all of the command is the command, unless it names its program. */
function shellCommands({ arguments: text, heredocs }: DockerfileInstruction): readonly string[] {
  const [first] = heredocs;
  if (first === undefined) return [text];
  const whole = text + heredocs.map(({ content, name }) => `\n${content}${name}`).join('');
  if (heredocs.length > 1 || !/^<<-?["']?[^\s<"']+["']?$/.test(text)) return [whole];
  return [first.content.startsWith('#!') ? `/dev/pipes/${first.name}` : first.content, whole];
}

/** @param shells - what the shell can be; undefined when nothing is known of it */
function isCommand(recorded: string, command: string, shells: readonly string[] | undefined): boolean {
  if (!recorded.endsWith(command)) return false;
  const before = recorded.slice(0, recorded.length - command.length);
  const plain = (shell: string) =>
    before === shell ||
    // A shell that stands among the arguments is one that ran, and what follows it is a longer command.
    (before.startsWith('|') &&
      before.endsWith(` ${shell}`) &&
      (shell === '' || before.indexOf(` ${shell}`) === before.length - shell.length - 1) &&
      hasArguments(before));
  if (shells !== undefined) return shells.some(plain);
  return DEFAULT_SHELLS.some(plain) || isShell(before);
}

function hasArguments(before: string): boolean {
  return /^\|\d{1,5} [^\s=]{1,1024}=/.test(before) || before.startsWith('|0 ');
}

/** Tells whether words end in a shell and the options it is given a command with. */
function isShell(before: string): boolean {
  const words = before.slice(-MAX_SHELL).trim().split(' ');
  const shell = words.findLastIndex((word) => SHELL.test(word));
  if (shell < 0) return false;
  // A command that was run, and of which only the end is another shell.
  const isLonger = words.slice(0, shell).some((word) => /[|;&]|^-\w{0,8}c$/i.test(word));
  if (!before.startsWith('|') && (isLonger || before.length > MAX_SHELL)) return false;
  return (
    /^(?:-\w{0,8}c|\/c)$/i.test(words.at(-1) ?? '') ||
    words.slice(shell).some((word) => word.toLowerCase() === '-command')
  );
}

const DEFAULT_SHELLS: readonly string[] = ['/bin/sh -c ', 'cmd /S /C '];
const MAX_SHELL = 512;
const SHELL = /(?:sh|cmd|powershell)(?:\.exe)?$/i;
