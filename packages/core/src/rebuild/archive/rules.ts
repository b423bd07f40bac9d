import { CoreError } from '../../errors.ts';

/** An archive that is no longer where Dockerfiles look for it. */
export interface MovedArchive {
  /** Beginning of the URLs that are asked for: `http://deb.debian.org/debian/`. */
  readonly from: string;
  /** What it is replaced by: `https://archive.example/debian/`. */
  readonly to: string;
}

/** Where questions that begin with `from` are sent. */
export interface Rule {
  readonly from: string;
  readonly to: string;
}

/** The rules, the longest beginning first. @throws {@link CoreError} `INVALID_OPTIONS` */
export function rulesOf({
  moved = [],
  allow = [],
}: {
  readonly moved?: readonly MovedArchive[];
  readonly allow?: readonly string[];
}): readonly Rule[] {
  const rules = [...moved, ...allow.map((from) => ({ from, to: from }))].map(({ from, to }) => ({
    from: checked(from, /^http:$/),
    to: checked(to, /^https?:$/),
  }));
  return rules.sort((a, b) => b.from.length - a.from.length);
}

/** A beginning ends with a slash, or `http://deb.example` would fit `http://deb.example.evil` too. */
function checked(text: string, protocol: RegExp): string {
  const url = URL.parse(text);
  if (
    url !== null &&
    protocol.test(url.protocol) &&
    url.username === '' &&
    url.search === '' &&
    url.href.endsWith('/')
  )
    return url.href;
  throw new CoreError('INVALID_OPTIONS', `${JSON.stringify(text)} is no beginning of an archive's URLs`, {
    hint: 'Write http://host/path/ with a slash at the end; where an archive moved to may be https.',
  });
}
