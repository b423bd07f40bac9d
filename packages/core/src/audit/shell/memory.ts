import type { VariableValue } from './expand.ts';
import type { ShellArgument } from './steps.ts';

/** Values remembered for one variable. */
const MAX_VALUES = 64;

/** What a script knows at a point of it: the values its variables may have, and its positional parameters. */
export class ShellMemory {
  positional: readonly ShellArgument[] | undefined;
  readonly #given: ReadonlyMap<string, string>;
  /** Set by the script; an empty list hides a given one. */
  readonly #variables = new Map<string, readonly VariableValue[]>();
  #conditional = 0;

  constructor(given: ReadonlyMap<string, string>) {
    this.#given = given;
  }

  /** Runs what may not happen: what it assigns is one more value. */
  maybe(run: () => void): void {
    this.#conditional += 1;
    run();
    this.#conditional -= 1;
  }

  /** Of a variable; of a positional parameter, by its number, undefined when none is known. */
  values(name: string): readonly VariableValue[] | undefined {
    if (!/^\d+$/.test(name)) return this.#valuesOf(name);
    const argument = this.positional?.[Number(name) - 1];
    return argument === undefined ? undefined : [argument];
  }

  /** Gives a variable these values and no others. */
  replace(name: string, values: readonly VariableValue[]): void {
    this.#variables.set(name, values.slice(0, MAX_VALUES));
  }

  assign(name: string, { alternatives, commands }: ShellArgument): void {
    const values = this.#conditional > 0 ? [...this.#valuesOf(name)] : [];
    for (const text of alternatives) {
      const known = values.some((value) => value.text === text && commands.length === 0);
      if (!known && values.length < MAX_VALUES) values.push({ text, commands });
    }
    this.#variables.set(name, values);
  }

  /** What a builtin of the shell changes: `export A=1`, `set -- a b`, `shift`, `read A`, `unset A`. */
  builtin(name: string, args: readonly ShellArgument[]): void {
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
        for (const { text } of args) this.replace(text, []);
    }
  }

  #valuesOf(name: string): readonly VariableValue[] {
    const set = this.#variables.get(name);
    if (set !== undefined) return set;
    const text = this.#given.get(name);
    return text === undefined ? [] : [{ text, commands: [] }];
  }
}
