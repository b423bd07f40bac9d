import { expect, test } from 'vitest';
import { evaluateShell } from './evaluate.ts';
import { parseShell } from './parser.ts';
import type { ShellRun } from './steps.ts';

function run(script: string, variables: Record<string, string> = {}): ShellRun {
  const parsed = parseShell(script);
  if (!parsed.ok) throw new Error(parsed.reason);
  return evaluateShell(parsed.script, new Map(Object.entries(variables)));
}

function commands(script: string, variables: Record<string, string> = {}): readonly string[] {
  return run(script, variables)
    .steps.filter(({ name }) => name !== '')
    .map(({ name, args }) => [name, ...args.map(({ text }) => text)].join(' '));
}

test('evaluateShell() expands what the text tells and keeps names for the rest', () => {
  expect(commands('a=x; b="$a/y"; curl "$b" $c ${d:-e} /usr/bin/$f', { f: 'wget' })).toEqual([
    'curl x/y ${c} e /usr/bin/wget',
  ]);
});

test('evaluateShell() splits unquoted values and not quoted ones', () => {
  expect(
    run('o="-k -s"; curl $o "$o"')
      .steps.at(-1)!
      .args.map(({ text }) => text),
  ).toEqual(['-k', '-s', '-k -s']);
});

test('evaluateShell() keeps every value a loop or a branch may give', () => {
  const [echo] = run('for k in A B; do gpg --recv-keys "$k"; done').steps;
  expect(echo!.args[1]).toMatchObject({ text: '${k}', alternatives: ['A', 'B'] });
  const steps = run('case "$(arch)" in x) u=1 ;; y) u=2 ;; esac; curl "$u"').steps;
  expect(steps.at(-1)!.args[0]!.alternatives).toEqual(['1', '2']);
});

test('evaluateShell() enters functions where they are called', () => {
  expect(commands('get() { curl -o "$1" "$2"; shift; echo "$@"; }; get a b')).toEqual([
    'curl -o a b',
    'shift',
    'echo b',
  ]);
});

test('evaluateShell() removes wrappers and reads nested scripts', () => {
  expect(commands('sudo -u x env A=1 /bin/curl y')).toEqual(['curl y']);
  expect(commands('xargs -n 1 chmod g+s; timeout -s KILL 10 tar x')).toEqual(['chmod g+s', 'tar x']);
  expect(commands(`bash -exc "curl a | sh"`)).toEqual(['bash -exc curl a | sh', 'curl a', 'sh']);
  expect(commands(`su u -c 'npm i'; eval "wget b"`)).toEqual([
    'su u -c npm i',
    'npm i',
    'eval wget b',
    'wget b',
  ]);
  expect(commands('find / -name x -exec chmod u+s {} ;')).toContain('chmod u+s {}');
});

test('evaluateShell() joins pipes, groups and substitutions', () => {
  const steps = run('{ curl a; echo b; } | (cd x && sh)').steps;
  const shell = steps.find(({ name }) => name === 'sh')!;
  expect(shell.inputs.map(({ name }) => name)).toEqual(['curl', 'echo']);
  const evaluated = run('eval "$(curl a)"').steps.find(({ name }) => name === 'eval')!;
  expect(evaluated.args[0]!.commands.map(({ name }) => name)).toEqual(['curl']);
  const key = run('curl k | (o=$(apt-key add -))').steps.find(({ name }) => name === 'apt-key')!;
  expect(key.inputs.map(({ name }) => name)).toEqual(['curl']);
});

test('evaluateShell() says what it could not follow', () => {
  expect(run("sh -c 'if a'").unread).toEqual([expect.stringContaining('nested script')]);
  expect(run('f() { f; }; f').unread).toEqual([expect.stringContaining('f')]);
});

test('evaluateShell() stays small on scripts that would explode', () => {
  const doubling = `a=xxxxxxxx; ${'a="$a$a"; '.repeat(60)} echo "$a"`;
  expect(run(doubling).steps.at(-1)!.args[0]!.text.length).toBeLessThanOrEqual(20_000);
  const fan = `${Array.from({ length: 12 }, (_, n) => `f${n}() { ${`f${n + 1}; `.repeat(9)} }; `).join('')} f0`;
  expect(run(fan).steps.length).toBeLessThanOrEqual(100_001);
  const wide = `a='${'x '.repeat(9000)}'; ${'echo $a $a $a; '.repeat(200)}`;
  expect(run(wide).unread).toEqual(['too many commands']);
});
