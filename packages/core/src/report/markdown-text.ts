import { visibleLine } from './visible.ts';

/**
 * Text from elsewhere as Markdown text: no emphasis, link, image, HTML, table cell or heading can come of it,
 * and nobody is mentioned.
 */
export function markdownText(text: string): string {
  return (
    visibleLine(text)
      .replace(/[\\`*_[\]()#!|~>]/g, '\\$&')
      .replace(/&/g, '&amp;')
      .replace(/</g, '&lt;')
      // Bare addresses become links by their colon or their "www."; names after "@" are told of the comment.
      .replace(/:(?=\/\/)/g, '&#58;')
      .replace(/(www)\./gi, '$1\\.')
      .replace(/@/g, '@\u200b')
  );
}

/** Text from elsewhere as a code span; fit for a table cell. */
export function markdownCode(text: string): string {
  const code = visibleLine(text).replace(/\|/g, '\\|') || ' ';
  const fence = '`'.repeat(longestRun(code) + 1);
  return fence.length > 1 || code.startsWith('`') ? `${fence} ${code} ${fence}` : `${fence}${code}${fence}`;
}

/** Text from elsewhere as a code block. */
export function markdownBlock(text: string, language: string): string {
  const fence = '`'.repeat(Math.max(3, longestRun(text) + 1));
  return `${fence}${language}\n${text.replace(/\n$/, '')}\n${fence}`;
}

function longestRun(text: string): number {
  return Math.max(0, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length));
}
