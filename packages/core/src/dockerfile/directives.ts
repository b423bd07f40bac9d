import { invalid } from './invalid.ts';
import { trimStart } from './words.ts';

/** What the leading `# name=value` lines say. @see Dockerfile reference, "Parser directives" */
export interface Directives {
  readonly escape: '\\' | '`';
  readonly syntax?: { readonly text: string; readonly line: number };
}

const DIRECTIVE = /^([A-Za-z][A-Za-z0-9]*)[\t\f\r ]*=[\t\f\r ]*([^\t\f\r ](?:.*[^\t\f\r ])?)[\t\f\r ]*$/s;
const KNOWN: ReadonlySet<string> = new Set(['escape', 'syntax', 'check']);

/**
 * Reads the directives; they end at the first line that is none. A name nobody knows ends them for BuildKit since 0.12, and
 * not before: what comes after it counts here too, so that no builder reads a frontend that was not seen. After a shebang line,
 * and below an indented one, only half of them count: the frontend is looked for in other lines than the escape character.
 */
export function readDirectives(text: string): Directives {
  const found = new Map<string, { readonly value: string; readonly line: number }>();
  let unknown = false;
  let shebang = false;
  let indented = false;
  for (const { line, number } of linesOf(text)) {
    if (number === 1 && line.startsWith('#!')) {
      shebang = true;
      continue;
    }
    const comment = trimStart(line.slice(0, 4096));
    const match = comment.startsWith('#') ? DIRECTIVE.exec(trimStart(comment.slice(1))) : null;
    const name = match?.[1]?.toLowerCase();
    if (name === undefined) break;
    if (!KNOWN.has(name)) {
      unknown = true;
      continue;
    }
    indented ||= !line.startsWith('#');
    if ((shebang && name === 'escape') || (indented && name === 'syntax')) continue;
    if (found.has(name)) throw invalid(`the directive ${name} appears twice`, number);
    if (unknown && name === 'escape') {
      throw invalid('builders differ on an escape directive after one they do not know', number);
    }
    found.set(name, { value: match?.[2] ?? '', line: number });
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

function* linesOf(text: string): Generator<{ readonly line: string; readonly number: number }> {
  for (let start = 0, number = 1; start <= text.length; number += 1) {
    const end = text.indexOf('\n', start);
    yield { line: text.slice(start, end < 0 ? text.length : end), number };
    if (end < 0) return;
    start = end + 1;
  }
}
