import type { AuditRule, FindingDraft } from '../rule.ts';
import type { CommandUnit } from '../run.ts';
import { parseOptions } from '../shell/options.ts';
import type { ShellStep } from '../shell/steps.ts';
import { commandsIn, commandsOf, instructionsIn } from '../unit.ts';
import { isGit, remoteAdds } from './downloads.ts';
import { shown } from './shown.ts';

/** Rules about sources and packages outside the distribution. */
export const dependencyRules: readonly AuditRule[] = [
  {
    id: 'VET030',
    title: 'Git source is not at a fixed commit',
    severity: 'medium',
    rationale: 'Branches move by design and tags can be moved; the next build may take other source.',
    remediation: 'Check out the full commit id.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { instructions } of unit.stages) yield* clones(commandsOf(instructions));
      for (const { url, instruction } of remoteAdds(unit)) {
        if (!isGit(url) || instruction.flags.some(({ name }) => name === 'checksum')) continue;
        const ref = /#([^:]*)/.exec(url)?.[1] ?? '';
        if (/^[0-9a-f]{40}$/.test(ref) || /[?&]checksum=[0-9a-f]{40}/.test(url)) continue;
        yield { message: `ADD ${shown(url)} is not at a full commit id`, lines: instruction };
      }
    },
  },
  {
    id: 'VET031',
    title: 'Packages of a language are installed without version',
    severity: 'medium',
    rationale:
      'Every build takes the newest version there is, also one published by an attacker an hour ago.',
    remediation: 'Install from a lock file with hashes (pip --require-hashes, npm ci), or name the version.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { step, instruction } of commandsIn(unit)) {
        const unpinned = [...new Set(unpinnedPackages(step))];
        if (unpinned.length === 0) continue;
        const names = unpinned.slice(0, 5).map(shown).join(', ');
        const more = unpinned.length > 5 ? ` and ${unpinned.length - 5} more` : '';
        yield {
          message: `${step.name} installs ${names}${more} at whatever version is newest`,
          lines: instruction,
          at: step.source,
        };
      }
    },
  },
  {
    id: 'VET032',
    title: 'Packages may come from either of two indexes',
    severity: 'high',
    rationale:
      'pip takes the highest version from any index: who registers a private name on the public one wins.',
    remediation: 'Use one --index-url that proxies the other, or pin every package by hash.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { step, instruction } of commandsIn(unit)) {
        const asks = step.args.some(({ text }) => /^--extra-index-url(?:=|$)/.test(text));
        const sets = step.assignments.some(({ name }) => EXTRA_INDEX.test(name));
        const hashed = step.args.some(({ text }) => text === '--require-hashes');
        if ((asks || sets) && !hashed && /^(?:pip[\d.]*|python[\d.]*|uv|)$/.test(step.name)) {
          yield {
            message: 'an extra package index is used beside the usual one',
            lines: instruction,
            at: 'extra-index-url',
          };
        }
      }
      for (const { instruction, assignments } of instructionsIn(unit)) {
        for (const { name, value } of assignments) {
          if (!EXTRA_INDEX.test(name) || value === undefined || value === '') continue;
          yield {
            message: `${name} adds a package index beside the usual one`,
            lines: instruction,
            at: name,
          };
        }
      }
    },
  },
];

const EXTRA_INDEX = /^(?:PIP|UV)_EXTRA_INDEX_URL$/;
const CHECKOUT = /^(?:checkout|reset|switch|fetch|pull)$/;

function* clones(commands: readonly CommandUnit[]): Generator<FindingDraft> {
  const settled = commands.map(({ step }) => step.name === 'git' && fixesCommit(step));
  const last = settled.lastIndexOf(true);
  for (const [index, { step, instruction }] of commands.entries()) {
    if (step.name !== 'git') continue;
    const { operands, value } = gitOptions(step);
    if (operands[0]?.text !== 'clone') continue;
    const url = operands[1]?.text ?? '';
    if (url.startsWith('/') || url.startsWith('.')) continue;
    // A later checkout of a commit, before the next clone, settles it.
    let limit = index + 1;
    while (limit < commands.length && !isClone(commands[limit]!.step)) limit += 1;
    if (index < last && settled.slice(index + 1, limit).includes(true)) continue;
    const ref = value('-b', '--branch', '--revision')?.text ?? checkedOut(commands.slice(index + 1, limit));
    if (ref !== undefined && isCommit(ref)) continue;
    const what = ref === undefined ? 'the default branch' : ref;
    const severity = ref !== undefined && /\d|VERSION|TAG/i.test(ref) ? 'low' : undefined;
    yield {
      message: `${shown(url)} is cloned at ${shown(what)}, not at a commit`,
      severity,
      lines: instruction,
      at: step.source,
    };
  }
}

function gitOptions(step: ShellStep): ReturnType<typeof parseOptions> {
  return parseOptions(step.args, {
    short: 'bcCojn',
    long: [
      'branch',
      'depth',
      'origin',
      'config',
      'jobs',
      'revision',
      'reference',
      'template',
      'filter',
      'git-dir',
      'work-tree',
    ],
  });
}

function isClone(step: ShellStep): boolean {
  return step.name === 'git' && gitOptions(step).operands[0]?.text === 'clone';
}

function fixesCommit(step: ShellStep): boolean {
  const { operands } = gitOptions(step);
  return (
    CHECKOUT.test(operands[0]?.text ?? '') &&
    step.args.some(({ alternatives }) => alternatives.every(isCommit))
  );
}

function checkedOut(commands: readonly CommandUnit[]): string | undefined {
  const checkout = commands.find(
    ({ step }) =>
      step.name === 'git' && /^(?:checkout|switch)$/.test(gitOptions(step).operands[0]?.text ?? ''),
  );
  return checkout === undefined ? undefined : gitOptions(checkout.step).operands[1]?.text;
}

/** A commit id, or a variable that is named for one. */
function isCommit(ref: string): boolean {
  return /^(?:[0-9a-f]{7,64}|\$\{\w*(?:COMMIT|SHA|HASH|REVISION|_REV)\w*\})$/i.test(ref);
}

function unpinnedPackages(step: ShellStep): readonly string[] {
  const inner = moduleOf(step);
  if (inner !== undefined) return pip(inner);
  switch (step.name.replace(/[\d.]+$/, '')) {
    case 'pip':
    case 'pipx':
      return pip(step.args);
    case 'uv':
      return step.args[0]?.text === 'pip' ? pip(step.args.slice(1)) : [];
    case 'npm':
    case 'pnpm':
    case 'yarn':
    case 'bun':
      return node(step);
    case 'gem':
      return gem(step);
    case 'go':
      return golang(step);
    case 'cargo':
      return cargo(step);
    default:
      return [];
  }
}

/** `python -m pip ...` */
function moduleOf(step: ShellStep): ShellStep['args'] | undefined {
  if (!/^python[\d.]*$/.test(step.name)) return undefined;
  const at = step.args.findIndex(({ text }) => text === '-m');
  return at >= 0 && step.args[at + 1]?.text === 'pip' ? step.args.slice(at + 2) : undefined;
}

function pip(args: ShellStep['args']): readonly string[] {
  const { operands, has } = parseOptions(args, {
    short: 'rcetdibf',
    long: (
      'requirement constraint editable target platform python-version implementation abi root prefix src ' +
      'upgrade-strategy index-url extra-index-url find-links trusted-host cache-dir timeout retries proxy cert ' +
      'progress-bar log config-settings global-option install-option no-binary only-binary use-feature python'
    ).split(' '),
  });
  if (operands[0]?.text !== 'install' || has('--require-hashes', '--no-index', '-c', '--constraint'))
    return [];
  return operands
    .slice(1)
    .flatMap(({ text }) => text.split(/\s+/))
    .filter((text) => {
      if (text === '' || /[=]=|^[./]|\/|\.(?:whl|gz|zip)$|[*$]\{?\w*$|@/.test(text))
        return isFloatingGit(text);
      return true;
    });
}

function isFloatingGit(text: string): boolean {
  const ref = /^(?:[\w.[\]-]+ *@ *)?git\+[^\s#]+?(?:\.git)?(?:@([^@/#]+))?(?:#.*)?$/.exec(text);
  return ref !== null && !isCommit(ref[1] ?? '');
}

function node(step: ShellStep): readonly string[] {
  const { operands, has } = parseOptions(step.args, {
    long: ['prefix', 'registry', 'cache', 'loglevel', 'userconfig', 'cwd'],
  });
  const words = operands.map(({ text }) => text);
  if (step.name === 'yarn' && words[0] === 'global') words.shift();
  const adds = step.name === 'npm' ? /^(?:i|install|add|isntall)$/ : /^(?:add|install|i)$/;
  if (!adds.test(words[0] ?? '')) return [];
  if (has('--dry-run')) return [];
  return words.slice(1).filter((text) => {
    if (/^[./]|\.tgz$|^\$|^https?:|^file:/.test(text)) return false;
    const version = /^(?:@[^/@]+\/)?[^@/]+(?:@(.*))?$/.exec(text)?.[1];
    return version === undefined ? !/[:#]/.test(text) : /^(?:latest|next|\*|)$/.test(version);
  });
}

function gem(step: ShellStep): readonly string[] {
  const { operands, has } = parseOptions(step.args, {
    short: 'vinsPp',
    long: ['version', 'install-dir', 'bindir', 'source', 'platform', 'http-proxy'],
  });
  if (operands[0]?.text !== 'install' || has('-v', '--version')) return [];
  return operands
    .map(({ text }) => text)
    .slice(1)
    .filter((text) => !/:[\d$]|\.gem$|^\$/.test(text));
}

function golang(step: ShellStep): readonly string[] {
  const { operands } = parseOptions(step.args);
  if (!/^(?:install|get)$/.test(operands[0]?.text ?? '')) return [];
  const version = /@(.+)$/;
  return operands
    .slice(1)
    .map(({ text }) => text)
    .filter((text) => {
      const ref = version.exec(text)?.[1];
      if (ref !== undefined) return /^(?:latest|upgrade|patch|master|main|HEAD)$/.test(ref);
      return operands[0]?.text === 'get' && /^[\w.-]+\.\w+\/\S+/.test(text);
    });
}

function cargo(step: ShellStep): readonly string[] {
  const { operands, has } = parseOptions(step.args, {
    short: 'jZp',
    long: [
      'version',
      'vers',
      'git',
      'rev',
      'tag',
      'branch',
      'path',
      'root',
      'features',
      'target',
      'registry',
      'bin',
      'jobs',
      'profile',
    ],
  });
  const words = operands.map(({ text }) => text).filter((text) => !text.startsWith('+'));
  if (words[0] !== 'install' || has('--version', '--vers', '--path', '--git')) return [];
  return words.slice(1).filter((text) => !/@[\d=$]|^\$/.test(text));
}
