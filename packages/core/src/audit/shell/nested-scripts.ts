import type { ShellArgument } from './steps.ts';

/** Scripts and commands that a command runs: `sh -c TEXT`, `su -c TEXT`, `eval TEXT`, `find -exec`. */
export function nestedScripts(
  name: string,
  args: readonly ShellArgument[],
): readonly (string | readonly ShellArgument[])[] {
  if (name === 'eval') return args.length === 0 ? [] : [args.map(({ text }) => text).join(' ')];
  if (name === 'find') {
    const start = args.findIndex(({ text }) => /^-(exec|execdir|ok)$/.test(text));
    if (start < 0) return [];
    const end = args.findIndex(({ text }, index) => index > start && (text === ';' || text === '+'));
    return [args.slice(start + 1, end < 0 ? undefined : end)];
  }
  if (!/^(sh|bash|dash|ash|zsh|ksh|su|runuser)$/.test(name)) return [];
  const option = args.findIndex(({ text }) => /^-[a-z]*c$/.test(text) || text === '--command');
  const script = args[option + 1];
  return option < 0 || script === undefined ? [] : [script.text];
}
