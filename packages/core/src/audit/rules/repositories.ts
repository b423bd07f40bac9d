import { hostOf } from '../downloads/command.ts';
import { upstream } from '../downloads/verification.ts';
import type { AuditRule } from '../rule.ts';
import type { CommandUnit } from '../run.ts';
import type { ShellStep } from '../shell/steps.ts';
import { commandsIn, type DockerfileUnit } from '../unit.ts';
import { shown, shownUrl } from './shown.ts';

/** Rules about package repositories and their keys. */
export const repositoryRules: readonly AuditRule[] = [
  {
    id: 'VET022',
    title: 'Packages come from a third-party repository',
    severity: 'medium',
    rationale: 'Its owner may from then on replace any package of the image, also those of the distribution.',
    remediation:
      'Limit it to the packages needed (apt pinning, includepkgs=), and vet its owner like a base image.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { step, instruction } of commandsIn(unit)) {
        const repository = addedRepository(step);
        if (repository === undefined) continue;
        yield {
          message: `${shown(repository)} is added as a package repository`,
          lines: instruction,
          at: step.source,
        };
      }
    },
  },
  {
    id: 'VET023',
    title: 'Repository key is taken on trust',
    severity: 'high',
    rationale:
      'A key fetched without a fingerprint to compare proves only that the server signed its own packages.',
    remediation:
      'Compare the key with a checksum or its full fingerprint, or copy it from the build context.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { stage, downloads } of unit.stages) {
        const pinned = fingerprints(unit, stage.index);
        for (const { role, grade, url, instruction, step } of downloads) {
          if (role !== 'key' || grade === 'checksum' || grade === 'signature' || pinned.has(instruction))
            continue;
          yield {
            message: `the key at ${shownUrl(url)} is not compared with anything`,
            lines: instruction,
            at: step.source,
          };
        }
      }
      for (const { step, instruction } of commandsIn(unit)) {
        const key = remoteKey(step);
        if (key !== undefined) {
          yield {
            message: `the key at ${shown(key)} is not compared with anything`,
            lines: instruction,
            at: step.source,
          };
        }
      }
    },
  },
  {
    id: 'VET024',
    title: 'Key is asked for by a short id',
    severity: 'high',
    rationale:
      'Keys with a chosen 32-bit id are made in seconds, and key servers hand out whatever has the id.',
    remediation: 'Ask for the full fingerprint of 40 digits.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { step, instruction } of commandsIn(unit)) {
        for (const id of new Set(requestedKeys(step))) {
          const digits = id.replace(/^0x/i, '').length;
          const severity = digits > 8 ? 'medium' : undefined;
          yield {
            message: `${id} has ${digits * 4} bits; others can have the same id`,
            severity,
            lines: instruction,
            at: step.source,
          };
        }
      }
    },
  },
];

const DISTRIBUTION_HOSTS =
  /(?:^|\.)(?:debian\.org|debian\.net|ubuntu\.com|alpinelinux\.org|centos\.org|fedoraproject\.org|rockylinux\.org|almalinux\.org|opensuse\.org|suse\.com|redhat\.com|archlinux\.org|amazonaws\.com|amazonlinux\.com|oracle\.com|voidlinux\.org|kali\.org|raspbian\.org)$/;

function addedRepository(step: ShellStep): string | undefined {
  const operands = step.args.filter(({ text }) => !text.startsWith('-')).map(({ text }) => text);
  const texts = step.args.map(({ text }) => text);
  switch (step.name) {
    case 'add-apt-repository':
    case 'apt-add-repository': {
      const removes = texts.some((text) => text === '-r' || text === '--remove');
      const component = operands.every((text) =>
        /^(?:universe|multiverse|restricted|main|contrib|non-free|$)/.test(text),
      );
      return removes || component ? undefined : foreign(operands.join(' '));
    }
    case 'yum-config-manager':
    case 'dnf':
    case 'yum':
    case 'microdnf':
    case 'tdnf': {
      const at = texts.findIndex((text) => text === '--add-repo' || text.startsWith('--add-repo='));
      return at < 0 ? undefined : foreign(texts[at]!.slice('--add-repo='.length) || (texts[at + 1] ?? ''));
    }
    case 'zypper':
      return /^(?:ar|addrepo)$/.test(operands[0] ?? '') ? foreign(operands[1] ?? '') : undefined;
    case 'apk': {
      const at = texts.findIndex((text) => /^(?:-X|--repository)(?:=|$)/.test(text));
      return at < 0 ? undefined : foreign(texts[at]!.replace(/^[^=]*=?/, '') || (texts[at + 1] ?? ''));
    }
    case 'echo':
    case 'printf':
    case 'cat':
    case 'tee':
    case 'curl':
    case 'wget':
      return writtenRepository(step);
    default:
      return undefined;
  }
}

const LISTS = /\/sources\.list(?:\.d\/|$)|\/yum\.repos\.d\/|\/apk\/repositories$|\/zypp\/repos\.d\//;

function writtenRepository(step: ShellStep): string | undefined {
  const targets = [...step.outputs.map(({ text }) => text), ...step.args.map(({ text }) => text)];
  if (!targets.some((text) => LISTS.test(text))) return undefined;
  const sources = step.name === 'tee' ? upstream(step) : [step];
  const text = sources
    .flatMap((source) => [...source.args.map((argument) => argument.text), source.inputText?.text ?? ''])
    .join('\n');
  for (const match of text.matchAll(/(?:https?|ftp):\/\/[^\s"'\\\]]+/g)) {
    const found = foreign(match[0]);
    if (found !== undefined) return found;
  }
  return undefined;
}

function foreign(repository: string): string | undefined {
  const text = repository.trim();
  if (text === '' || text.startsWith('/')) return undefined;
  const url = /(?:https?|ftp):\/\/\S+/.exec(text)?.[0];
  if (url === undefined)
    return /^(?:ppa:|cloud-archive:|obs:)/.test(text) || !text.includes('://') ? nonTag(text) : undefined;
  const host = hostOf(url);
  return host !== undefined && DISTRIBUTION_HOSTS.test(host) && !host.startsWith('s3') ? undefined : url;
}

/** An apk tag or a variable alone says nothing about who owns the repository. */
function nonTag(text: string): string | undefined {
  return text.startsWith('$') || text.startsWith('@') ? undefined : text;
}

const FINGERPRINT =
  /(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{40}|(?:[0-9A-Fa-f]{4}\s{1,2}){9}[0-9A-Fa-f]{4})(?![0-9A-Fa-f])/;

/** RUNs that hold a full fingerprint to compare with. */
function fingerprints(unit: DockerfileUnit, stage: number): ReadonlySet<CommandUnit['instruction']> {
  const found = (unit.stages[stage]?.instructions ?? []).filter(({ instruction }) => {
    const text = `${instruction.arguments}\n${instruction.heredocs.map(({ content }) => content).join('\n')}`;
    return (
      FINGERPRINT.test(text) &&
      /--(?:list-keys|fingerprint|show-keys|with-colons|import-options|verify)|grep|awk|test|\[/.test(text)
    );
  });
  return new Set(found.map(({ instruction }) => instruction));
}

/** A key that a package tool fetches by itself. */
function remoteKey(step: ShellStep): string | undefined {
  const url = step.args.find(({ text }) => /^https?:\/\//i.test(text))?.text;
  if (url === undefined) return undefined;
  const has = (pattern: RegExp): boolean => step.args.some(({ text }) => pattern.test(text));
  if ((step.name === 'rpm' || step.name === 'rpmkeys') && has(/^--import$/)) return url;
  if (step.name === 'apt-key' && has(/^--fetch-keys$/)) return url;
  if (/^gpg2?$/.test(step.name) && has(/^--fetch-keys?$/)) return url;
  return undefined;
}

function requestedKeys(step: ShellStep): readonly string[] {
  if (!/^(?:gpg2?|apt-key)$/.test(step.name)) return [];
  const texts = step.args.flatMap(({ alternatives }) => alternatives);
  if (!texts.some((text) => /^--?(?:recv-keys?|receive-keys)$/.test(text))) return [];
  return texts.filter((text) => /^(?:0x)?(?:[0-9A-Fa-f]{8}|[0-9A-Fa-f]{16})$/.test(text));
}
