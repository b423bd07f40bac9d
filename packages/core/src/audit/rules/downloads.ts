import { downloadsOf, writesStdout } from '../downloads/command.ts';
import { readsScript } from '../downloads/sink.ts';
import type { DownloadRecord } from '../downloads/track.ts';
import { upstream } from '../downloads/verification.ts';
import type { AuditRule, FindingDraft } from '../rule.ts';
import type { CommandUnit } from '../run.ts';
import type { ShellArgument, ShellStep } from '../shell/steps.ts';
import { commandsIn, type DockerfileUnit, instructionsIn } from '../unit.ts';
import { internalAddress } from './addresses.ts';
import { shown, shownUrl } from './shown.ts';

/** Rules about what is downloaded and whether it is verified. */
export const downloadRules: readonly AuditRule[] = [
  {
    id: 'VET010',
    title: 'Downloaded text is run at once',
    severity: 'high',
    rationale:
      'Whoever controls the server, or the connection, runs commands in the build; nothing of it is kept to be looked at.',
    remediation: 'Download to a file, compare it with a checksum the Dockerfile holds, then run it.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { step, instruction } of commandsIn(unit)) {
        const download = runsDownload(step);
        if (download === undefined) continue;
        const what = download.args.length === 0 ? download.name : shown(download.source);
        yield {
          message: `${step.name} runs what ${what} downloads`,
          lines: instruction,
          at: download.source,
        };
      }
    },
  },
  {
    id: 'VET011',
    title: 'Download is not verified',
    severity: 'high',
    rationale:
      'Content from a server enters the image on trust in that server alone, and may differ on the next build.',
    remediation:
      'Check it against a sha256 that the Dockerfile holds (sha256sum -c) or a signature by a pinned key, before use.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const record of content(unit)) {
        const url = shownUrl(record.url);
        const place = { lines: record.instruction, at: record.step.source };
        if (record.grade === 'none') {
          yield {
            message: `${url} is ${fate(record)} without verification`,
            severity: severityOf(record),
            ...place,
          };
        } else if (record.usedBy !== undefined) {
          yield {
            message: `${url} is used by ${shown(record.usedBy.source)} before it is verified`,
            ...place,
          };
        }
      }
      for (const { step, instruction } of commandsIn(unit)) {
        const url = installedUrl(step);
        if (url === undefined) continue;
        yield {
          message: `${step.name} installs ${shownUrl(url)} without verification`,
          lines: instruction,
          at: step.source,
        };
      }
    },
  },
  {
    id: 'VET012',
    title: 'Checksum comes from the same place as the file',
    severity: 'medium',
    rationale:
      'Who can replace the file on that server can replace its checksum; it only guards against broken transfers.',
    remediation:
      'Write the expected checksum into the Dockerfile, or verify a signature over the list of checksums.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const record of content(unit)) {
        if (record.grade !== 'same-origin') continue;
        const message = `${shownUrl(record.url)} is only compared with a checksum from the same host`;
        yield { message, lines: record.instruction, at: record.step.source };
      }
    },
  },
  {
    id: 'VET013',
    title: 'Download is verified with a broken hash',
    severity: 'medium',
    rationale:
      'MD5 and SHA-1 collisions can be made: two files, harmless and harmful, with the same checksum.',
    remediation: 'Use SHA-256 or better.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const record of content(unit)) {
        if (record.grade !== 'weak') continue;
        const message = `${shownUrl(record.url)} is only verified with MD5 or SHA-1`;
        yield { message, lines: record.instruction, at: record.step.source };
      }
    },
  },
  {
    id: 'VET014',
    title: 'ADD from a URL without checksum',
    severity: 'high',
    rationale: 'The builder stores whatever the server sends.',
    remediation: 'Write ADD --checksum=sha256:... URL, or a git URL with a full commit.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { url, instruction } of remoteAdds(unit)) {
        if (isGit(url) || instruction.flags.some(({ name }) => name === 'checksum')) continue;
        yield { message: `ADD ${shown(url)} has no --checksum`, lines: instruction };
      }
    },
  },
  {
    id: 'VET015',
    title: 'Download over a connection anybody can alter',
    severity: 'medium',
    rationale: 'http, ftp and git:// carry no proof of who answers; every hop can replace the content.',
    remediation: 'Use https, and verify what arrives.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { downloads } of unit.stages) {
        for (const record of downloads) {
          if (record.grade === 'checksum' || record.grade === 'signature' || record.role === 'proof')
            continue;
          const plain = record.url.alternatives.find(isPlain);
          if (plain === undefined) continue;
          yield {
            message: `${shown(plain)} is fetched in the clear`,
            lines: record.instruction,
            at: record.step.source,
          };
        }
      }
      for (const { url, instruction } of remoteAdds(unit)) {
        const checked = instruction.flags.some(({ name }) => name === 'checksum');
        if (isPlain(url) && !checked)
          yield { message: `${shown(url)} is fetched in the clear`, lines: instruction };
      }
      for (const { step, instruction } of commandsIn(unit)) {
        const plain = plainOperand(step);
        if (plain !== undefined) {
          yield { message: `${shown(plain)} is fetched in the clear`, lines: instruction, at: step.source };
        }
      }
    },
  },
  {
    id: 'VET035',
    title: 'The build reaches for an internal address',
    severity: 'high',
    rationale:
      'Cloud metadata services and private addresses answer with credentials and internal data; a build has no reason to ask.',
    remediation: 'Remove the access; run builds without a route to metadata services and private networks.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { url, instruction } of remoteAdds(unit)) {
        const reason = internalAddress(url);
        if (reason !== undefined)
          yield { message: `ADD ${shown(url)} reaches ${reason}`, lines: instruction };
      }
      for (const { step, instruction } of commandsIn(unit)) {
        for (const { url } of downloadsOf(step)) {
          const reason = url.alternatives.map(internalAddress).find((each) => each !== undefined);
          if (reason === undefined) continue;
          yield { message: `${shownUrl(url)} reaches ${reason}`, lines: instruction, at: step.source };
        }
      }
    },
  },
];

function content(unit: DockerfileUnit): readonly DownloadRecord[] {
  return unit.stages.flatMap(({ downloads }) =>
    downloads.filter(({ role, sink }) => role === 'content' && sink.kind !== 'interpreter'),
  );
}

/** The download whose text a step executes. */
function runsDownload(step: ShellStep): ShellStep | undefined {
  const fetches = (each: ShellStep): boolean => downloadsOf(each).some(writesStdout);
  if (readsScript(step)) {
    const fed = [...upstream(step), ...(step.inputText?.commands ?? [])].find(fetches);
    if (fed !== undefined) return fed;
  }
  const shell = /^(?:sh|bash|dash|ash|ksh|zsh|su|eval|\.|source)$/.test(step.name);
  const interpreter = shell || /^(?:python[\d.]*|perl|ruby|node|php)$/.test(step.name);
  if (!interpreter) return undefined;
  const run = shell && step.name !== 'eval' && step.name !== '.' && step.name !== 'source';
  // `bash -c "$(curl ...)"` runs it; `bash install.sh "$(curl ...)"` passes it as an argument.
  const script = step.args.find(({ commands, process }, index) => {
    if (commands.length === 0) return false;
    const code = /^-\w*[ce]$/.test(step.args[index - 1]?.text ?? '');
    return process || code || (!run && step.name === 'eval');
  });
  return script === undefined || !isWholeText(script) ? undefined : script.commands.find(fetches);
}

/** True when the text starts with what the command printed, so that it is the program. */
function isWholeText(argument: ShellArgument): boolean {
  return (
    argument.process || /^\s*(?:\$\(:\)|\$\{)/.test(argument.text) || argument.alternatives.includes('$(:)')
  );
}

/** Package managers that install a file straight from a URL without a signature over it. */
function installedUrl(step: ShellStep): ShellArgument | undefined {
  const operands = step.args.filter(({ text }) => !text.startsWith('-'));
  const url = operands.find(({ text }) => /^(?:https?|ftp):\/\/\S+\.(?:rpm|deb|apk)(?:[?#]|$)/i.test(text));
  if (url === undefined) return undefined;
  const installs =
    (step.name === 'rpm' &&
      step.args.some(({ text }) => /^(?:-[A-Za-z]*[iUF]|--install|--upgrade)/.test(text))) ||
    (/^(?:yum|dnf|microdnf|zypper|tdnf|apk)$/.test(step.name) &&
      operands.some(({ text }) => /^(?:(?:local)?install|in|add|update|upgrade|reinstall)$/.test(text)));
  return installs ? url : undefined;
}

function fate({ sink, usedBy }: DownloadRecord): string {
  if (usedBy !== undefined) return `used by ${shown(usedBy.source)}`;
  if (sink.kind === 'unpacked') return `unpacked by ${sink.step?.name ?? 'a pipe'}`;
  return 'stored';
}

function severityOf({ url, sink, usedBy }: DownloadRecord): FindingDraft['severity'] {
  // A full commit id in the path names content that its host cannot quietly change.
  if (/[/@][0-9a-f]{40}(?:[/.]|$)/.test(url.text)) return 'low';
  const runs = usedBy !== undefined || sink.kind === 'unpacked';
  const target = sink.target?.text ?? url.text;
  const program =
    /\.(?:tgz|t?[gx]z|zip|bz2|zst|jar|war|so|deb|rpm|apk|whl|phar|sh|py|pl|js|exe|run|bin)(?:[?#]|$)|\/s?bin\//i;
  return runs || program.test(target) || program.test(url.text) ? 'high' : 'medium';
}

/** `ADD` instructions with their remote sources. */
export function* remoteAdds(
  unit: DockerfileUnit,
): Generator<{ readonly url: string; readonly instruction: CommandUnit['instruction'] }> {
  for (const { instruction } of instructionsIn(unit)) {
    if (instruction.keyword !== 'ADD') continue;
    const words = instruction.arguments.replace(/^\s*\[|\]\s*$/g, ' ').split(/[\s",]+/);
    for (const url of words.filter(Boolean).slice(0, -1)) {
      if (/^(?:[a-z][a-z0-9+.-]*:\/\/|git@)/i.test(url)) yield { url, instruction };
    }
  }
}

/** Whether ADD takes a URL for a git repository. @see BuildKit, git references in ADD */
export function isGit(url: string): boolean {
  return /^(?:git@|git:\/\/|ssh:\/\/)|\.git(?:[#?]|$)/i.test(url);
}

function isPlain(url: string): boolean {
  return /^(?:http|ftp|git):\/\//i.test(url) && internalAddress(url) === undefined;
}

function plainOperand(step: ShellStep): string | undefined {
  const texts = step.args.flatMap(({ alternatives }) => alternatives);
  if (step.name === 'git' && texts.some((text) => /^(?:clone|fetch|pull)$/.test(text))) {
    return texts.find((text) => /^(?:http|git):\/\//i.test(text));
  }
  if (!/^(?:pip[\d.]*|npm|yarn|pnpm|gem)$/.test(step.name)) return undefined;
  return texts
    .map((text) => text.replace(/^--[\w-]+=/, ''))
    .find((text) => isPlain(text) && !/^http:\/\/localhost/.test(text));
}
