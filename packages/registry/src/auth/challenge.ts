/** One authentication scheme a server offers. */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;
const MAX_LENGTH = 16 * 1024;

/**
 * Parses the values of `WWW-Authenticate`: one or several challenges in one or several header lines. Reads what it can
 * and ignores the rest; a malformed challenge is no challenge.
 *
 * @see RFC 9110, section 11.6.1
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const lines = header === undefined ? [] : typeof header === 'string' ? [header] : header;
  return lines.flatMap((line) => parseLine(line.slice(0, MAX_LENGTH)));
}

function parseLine(line: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  let position = 0;
  const skip = (pattern: RegExp) => {
    while (position < line.length && pattern.test(line[position] ?? '')) position += 1;
  };
  const token = (): string => {
    const start = position;
    skip(TOKEN);
    return line.slice(start, position);
  };
  while (position < line.length) {
    skip(/[\s,]/);
    const word = token();
    if (word === '') {
      position += 1;
      continue;
    }
    skip(/[ \t]/);
    if (line[position] !== '=') {
      challenges.push({
        scheme: word.toLowerCase(),
        parameters: Object.create(null) as Record<string, string>,
      });
      continue;
    }
    position += 1;
    skip(/[ \t]/);
    const value = line[position] === '"' ? quoted() : token() || undefined;
    const current = challenges.at(-1);
    const name = word.toLowerCase();
    if (value === undefined || current === undefined || name in current.parameters) continue;
    current.parameters[name] = value;
  }
  return challenges;

  /** A quoted string; undefined when it does not end. */
  function quoted(): string | undefined {
    let text = '';
    position += 1;
    while (position < line.length && line[position] !== '"') {
      if (line[position] === '\\' && position + 1 < line.length) position += 1;
      text += line[position];
      position += 1;
    }
    if (position >= line.length) return undefined;
    position += 1;
    return text;
  }
}
