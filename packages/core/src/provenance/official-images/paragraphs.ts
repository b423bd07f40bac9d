import { CoreError } from '../../errors.ts';
import { trimBlanks, trimEndBlanks } from './blanks.ts';

/** A field and the 1-based line it starts on. */
export interface Field {
  readonly value: string;
  readonly line: number;
}

/** A block of fields between blank lines. */
export interface Paragraph {
  readonly line: number;
  readonly fields: ReadonlyMap<string, Field>;
}

/**
 * Reads `Name: value` paragraphs. A line that starts with a blank, even one that is all blanks, continues the value before, if there
 * is one, and a folded value ends in a newline; comment lines vanish first, even inside it; several empty lines count as one. The last of two fields of a name holds.
 *
 * @throws {@link CoreError} `INVALID_LIBRARY_FILE` with `details.line`
 */
export function readParagraphs(text: string): readonly Paragraph[] {
  const paragraphs: { readonly line: number; readonly fields: Map<string, Draft> }[] = [];
  let fields: Map<string, Draft> | undefined;
  let last: Draft | undefined;
  for (const [index, raw] of text.split('\n').entries()) {
    const content = trimBlanks(raw);
    if (content.startsWith('#')) continue;
    if (raw === '' || raw === '\r') {
      fields = undefined;
      last = undefined;
      continue;
    }
    const line = index + 1;
    if (/^[ \t]/.test(raw)) {
      const more = trimEndBlanks(raw.slice(1));
      last?.folds.push(more === '.' ? '' : more);
      continue;
    }
    const colon = content.indexOf(':');
    if (colon < 0) throw invalid(line, 'expected `Name: value`');
    if (fields === undefined) {
      fields = new Map();
      paragraphs.push({ line, fields });
    }
    last = { value: trimBlanks(content.slice(colon + 1)), line, folds: [] };
    fields.set(trimEndBlanks(content.slice(0, colon)), last);
  }
  return paragraphs.map((paragraph) => ({
    line: paragraph.line,
    fields: new Map([...paragraph.fields].map(([name, draft]) => [name, toField(draft)])),
  }));
}

interface Draft extends Field {
  /** Lines that continue the value. */
  readonly folds: string[];
}

function toField({ value, line, folds }: Draft): Field {
  if (folds.length === 0) return { value, line };
  return { value: [...(value === '' ? [] : [value]), ...folds, ''].join('\n'), line };
}

function invalid(line: number, message: string): CoreError {
  return new CoreError('INVALID_LIBRARY_FILE', `library file, line ${line}: ${message}`, {
    details: { line },
  });
}
