// What Go's %q and %v make of lists, ports and health checks.

/** The words of a list as a builder prints it: `["a" "b c"]`, `["a","b c"]`, and without quotes `[a b c]`. */
export function joinedList(text: string): string {
  const inner = /^\[(.*)\]$/s.exec(text.trim())?.[1] ?? text;
  if (!inner.startsWith('"')) return inner;
  return quotedWords(inner).words.join(' ');
}

/** A health check as a builder prints it: `&{["CMD" "x"] "5s" "3s" "0s" '\x02'}`; newer ones have a duration more. */
export function readHealthcheck(
  text: string,
): { readonly test: string; readonly durations: readonly number[]; readonly retries: number } | undefined {
  const body = /^&\{\[(.*)\}$/s.exec(text.trim())?.[1];
  if (body === undefined) return undefined;
  const { words, rest } = quotedWords(body);
  if (!rest.startsWith(']')) return undefined;
  const times = quotedWords(rest.slice(1).trimStart());
  const rune = /^'(.{1,12})'$/s.exec(times.rest.trim())?.[1];
  if (rune === undefined) return undefined;
  return {
    test: words.join(' '),
    durations: times.words.map(milliseconds),
    retries: unquote(rune).codePointAt(0) ?? 0,
  };
}

/** Milliseconds of `1m30.5s`; NaN for what is no duration. @see Go, `time.ParseDuration` */
export function milliseconds(duration: string): number {
  if (duration === '0') return 0;
  let total = 0;
  let read = 0;
  for (const [part, value, unit = ''] of duration.matchAll(/(\d{1,18}(?:\.\d{1,18})?)(h|ms|m|s|us|µs|ns)/g)) {
    total += Number(value) * (UNITS[unit] ?? Number.NaN);
    read += part.length;
  }
  return read === duration.length && read > 0 ? total : Number.NaN;
}

const UNITS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  ns: 0.000_001,
};

/** Ports in one spelling, whether printed as `80 443/tcp` or as `map[443/tcp:{} 80/tcp:{}]`; undefined for other words. */
export function readPorts(text: string): string | undefined {
  const inner = (/^map\[(.*)\]$/s.exec(text.trim())?.[1] ?? text).replaceAll(':{}', '');
  const ranges = new Map<string, [first: number, last: number][]>();
  for (const word of inner.split(/\s+/).filter((part) => part !== '')) {
    const match = /^(?:[^/]{0,64}:)?(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w{1,8}))?$/.exec(word);
    if (match === null) return undefined;
    const protocol = (match[3] ?? 'tcp').toLowerCase();
    const list = ranges.get(protocol) ?? [];
    list.push([Number(match[1]), Number(match[2] ?? match[1])]);
    ranges.set(protocol, list);
  }
  return [...ranges]
    .map(([protocol, list]) => `${protocol} ${merged(list)}`)
    .sort()
    .join('; ');
}

function merged(ranges: readonly (readonly [number, number])[]): string {
  const result: [number, number][] = [];
  for (const [first, last] of [...ranges].sort((left, right) => left[0] - right[0])) {
    const open = result.at(-1);
    if (open !== undefined && first <= open[1] + 1) open[1] = Math.max(open[1], last);
    else result.push([first, last]);
  }
  return result.map(([first, last]) => `${first}-${last}`).join(',');
}

/** Words in double quotes up to the first character that is neither one of them nor a blank or comma between them. */
function quotedWords(text: string): { readonly words: readonly string[]; readonly rest: string } {
  const words: string[] = [];
  let position = 0;
  for (;;) {
    while (text[position] === ' ' || text[position] === ',') position += 1;
    if (text[position] !== '"') return { words, rest: text.slice(position) };
    let end = position + 1;
    while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
    words.push(unquote(text.slice(position + 1, end)));
    position = end + 1;
  }
}

/** @see Go, `strconv.Unquote` */
function unquote(text: string): string {
  return text.replaceAll(
    /\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))/gs,
    (whole, byte, short, long, letter) => {
      const code = byte ?? short ?? long;
      if (code === undefined) return CONTROLS[letter] ?? letter;
      const point = Number.parseInt(code, 16);
      return point > 0x10ffff ? whole : String.fromCodePoint(point);
    },
  );
}

const CONTROLS: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};
