import type { ShellArgument, ShellStep } from '../shell/steps.ts';
import type { CommandUnit } from '../unit.ts';
import { type Download, downloadsOf, hostOf } from './command.ts';
import { fileName, matchesFile, usesFile } from './files.ts';
import { type Sink, sinkOf } from './sink.ts';
import { SUM_SUFFIX, type Verification, verificationOf } from './verification.ts';

/** How well a download was verified, worst first. */
export type VerificationGrade =
  | 'none'
  /** Only MD5 or SHA-1. */
  | 'weak'
  /** The checksum came unsigned from the host of the file. */
  | 'same-origin'
  /** A checksum the Dockerfile holds, or one from elsewhere. */
  | 'checksum'
  /** A signature. */
  | 'signature';

/** What a downloaded file is for. */
export type DownloadRole =
  | 'content'
  /** A repository's or publisher's public key. */
  | 'key'
  /** A signature or a list of checksums. */
  | 'proof'
  /** Only read into a variable, filtered or printed. */
  | 'metadata';

/** One download and what became of it. */
export interface DownloadRecord extends CommandUnit {
  readonly url: ShellArgument;
  readonly role: DownloadRole;
  readonly grade: VerificationGrade;
  readonly sink: Sink;
  /** The command that used it before it was verified. */
  readonly usedBy?: ShellStep;
}

interface Tracked {
  readonly unit: CommandUnit;
  readonly download: Download;
  readonly sink: Sink;
  readonly names: Set<string>;
  role: DownloadRole;
  grade: VerificationGrade;
  usedBy?: ShellStep;
  superseded: boolean;
}

/** Downloads followed in one stage; more than that count as not verified. */
const MAX_TRACKED = 500;

const GRADES: readonly VerificationGrade[] = ['none', 'weak', 'same-origin', 'checksum', 'signature'];

/**
 * Follows every downloaded file of a stage: under which names it goes, which command verifies it and against
 * what, and whether something uses it earlier. Writing the same file again starts anew.
 */
export function trackDownloads(commands: readonly CommandUnit[]): readonly DownloadRecord[] {
  const consumers = new Map<ShellStep, ShellStep[]>();
  for (const { step } of commands) {
    for (const input of step.inputs) {
      const known = consumers.get(input);
      if (known === undefined) consumers.set(input, [step]);
      else known.push(step);
    }
  }
  const tracked: Tracked[] = [];
  /** Checksum lists that the script itself wrote: name -> text. */
  const written = new Map<string, readonly string[]>();
  for (const unit of commands) {
    const { step } = unit;
    for (const download of downloadsOf(step)) track(download, unit);
    if (tracked.length > MAX_TRACKED) continue;
    remember(step);
    const verification = verificationOf(step);
    if (verification !== undefined) verify(verification, unit);
    rename(step);
    for (const file of tracked) {
      if (file.usedBy === undefined && file.grade === 'none' && usesFile(step, file.names)) {
        if (file.download.step !== step) file.usedBy = step;
      }
    }
  }
  return tracked
    .filter(({ superseded }) => !superseded)
    .map(({ unit, download, role, grade, sink, usedBy }) => ({
      ...unit,
      url: download.url,
      role,
      grade,
      sink,
      usedBy,
    }));

  function track(download: Download, unit: CommandUnit): void {
    const sink =
      download.target === undefined
        ? sinkOf(download.step, consumers)
        : { kind: 'file' as const, target: download.target };
    const target = sink.target;
    const names = new Set((target === undefined ? [] : [target.text, ...target.alternatives]).map(fileName));
    names.delete('');
    for (const file of tracked) {
      if (file.grade === 'none' && [...names].some((name) => file.names.has(name)) && sameUse(file, unit))
        file.superseded = true;
    }
    tracked.push({
      unit,
      download,
      sink,
      names,
      role: roleOf(download, sink),
      grade: 'none',
      superseded: false,
    });
  }

  function sameUse(file: Tracked, unit: CommandUnit): boolean {
    return file.usedBy === undefined && file.unit.instruction === unit.instruction;
  }

  function remember(step: ShellStep): void {
    if (!/^(?:echo|printf|cat)$/.test(step.name)) return;
    for (const output of step.outputs) {
      const texts = [...step.args, ...(step.inputText === undefined ? [] : [step.inputText])];
      const words = texts.flatMap(({ text }) => text.split(/\s+/)).map((word) => word.replace(/^\*/, ''));
      written.set(fileName(output.text), [...(written.get(fileName(output.text)) ?? []), ...words]);
    }
  }

  function verify(verification: Verification, unit: CommandUnit): void {
    const lists = verification.kind === 'checksum' ? verification.lists : [];
    const names = [...verification.names, ...lists.flatMap((list) => written.get(fileName(list)) ?? [])];
    const proofs = tracked.filter((file) => !file.superseded && isProof(file, verification));
    for (const proof of proofs) proof.role = 'proof';
    const named = tracked.filter(
      (file) =>
        !file.superseded && !proofs.includes(file) && names.some((name) => matchesFile(name, file.names)),
    );
    // A list whose names only the build knows may check anything this RUN fetched so far.
    const open = tracked.filter(
      (file) => file.unit.instruction === unit.instruction && file.role === 'content',
    );
    const targets = named.length > 0 ? named : verification.kind === 'checksum' ? open : [];
    for (const file of targets) {
      const grade = gradeOf(verification, file, proofs);
      if (GRADES.indexOf(grade) > GRADES.indexOf(file.grade)) file.grade = grade;
    }
  }

  function isProof(file: Tracked, verification: Verification): boolean {
    if (verification.kind === 'signature') {
      return (
        verification.signature !== undefined &&
        verification.names.length > 1 &&
        file.names.has(fileName(verification.signature))
      );
    }
    if (verification.sources.includes(file.download.step)) return true;
    return (
      verification.lists.some((list) => file.names.has(fileName(list))) &&
      !/\.(?:tgz|t?[gx]z|zip|bz2)$/.test([...file.names][0] ?? '')
    );
  }

  function gradeOf(verification: Verification, file: Tracked, proofs: readonly Tracked[]): VerificationGrade {
    if (verification.kind === 'signature') return 'signature';
    if (proofs.some((proof) => proof.grade === 'signature')) return 'signature';
    if (proofs.some((proof) => proof.grade === 'checksum')) return 'checksum';
    if (proofs.some((proof) => sameHost(proof.download, file.download))) return 'same-origin';
    return verification.weak ? 'weak' : 'checksum';
  }

  function rename(step: ShellStep): void {
    if (!/^(?:mv|cp|ln|install)$/.test(step.name)) return;
    const operands = step.args.filter(({ text }) => !text.startsWith('-'));
    const target = operands.at(-1);
    if (operands.length < 2 || target === undefined) return;
    for (const source of operands.slice(0, -1)) {
      for (const file of tracked) {
        if (matchesFile(source.text, file.names)) file.names.add(fileName(target.text));
      }
    }
  }
}

function sameHost(a: Download, b: Download): boolean {
  const hosts = (download: Download): readonly (string | undefined)[] =>
    download.url.alternatives.map(hostOf);
  return hosts(a).some((host) => host !== undefined && hosts(b).includes(host));
}

const PROOF_URL = /\.(?:sig|sign|asc|minisig|sigstore|pem|crt|att|intoto\.jsonl)(?:$|[?#])/i;
const KEY_TARGET =
  /(?:^|\/)(?:keyrings|trusted\.gpg\.d|apk\/keys|rpm-gpg)\/|keyring\.(?:gpg|asc|pgp)$|\.rsa\.pub$/i;
const KEY_URL =
  /(?:^|[/._-])(?:gpg|pgp)?-?(?:keys?|keyring|pubkey|gpgkey|signing-key|archive-key)(?:$|[./?#_-])|\.(?:gpg|pgp|rsa\.pub)(?:$|[?#])|\/gpg$/i;
const ARCHIVE_PROOF =
  /\.(?:tgz|zip|tar(?:\.\w+)?|t?[gx]z|bz2|jar|war|deb|rpm|exe|bin|txt|sums?|phar|sh|iso)\.(?:asc|sig|sign|gpg|minisig)(?:$|[?#])/i;
const SUMS_NAME = /(?:^|\/)(?:[\w.-]*(?:sha\d+|md5|check)sums?[\w.-]*|[\w.-]*\.sha\d+)(?:$|[?#])/i;

function roleOf(download: Download, sink: Sink): DownloadRole {
  const urls = download.url.alternatives;
  const target = sink.target?.text ?? '';
  const proof = (text: string): boolean =>
    ARCHIVE_PROOF.test(text) || SUM_SUFFIX.test(text) || SUMS_NAME.test(text);
  if (sink.kind === 'key' || KEY_TARGET.test(target)) return 'key';
  if (urls.every(proof) || proof(target)) return 'proof';
  if (sink.kind === 'metadata') return 'metadata';
  if (urls.some((url) => KEY_URL.test(url)) && !/\.(?:tar|tgz|zip|deb|rpm|apk|sh)\b/.test(urls[0] ?? ''))
    return 'key';
  if (urls.every((url) => PROOF_URL.test(url)) || PROOF_URL.test(target)) return 'proof';
  return 'content';
}
