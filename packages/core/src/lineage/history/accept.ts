import type { DockerfileInstruction } from '../../dockerfile/types.ts';
import { acceptFiles } from './accept-files.ts';
import { acceptRun } from './accept-run.ts';
import { joinedList, milliseconds, readHealthcheck, readPorts } from './go-text.ts';
import { fits, fitsUnquoted, HOLE, isUnknown, type Scope, shown } from './scope.ts';
import { type Acceptor, cleanPath, jsonList, wordsOf } from './written.ts';

/** Reads an instruction as both builders record it, and applies to `scope` what it changes for those after it. */
export function acceptorOf(instruction: DockerfileInstruction, scope: Scope): Acceptor {
  const { keyword } = instruction;
  const { text, accepts } = read(instruction, scope);
  return {
    text: `${keyword} ${shown(text)}`,
    accepts: (recorded) => recorded.keyword === keyword && accepts(recorded),
  };
}

function read(instruction: DockerfileInstruction, scope: Scope): Acceptor {
  const { keyword, arguments: written } = instruction;
  switch (keyword) {
    case 'RUN':
      return acceptRun(instruction, scope);
    case 'ADD':
    case 'COPY':
      return acceptFiles(instruction, scope);
    case 'ENV':
      return acceptEnvironment(written, scope);
    case 'LABEL':
      return spelled(pairsText(written, scope), fitsUnquoted);
    case 'ARG':
      return acceptArgument(written, scope);
    case 'WORKDIR':
      return acceptDirectory(written, scope);
    case 'USER':
    case 'STOPSIGNAL':
      return spelled(scope.expand(written), fits);
    case 'EXPOSE':
      return acceptPorts(scope.expand(written));
    case 'VOLUME':
      return spelled(
        wordsOf(written)
          .map((word) => scope.expand(word))
          .join(' '),
        (text, recorded) => fits(text, joinedList(recorded)),
      );
    case 'SHELL':
      scope.shell = wordsOf(written).join(' ');
      return spelled(scope.shell, (text, recorded) => fits(text, joinedList(recorded)));
    case 'CMD':
    case 'ENTRYPOINT':
      return acceptCommand(written, scope);
    case 'HEALTHCHECK':
      return acceptHealthcheck(instruction);
    // MAINTAINER and ONBUILD are recorded as written.
    default:
      return spelled(written, fits);
  }
}

function spelled(text: string, compare: (text: string, recorded: string) => boolean): Acceptor {
  return { text, accepts: (recorded) => compare(text, recorded.text) };
}

/** `A=b C=d` of `A=b "C"=d`, and `A=b c` of `A b c`. */
function pairsText(written: string, scope: Scope): string {
  return pairsOf(written, scope)
    .map(([name, value]) => (value === undefined ? name : `${name}=${value}`))
    .join(' ');
}

function pairsOf(written: string, scope: Scope): readonly (readonly [name: string, value?: string])[] {
  const [, name, rest = ''] = /^([^\s=]+)\s+(.*)$/s.exec(written) ?? [];
  return name === undefined ? scope.pairs(written) : [[scope.expand(name), scope.expand(rest)]];
}

function acceptEnvironment(written: string, scope: Scope): Acceptor {
  const text = pairsText(written, scope);
  // All values see the environment as it was before the instruction.
  for (const [name, value = ''] of pairsOf(written, scope)) scope.assign(name, value);
  return spelled(text, fitsUnquoted);
}

/** Only the classic builder records the Dockerfile's own default; the others may show what the build was given. */
function acceptArgument(written: string, scope: Scope): Acceptor {
  const pairs = scope.pairs(written);
  for (const [name] of pairs) scope.declare(name);
  const text = pairs.map(([name, value]) => (value === undefined ? name : `${name}=${value}`)).join(' ');
  const names = pairs.map(([name]) => name);
  return {
    text,
    accepts: ({ text: recorded, form }) =>
      form === 'classic' ? fitsUnquoted(text, recorded) : hasNames(names, recorded),
  };
}

/** Tells whether `A=1 B C=2 3` names these variables in this order. */
function hasNames(names: readonly string[], recorded: string): boolean {
  let position = 0;
  for (const [index, name] of names.entries()) {
    if (isUnknown(name)) return true;
    const found = index === 0 ? (recorded.startsWith(name) ? 0 : -1) : recorded.indexOf(` ${name}`, position);
    if (found < 0) return false;
    position = found + name.length + (index === 0 ? 0 : 1);
    const next = recorded[position];
    if (next !== undefined && next !== '=' && next !== ' ') return false;
  }
  return names.length > 0 && (recorded[position] === '=' || position === recorded.length);
}

/** Both builders record the directory made absolute; older ones as it is written. */
function acceptDirectory(written: string, scope: Scope): Acceptor {
  const path = scope.expand(written);
  const isWhole = /^(?:\/|\\|[A-Za-z]:)/.test(path) || path.startsWith(HOLE);
  const absolute = isWhole ? path : scope.directory === undefined ? undefined : `${scope.directory}/${path}`;
  const isKnown = absolute !== undefined && !isUnknown(absolute);
  scope.directory = isKnown ? cleanPath(absolute) : undefined;
  return spelled(absolute ?? path, (_text, recorded) => {
    if (fits(path, recorded)) return true;
    if (absolute === undefined) return isUnknown(path) || cleanPath(recorded).endsWith(cleanPath(path));
    return (isUnknown(absolute) && absolute.includes('..')) || fits(cleanPath(absolute), cleanPath(recorded));
  });
}

function acceptPorts(text: string): Acceptor {
  const ports = isUnknown(text) ? undefined : readPorts(text);
  return spelled(text, (wanted, recorded) =>
    ports === undefined ? fits(wanted, recorded) || isUnknown(wanted) : readPorts(recorded) === ports,
  );
}

/** The shell form is recorded with its shell. */
function acceptCommand(written: string, scope: Scope): Acceptor {
  const list = jsonList(written);
  const { shell } = scope;
  if (list !== undefined) return spelled(list.join(' '), (text, seen) => fits(text, joinedList(seen)));
  return spelled(written, (text, seen) => {
    const recorded = joinedList(seen);
    return fits(`${shell ?? HOLE} ${text}`, recorded);
  });
}

function acceptHealthcheck({ flags, arguments: written }: DockerfileInstruction): Acceptor {
  const [word = ''] = written.split(/\s/, 1);
  const command = written.slice(word.length).trim();
  const list = jsonList(command);
  const kind = word.toUpperCase();
  const form = kind === 'CMD' && list === undefined ? 'CMD-SHELL' : kind;
  const test = `${form} ${list === undefined ? command : list.join(' ')}`;
  const duration = (name: string) => milliseconds(flags.find((flag) => flag.name === name)?.value ?? '0');
  const wanted = ['interval', 'timeout', 'start-period', 'start-interval'].map(duration);
  const retries = Number(flags.find(({ name }) => name === 'retries')?.value ?? '0');
  const flagText = flags.map(({ name, value }) => `--${name}=${value} `).join('');
  return spelled(`${flagText}${written}`, (_text, recorded) => {
    const seen = readHealthcheck(recorded);
    if (seen === undefined) return true;
    return (
      fits(test, seen.test) &&
      seen.retries === retries &&
      seen.durations.every((value, index) => value === wanted[index] || Number.isNaN(wanted[index]))
    );
  });
}
