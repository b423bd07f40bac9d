import type { ShellStep } from '../shell/steps.ts';

/** The last component of a path: what files are known by, since `cd` changes the rest. */
export function fileName(path: string): string {
  return path.slice(path.replace(/\/+$/, '').lastIndexOf('/') + 1).replace(/\/+$/, '');
}

/** Words that may name files; a word may hold `*`. */
export class NamedFiles {
  private readonly exact = new Set<string>();
  private readonly patterns: { readonly prefix: string; readonly suffix: string }[] = [];

  constructor(words: Iterable<string>) {
    for (const word of words) {
      const name = fileName(word);
      const star = name.indexOf('*');
      if (star < 0) this.exact.add(name);
      else if (name.length > 1 && this.patterns.length < MAX_PATTERNS) {
        this.patterns.push({ prefix: name.slice(0, star), suffix: name.slice(name.lastIndexOf('*') + 1) });
      }
    }
    this.exact.delete('');
  }

  /** Whether one of the words names one of the files. */
  matches(files: ReadonlySet<string>): boolean {
    for (const file of files) {
      if (this.exact.has(file)) return true;
      const fits = this.patterns.some(
        ({ prefix, suffix }) => file.startsWith(prefix) && file.endsWith(suffix),
      );
      if (fits) return true;
    }
    return false;
  }
}

/** Patterns looked at in one command. */
const MAX_PATTERNS = 20;
const INTERPRETERS =
  /^(?:sh|bash|dash|ash|ksh|zsh|\.|source|python[\d.]*|perl|ruby|node|php|lua|java|pwsh|Rscript|tclsh|make)$/;
const UNPACKERS =
  /^(?:tar|bsdtar|unzip|7za?|dpkg|dpkg-deb|apt|apt-get|rpm|yum|dnf|microdnf|zypper|apk|pip[\d.]*|gem|npm|cpio|gunzip|gzip|xz|unxz|bunzip2|zstd|patch|installer)$/;

/** The files a command executes, unpacks or installs. */
export function filesUsed(step: ShellStep): NamedFiles {
  const operands = step.args.filter(({ text }) => !text.startsWith('-') || text.includes('='));
  let words = step.name === 'curl' || step.name === 'wget' ? [] : [step.name];
  if (UNPACKERS.test(step.name) || INTERPRETERS.test(step.name)) {
    const first = INTERPRETERS.test(step.name) && step.name !== 'java';
    const used = first ? operands.slice(0, 1) : operands;
    if (step.inputFile !== undefined) used.push(step.inputFile);
    words = words.concat(used.flatMap(({ text, alternatives }) => [text, ...alternatives]));
  }
  // `of=FILE`, `--file=FILE`
  return new NamedFiles(words.map((word) => word.slice(word.lastIndexOf('=') + 1)));
}
