import { invalid } from './invalid.ts';

/** What the leading `# name=value` lines say. @see Dockerfile reference, "Parser directives" */
export interface Directives {
  readonly escape: '\\' | '`';
  readonly syntax?: { readonly text: string; readonly line: number };
}

const DIRECTIVE = /^\s*#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.*?)\s*$/;
const KNOWN: ReadonlySet<string> = new Set(['escape', 'syntax', 'check']);

/** Reads the directives; they end at the first line that is none. */
export function readDirectives(text: string): Directives {
  const found = new Map<string, { readonly value: string; readonly line: number }>();
  const lines = text.split('\n', 64);
  for (const [index, line] of lines.entries()) {
    // A shebang line may come first.
    if (index === 0 && line.startsWith('#!')) continue;
    const match = DIRECTIVE.exec(line.slice(0, 4096));
    const name = match?.[1]?.toLowerCase();
    if (name === undefined || !KNOWN.has(name)) break;
    if (found.has(name)) throw invalid(`the directive ${name} appears twice`, index + 1);
    found.set(name, { value: match?.[2] ?? '', line: index + 1 });
  }
  const declared = found.get('escape');
  if (declared !== undefined && declared.value !== '\\' && declared.value !== '`') {
    throw invalid('the escape directive takes \\ or `', declared.line);
  }
  const syntax = found.get('syntax');
  return {
    escape: declared?.value === '`' ? '`' : '\\',
    ...(syntax === undefined ? {} : { syntax: { text: syntax.value, line: syntax.line } }),
  };
}
