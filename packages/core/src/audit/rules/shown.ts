import type { ShellArgument } from '../shell/steps.ts';

/** A URL without user information and query, for a message. */
export function shownUrl(url: ShellArgument): string {
  return shown(url.alternatives.length === 1 ? url.alternatives[0]! : url.text);
}

/** Source text for a message: one line, no credentials, at most 120 characters. */
export function shown(text: string): string {
  const line = text
    .replace(/:\/\/[^/@\s]*@/g, '://')
    .replace(/\?[^\s"']*/g, '')
    .replaceAll('$(:)', '$(…)')
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}
