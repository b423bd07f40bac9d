import { RegistryError } from '../errors.ts';
import type { HttpResponse } from './request.ts';

const MAX_LENGTH = 16 * 1024;

/**
 * The page after this one, on the same origin only.
 *
 * @throws {@link RegistryError} `REDIRECT_REFUSED` for a page on another host; `PROTOCOL_ERROR` for no URL.
 */
export function nextPage(response: Pick<HttpResponse, 'headers' | 'url'>, subject: string): URL | undefined {
  const target = parseLinks(response.headers.link).find(({ relations }) =>
    relations.includes('next'),
  )?.target;
  if (target === undefined) return undefined;
  const url = URL.parse(target, response.url.href);
  if (url === null) throw new RegistryError('PROTOCOL_ERROR', `${subject}: the next page has no URL`);
  if (url.origin !== response.url.origin) {
    throw new RegistryError('REDIRECT_REFUSED', `${subject}: the next page is on another host`);
  }
  return url;
}

/** One link of a `Link` header. */
export interface Link {
  /** As written, perhaps relative. */
  readonly target: string;
  /** Lower case. */
  readonly relations: readonly string[];
}

/** Parses `Link` headers; what is malformed ends the line's reading. @see RFC 8288, section 3 */
export function parseLinks(header: string | readonly string[] | undefined): readonly Link[] {
  return (header === undefined ? [] : [header].flat()).flatMap((line) =>
    parseLine(line.slice(0, MAX_LENGTH)),
  );
}

function parseLine(line: string): readonly Link[] {
  const links: Link[] = [];
  let position = 0;
  const skipBlanks = () => {
    while (line[position] === ' ' || line[position] === '\t') position += 1;
  };
  const until = (stop: string): string => {
    const start = position;
    while (position < line.length && !stop.includes(line[position] ?? '')) position += 1;
    return line.slice(start, position);
  };
  const quoted = (): string => {
    let text = '';
    for (position += 1; position < line.length && line[position] !== '"'; position += 1) {
      if (line[position] === '\\') position += 1;
      text += line[position] ?? '';
    }
    position += 1;
    return text;
  };
  while (position < line.length) {
    skipBlanks();
    if (line[position] === ',') {
      position += 1;
      continue;
    }
    if (line[position] !== '<') break;
    position += 1;
    const target = until('>');
    if (line[position] !== '>') break;
    position += 1;
    let relations: readonly string[] | undefined;
    for (skipBlanks(); line[position] === ';'; skipBlanks()) {
      position += 1;
      skipBlanks();
      const name = until('=;, \t').toLowerCase();
      skipBlanks();
      if (line[position] !== '=') continue;
      position += 1;
      skipBlanks();
      const value = line[position] === '"' ? quoted() : until(';, \t');
      // RFC 8288, 3.3: only the first rel counts.
      if (name === 'rel')
        relations ??= value
          .toLowerCase()
          .split(/[ \t]+/)
          .filter(Boolean);
    }
    links.push({ target, relations: relations ?? [] });
  }
  return links;
}
