import { expandWord, type ShellVariables } from './expand.ts';
import { ShellMemory } from './memory.ts';
import { nestedScripts } from './nested-scripts.ts';
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
  private readonly memory: ShellMemory;
  private readonly functions = new Map<string, ShellNode>();
  private standardInput: readonly ShellStep[] = [];
  private calls = 0;
  private scripts = 0;
  private remaining = MAX_ARGUMENTS;

  constructor(variables: ReadonlyMap<string, string>) {
    this.memory = new ShellMemory(variables);
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
          if (node.operators[index - 1] === '||') this.memory.maybe(() => this.node(item, around));
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
          this.memory.maybe(() => this.list(body, inner));
        }
        if (node.otherwise !== undefined) this.memory.maybe(() => this.list(node.otherwise!, inner));
        return;
      }
      case 'loop': {
        const inner = this.redirected(node.redirections, around);
        this.list(node.condition, inner);
        this.memory.maybe(() => this.list(node.body, inner));
        return;
      }
      case 'for': {
        const inner = this.redirected(node.redirections, around);
        const words = node.words.flatMap((word) => this.expand(word));
        const values = words.flatMap(({ alternatives, commands }) =>
          alternatives.map((text) => ({ text, commands })),
        );
        if (node.name !== undefined) this.memory.replace(node.name, values);
        this.list(node.body, inner);
        return;
      }
      case 'case': {
        const inner = this.redirected(node.redirections, around);
        this.emit('case', [...this.expand(node.subject)], node.subject.source, inner);
        for (const { body } of node.clauses) this.memory.maybe(() => this.list(body, inner));
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
      for (const { name, value } of assignments) this.memory.assign(name, value);
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
    this.memory.builtin(name, args);
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
    const before = this.memory.positional;
    this.memory.positional = args;
    this.calls += 1;
    this.node(body, around);
    this.calls -= 1;
    this.memory.positional = before;
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

  private expand(word: ShellWord, single = false): readonly ShellArgument[] {
    const scope: ShellVariables = {
      values: (name) => this.memory.values(name),
      positional: this.memory.positional,
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
