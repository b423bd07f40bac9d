import { CoreError } from '../../errors.ts';

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
 * is one; comment lines vanish first, even inside a folded value; several empty lines count as one. The last of two fields of a name holds.
 *
 * @throws {@link CoreError} `INVALID_LIBRARY_FILE` with `details.line`
 */
export function readParagraphs(text: string): readonly Paragraph[] {
  const paragraphs: Paragraph[] = [];
  let fields: Map<string, Field> | undefined;
  let last: string | undefined;
  for (const [index, raw] of text.split('\n').entries()) {
    const content = raw.trim();
    if (content.startsWith('#')) continue;
    if (raw === '' || raw === '\r') {
      fields = undefined;
      last = undefined;
      continue;
    }
    const line = index + 1;
    if (/^[ \t]/.test(raw)) {
      const field = last === undefined ? undefined : fields?.get(last);
      if (last === undefined || field === undefined) continue;
      fields?.set(last, { value: `${field.value}\n${content === '.' ? '' : content}`, line: field.line });
      continue;
    }
    const colon = content.indexOf(':');
    if (colon <= 0) throw invalid(line, 'expected `Name: value`');
    if (fields === undefined) {
      fields = new Map();
      paragraphs.push({ line, fields });
    }
    last = content.slice(0, colon).trimEnd();
    fields.set(last, { value: content.slice(colon + 1).trimStart(), line });
  }
  return paragraphs;
}

function invalid(line: number, message: string): CoreError {
  return new CoreError('INVALID_LIBRARY_FILE', `library file, line ${line}: ${message}`, {
    details: { line },
  });
}
