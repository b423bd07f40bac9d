import { expandWord, type ShellVariables, type VariableValue } from './expand.ts';
import { parseShell } from './parser.ts';
import type { ShellArgument, ShellRun, ShellStep } from './steps.ts';
import type { ShellList, ShellNode, ShellRedirection, ShellSimple, ShellWord } from './syntax.ts';
import { unwrap } from './wrappers.ts';

/** Arguments that may be produced in all: far beyond any real Dockerfile, short enough to answer at once. */
const MAX_ARGUMENTS = 100_000;
/** Long arguments count as several. */
const CHARACTERS_PER_ARGUMENT = 100;
const MAX_CALL_DEPTH = 12;
const MAX_NESTED_SCRIPTS = 4;
/** Values remembered for one variable. */
const MAX_VALUES = 64;

interface Surroundings {
  readonly inputs: readonly ShellStep[];
  readonly inputText?: ShellArgument;
  readonly inputFile?: ShellArgument;
  readonly outputs: readonly ShellArgument[];
  readonly captured: boolean;
}

const ALONE: Surroundings = { inputs: [], outputs: [], captured: false };

/**
 * Walks a script without running it: gives each simple command with its expanded arguments and where its input
 * comes from. Variables set in the script or given are followed, functions are entered where they are called,
 * wrappers (`sudo`, `env`, `xargs` ...) are removed and `sh -c` scripts are read. Branches are all taken.
 */
export function evaluateShell(
  script: ShellList,
  variables: ReadonlyMap<string, string> = new Map(),
): ShellRun {
  const evaluator = new Evaluator(variables);
  evaluator.list(script, ALONE);
  return { steps: evaluator.steps, unread: evaluator.unread };
}

class Evaluator {
  readonly steps: ShellStep[] = [];
  readonly unread: string[] = [];
  private readonly given: ReadonlyMap<string, string>;
  /** Set by the script; an empty list hides a given one. */
  private readonly variables = new Map<string, readonly VariableValue[]>();
  private readonly functions = new Map<string, ShellNode>();
  private positional: readonly ShellArgument[] | undefined;
  private conditional = 0;
  private standardInput: readonly ShellStep[] = [];
  private calls = 0;
  private scripts = 0;
  private remaining = MAX_ARGUMENTS;

  constructor(variables: ReadonlyMap<string, string>) {
    this.given = variables;
  }

  list(list: ShellList, around: Surroundings): void {
    for (const node of list.items) this.node(node, around);
  }

  private node(node: ShellNode, around: Surroundings): void {
    if (this.remaining <= 0) return;
    switch (node.kind) {
      case 'simple':
        this.simple(node, around);
        return;
      case 'pipeline':
        this.pipeline(node.commands, around);
        return;
      case 'and-or':
        node.items.forEach((item, index) => {
          if (node.operators[index - 1] === '||') this.maybe(() => this.node(item, around));
          else this.node(item, around);
        });
        return;
      case 'group':
        this.list(node.body, this.redirected(node.redirections, around));
        return;
      case 'if': {
        const inner = this.redirected(node.redirections, around);
        for (const { condition, body } of node.branches) {
          this.list(condition, inner);
          this.maybe(() => this.list(body, inner));
        }
        if (node.otherwise !== undefined) this.maybe(() => this.list(node.otherwise!, inner));
        return;
      }
      case 'loop': {
        const inner = this.redirected(node.redirections, around);
        this.list(node.condition, inner);
        this.maybe(() => this.list(node.body, inner));
        return;
      }
      case 'for': {
        const inner = this.redirected(node.redirections, around);
        const words = node.words.flatMap((word) => this.expand(word));
        const values = words.flatMap(({ alternatives, commands }) =>
          alternatives.map((text) => ({ text, commands })),
        );
        if (node.name !== undefined) this.variables.set(node.name, values.slice(0, MAX_VALUES));
        this.list(node.body, inner);
        return;
      }
      case 'case': {
        const inner = this.redirected(node.redirections, around);
        this.emit('case', [...this.expand(node.subject)], node.subject.source, inner);
        for (const { body } of node.clauses) this.maybe(() => this.list(body, inner));
        return;
      }
      case 'function':
        this.functions.set(node.name, node.body);
        return;
      case 'test': {
        const inner = this.redirected(node.redirections, around);
        this.emit(
          '[[',
          node.words.flatMap((word) => this.expand(word)),
          node.source,
          inner,
        );
        return;
      }
    }
  }

  private maybe(run: () => void): void {
    this.conditional += 1;
    run();
    this.conditional -= 1;
  }

  private pipeline(commands: readonly ShellNode[], around: Surroundings): void {
    let inputs = around.inputs;
    commands.forEach((command, index) => {
      const first = this.steps.length;
      const last = index === commands.length - 1;
      this.node(command, {
        inputs,
        inputText: index === 0 ? around.inputText : undefined,
        inputFile: index === 0 ? around.inputFile : undefined,
        outputs: last ? around.outputs : [],
        captured: last && around.captured,
      });
      inputs = this.steps.slice(first).filter((step) => !step.captured || around.captured);
    });
  }

  private redirected(redirections: readonly ShellRedirection[], around: Surroundings): Surroundings {
    let { inputText, inputFile, inputs, outputs } = around;
    for (const { operator, descriptor, target } of redirections) {
      const [argument] = this.expand(target, true);
      if (argument === undefined) continue;
      if (operator === '<<' || operator === '<<-' || operator === '<<<') [inputText, inputs] = [argument, []];
      else if (operator === '<') [inputFile, inputs] = [argument, []];
      else if (/^(&?>>?|>\|)$/.test(operator) && (descriptor ?? '1') === '1') outputs = [argument];
    }
    return { inputText, inputFile, inputs, outputs, captured: around.captured };
  }

  private simple(node: ShellSimple, around: Surroundings): void {
    this.standardInput = around.inputs;
    const assignments = node.assignments.map(({ name, values }) => ({
      name,
      value: joined(values.flatMap((word) => this.expand(word, true))),
    }));
    const words = node.words.flatMap((word) => this.expand(word));
    const inner = this.redirected(node.redirections, around);
    if (words.length === 0) {
      for (const { name, value } of assignments) this.assign(name, value);
      if (assignments.length > 0 || inner.outputs.length > 0) {
        this.push({ name: '', args: [], assignments, ...inner, source: node.source });
      }
      return;
    }
    this.invoke(words, assignments, node.source, inner);
  }

  private invoke(
    words: readonly ShellArgument[],
    assignments: ShellStep['assignments'],
    source: string,
    around: Surroundings,
  ): void {
    const { command, environment } = unwrap(words);
    const [head, ...args] = command;
    if (head === undefined) return;
    const name = /[$\s]/.test(head.text) ? '' : (head.text.split('/').pop() ?? '');
    const body = this.functions.get(head.text);
    if (body !== undefined) {
      this.call(head.text, body, args, around);
      return;
    }
    this.push({
      name,
      args: name === '' ? command : args,
      assignments: [...assignments, ...environment],
      ...around,
      source,
    });
    this.builtin(name, args);
    for (const script of nestedScripts(name, args)) {
      if (typeof script === 'string') this.script(script, around);
      else this.invoke(script, [], source, around);
    }
  }

  private call(name: string, body: ShellNode, args: readonly ShellArgument[], around: Surroundings): void {
    if (this.calls >= MAX_CALL_DEPTH) {
      this.unread.push(`function ${name} calls itself too deeply`);
      return;
    }
    const before = this.positional;
    this.positional = args;
    this.calls += 1;
    this.node(body, around);
    this.calls -= 1;
    this.positional = before;
  }

  private script(text: string, around: Surroundings): void {
    if (this.scripts >= MAX_NESTED_SCRIPTS) {
      this.unread.push('scripts nested too deeply');
      return;
    }
    const parsed = parseShell(text);
    if (!parsed.ok) {
      this.unread.push(`nested script: ${parsed.reason}`);
      return;
    }
    this.scripts += 1;
    this.list(parsed.script, around);
    this.scripts -= 1;
  }

  private builtin(name: string, args: readonly ShellArgument[]): void {
    switch (name) {
      case 'export':
      case 'local':
      case 'declare':
      case 'typeset':
      case 'readonly':
        for (const argument of args) {
          const equals = argument.text.indexOf('=');
          if (equals > 0) {
            const text = argument.text.slice(equals + 1);
            const alternatives = argument.alternatives.map((each) => each.slice(equals + 1));
            this.assign(argument.text.slice(0, equals), { ...argument, text, alternatives });
          }
        }
        return;
      case 'set': {
        const dashes = args.findIndex(({ text }) => text === '--');
        if (dashes >= 0) this.positional = args.slice(dashes + 1);
        return;
      }
      case 'shift':
        this.positional = this.positional?.slice(Number(args[0]?.text ?? 1) || 1);
        return;
      case 'read':
      case 'unset':
        for (const { text } of args) this.variables.set(text, []);
    }
  }

  private valuesOf(name: string): readonly VariableValue[] {
    const set = this.variables.get(name);
    if (set !== undefined) return set;
    const text = this.given.get(name);
    return text === undefined ? [] : [{ text, commands: [] }];
  }

  private assign(name: string, { alternatives, commands }: ShellArgument): void {
    const values = this.conditional > 0 ? [...this.valuesOf(name)] : [];
    for (const text of alternatives) {
      const known = values.some((value) => value.text === text && commands.length === 0);
      if (!known && values.length < MAX_VALUES) values.push({ text, commands });
    }
    this.variables.set(name, values);
  }

  private expand(word: ShellWord, single = false): readonly ShellArgument[] {
    const scope: ShellVariables = {
      values: (name) => {
        if (!/^\d+$/.test(name)) return this.valuesOf(name);
        const argument = this.positional?.[Number(name) - 1];
        return argument === undefined ? undefined : [argument];
      },
      positional: this.positional,
      run: (body) => this.substitution(body),
    };
    const fields = expandWord(word, scope, single);
    const before = this.remaining;
    for (const { alternatives } of fields) {
      this.remaining -=
        1 + alternatives.reduce((sum, { length }) => sum + length, 0) / CHARACTERS_PER_ARGUMENT;
    }
    this.remaining -= 1;
    if (before > 0 && this.remaining <= 0) this.unread.push('too many commands');
    return fields;
  }

  private substitution(body: ShellList): readonly ShellStep[] {
    const first = this.steps.length;
    // A substitution reads the standard input of the command it stands in.
    this.list(body, { ...ALONE, inputs: this.standardInput, captured: true });
    return this.steps.slice(first);
  }

  private emit(name: string, args: readonly ShellArgument[], source: string, around: Surroundings): void {
    this.push({ name, args, assignments: [], ...around, source });
  }

  private push(step: ShellStep): void {
    this.remaining -= 1;
    this.steps.push(step);
  }
}

function joined(values: readonly ShellArgument[]): ShellArgument {
  if (values.length === 1) return values[0]!;
  const text = values.map((value) => value.text).join(' ');
  return { text, alternatives: [text], commands: values.flatMap(({ commands }) => commands), process: false };
}

/** Scripts and commands that a command runs: `sh -c TEXT`, `su -c TEXT`, `eval TEXT`, `find -exec`. */
function nestedScripts(
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
