import type { DockerfileInstruction } from '../../dockerfile/types.ts';
import type { Recorded } from './recorded.ts';
import { fits, isUnknown, type Scope } from './scope.ts';
import { type Acceptor, cleanPath, jsonList, wordsOf } from './written.ts';

/**
 * COPY and ADD. The classic builder records a checksum of what was copied and where it went, BuildKit the words; where the
 * files came from (`--from`), `--link` and the text of heredocs are in neither.
 */
export function acceptFiles(instruction: DockerfileInstruction, scope: Scope): Acceptor {
  const words = wordsOf(instruction.arguments).map((word) => scope.expand(word));
  const destination = words.at(-1) ?? '';
  const isHeredoc = (word: string) => instruction.heredocs.length > 0 && word.startsWith('<<');
  const sources = [
    ...words.slice(0, -1).filter((word) => jsonList(instruction.arguments) !== undefined || !isHeredoc(word)),
    ...instruction.heredocs.map(({ name }) => `<<${name}`),
  ];
  const flag = (name: string): string => {
    const value = instruction.flags.find((one) => one.name === name)?.value;
    return value === undefined ? '' : `--${name}=${scope.expand(value)}`;
  };
  const [owner, mode] = [flag('chown'), flag('chmod')];
  const directory = scope.directory;
  const accepts = ({ form, text }: Recorded): boolean => {
    if (form === 'buildkit') {
      const { flags, rest } = leadingFlags(text);
      const said = (name: string) => flags.find((one) => one.startsWith(`--${name}=`)) ?? '';
      return (
        fits(owner, said('chown')) &&
        (fits(mode, said('chmod')) || isUnknown(mode)) &&
        fits([...sources, destination].join(' '), rest)
      );
    }
    const classic = /^(--chown=.{0,255}?)?\s{0,8}(?:(file|dir|multi):)?[0-9a-f]{64} in (.*)$/s.exec(text);
    if (classic === null) return true;
    const [, seenOwner = '', kind, seenDestination = ''] = classic;
    const isCounted =
      kind !== undefined && !sources.some((source) => isUnknown(source) || /[*?[\\]/.test(source));
    if (isCounted && (kind === 'multi') !== sources.length > 1) return false;
    return fits(owner, seenOwner) && isDestination(destination, seenDestination, directory);
  };
  const flags = [owner, mode].filter((one) => one !== '');
  return { text: [...flags, ...sources, destination].join(' '), accepts };
}

/** Old engines recorded the destination made absolute. */
function isDestination(wanted: string, recorded: string, directory: string | undefined): boolean {
  if (fits(wanted, recorded)) return true;
  if (isUnknown(wanted) || wanted.startsWith('/')) return fits(cleanPath(wanted), cleanPath(recorded));
  if (directory !== undefined) return cleanPath(`${directory}/${wanted}`) === cleanPath(recorded);
  return (
    recorded.startsWith('/') && cleanPath(recorded).endsWith(cleanPath(`/${wanted}`).replace(/^\/$/, ''))
  );
}

function leadingFlags(text: string): { readonly flags: readonly string[]; readonly rest: string } {
  const flags: string[] = [];
  let rest = text;
  while (rest.startsWith('--')) {
    const end = rest.search(/\s|$/);
    flags.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return { flags, rest };
}
