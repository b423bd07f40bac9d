import type { ShellStep } from '../shell/steps.ts';

/** The last component of a path: what files are known by, since `cd` changes the rest. */
export function fileName(path: string): string {
  return path.replace(/\/+$/, '').split('/').pop() ?? '';
}

/** Whether a word, which may hold one `*`, names one of the files. */
export function matchesFile(word: string, names: ReadonlySet<string>): boolean {
  const name = fileName(word);
  if (name === '') return false;
  const star = name.indexOf('*');
  if (star < 0) return names.has(name);
  const [prefix, suffix] = [name.slice(0, star), name.slice(name.lastIndexOf('*') + 1)];
  if (prefix === '' && suffix === '') return false;
  return [...names].some((each) => each.startsWith(prefix) && each.endsWith(suffix));
}

const INTERPRETERS =
  /^(?:sh|bash|dash|ash|ksh|zsh|\.|source|python[\d.]*|perl|ruby|node|php|lua|java|pwsh|Rscript|tclsh|make)$/;
const UNPACKERS =
  /^(?:tar|bsdtar|unzip|7za?|dpkg|dpkg-deb|apt|apt-get|rpm|yum|dnf|microdnf|zypper|apk|pip[\d.]*|gem|npm|cpio|gunzip|gzip|xz|unxz|bunzip2|zstd|patch|installer)$/;

/** Whether a command executes, unpacks or installs one of the files. */
export function usesFile(step: ShellStep, names: ReadonlySet<string>): boolean {
  if (names.size === 0) return false;
  if (names.has(step.name) && !/^(?:curl|wget)$/.test(step.name)) return true;
  const operands = step.args.filter(({ text }) => !text.startsWith('-') || text.includes('='));
  const named = (text: string): boolean => matchesFile(text.replace(/^.*=/s, ''), names);
  if (UNPACKERS.test(step.name)) {
    return operands.some(({ text, alternatives }) => named(text) || alternatives.some(named)) || inputNamed();
  }
  if (INTERPRETERS.test(step.name)) {
    const jar = step.name === 'java' ? operands : operands.slice(0, 1);
    return jar.some(({ text, alternatives }) => named(text) || alternatives.some(named)) || inputNamed();
  }
  return false;

  function inputNamed(): boolean {
    return step.inputFile !== undefined && named(step.inputFile.text);
  }
}
