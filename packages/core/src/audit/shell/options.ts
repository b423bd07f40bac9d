import type { ShellArgument } from './steps.ts';

/** Which options of a command take a value in the next word. */
export interface OptionGrammar {
  /** Short letters: `oH` for `-o FILE`, `-H TEXT`. */
  readonly short?: string;
  /** Long names without dashes. */
  readonly long?: readonly string[];
}

/** Options and operands of one command line. */
export interface ParsedOptions {
  /** In order; `-kL` gives two. Names keep their dashes. */
  readonly options: readonly { readonly name: string; readonly value?: ShellArgument }[];
  readonly operands: readonly ShellArgument[];
  has(...names: readonly string[]): boolean;
  value(...names: readonly string[]): ShellArgument | undefined;
}

/** Splits arguments by the conventions of getopt_long, so that `-o/usr/share/k` never reads as `-k`. */
export function parseOptions(args: readonly ShellArgument[], grammar: OptionGrammar = {}): ParsedOptions {
  const options: { name: string; value?: ShellArgument }[] = [];
  const operands: ShellArgument[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const argument = args[index]!;
    const { text } = argument;
    if (text === '--') {
      for (const operand of args.slice(index + 1)) operands.push(operand);
      break;
    }
    if (text === '-' || !text.startsWith('-')) operands.push(argument);
    else if (text.startsWith('--')) {
      const equals = text.indexOf('=');
      const name = equals < 0 ? text : text.slice(0, equals);
      if (equals >= 0) options.push({ name, value: rest(argument, equals + 1) });
      else if (grammar.long?.includes(name.slice(2))) options.push({ name, value: args[++index] });
      else options.push({ name });
    } else {
      for (let at = 1; at < text.length; at += 1) {
        const letter = text[at]!;
        if (!grammar.short?.includes(letter)) options.push({ name: `-${letter}` });
        else {
          const value = at + 1 < text.length ? rest(argument, at + 1) : args[++index];
          options.push({ name: `-${letter}`, value });
          break;
        }
      }
    }
  }
  return {
    options,
    operands,
    has: (...names) => options.some(({ name }) => names.includes(name)),
    value: (...names) => options.findLast(({ name }) => names.includes(name))?.value,
  };
}

function rest(argument: ShellArgument, from: number): ShellArgument {
  return {
    ...argument,
    text: argument.text.slice(from),
    alternatives: argument.alternatives.map((each) => each.slice(from)),
  };
}
