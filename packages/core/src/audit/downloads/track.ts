import type { CommandUnit } from '../run.ts';
import type { ShellArgument, ShellStep } from '../shell/steps.ts';
import { type Download, downloadsOf, hostOf } from './command.ts';
import { fileName, filesUsed, NamedFiles } from './files.ts';
import { type Sink, sinkOf } from './sink.ts';
import { SUM_SUFFIX, type Verification, verificationOf, words } from './verification.ts';

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
const MAX_TRACKED = 300;
/** Words remembered of one written file. */
const MAX_WRITTEN = 1000;

const GRADES: readonly VerificationGrade[] = ['none', 'weak', 'same-origin', 'checksum', 'signature'];

/**
 * Follows every downloaded file of a stage: under which names it goes, which command verifies it and against
 * what, and whether something uses it earlier. Writing the same file again starts anew.
 */
export function trackDownloads(commands: readonly CommandUnit[]): readonly DownloadRecord[] {
  const tracker = new Tracker(commands);
  for (const unit of commands) tracker.follow(unit);
  return tracker.records();
}

class Tracker {
  private readonly tracked: Tracked[] = [];
  private readonly consumers = new Map<ShellStep, ShellStep[]>();
  /** Words of the files that the script itself wrote, by name. */
  private readonly written = new Map<string, string[]>();

  constructor(commands: readonly CommandUnit[]) {
    for (const { step } of commands) {
      for (const input of step.inputs) {
        const known = this.consumers.get(input);
        if (known === undefined) this.consumers.set(input, [step]);
        else known.push(step);
      }
    }
  }

  follow(unit: CommandUnit): void {
    for (const download of downloadsOf(unit.step)) this.track(download, unit);
    if (this.tracked.length > MAX_TRACKED) return;
    this.remember(unit.step);
    const verification = verificationOf(unit.step);
    if (verification !== undefined) this.verify(verification, unit);
    this.rename(unit.step);
    const used = filesUsed(unit.step);
    for (const file of this.tracked) {
      const open = file.usedBy === undefined && file.grade === 'none' && file.download.step !== unit.step;
      if (open && used.matches(file.names)) file.usedBy = unit.step;
    }
  }

  records(): readonly DownloadRecord[] {
    return this.tracked
      .filter(({ superseded }) => !superseded)
      .map(({ unit, download, role, grade, sink, usedBy }) => ({
        ...unit,
        url: download.url,
        role,
        grade,
        sink,
        usedBy,
      }));
  }

  private track(download: Download, unit: CommandUnit): void {
    const { step, target: file } = download;
    const sink: Sink = file === undefined ? sinkOf(step, this.consumers) : { kind: 'file', target: file };
    const { target } = sink;
    const names = new Set((target === undefined ? [] : [target.text, ...target.alternatives]).map(fileName));
    names.delete('');
    // A mirror tried after another one writes the same file.
    for (const earlier of this.tracked.length > MAX_TRACKED ? [] : this.tracked) {
      const unused = earlier.grade === 'none' && earlier.usedBy === undefined;
      const same = earlier.unit.instruction === unit.instruction && !names.isDisjointFrom(earlier.names);
      if (unused && same) earlier.superseded = true;
    }
    const role = roleOf(download, sink);
    this.tracked.push({ unit, download, sink, names, role, grade: 'none', superseded: false });
  }

  private remember(step: ShellStep): void {
    if (!/^(?:echo|printf|cat)$/.test(step.name)) return;
    for (const output of step.outputs) {
      const known = this.written.get(fileName(output.text)) ?? [];
      const texts = step.inputText === undefined ? step.args : [...step.args, step.inputText];
      if (known.length < MAX_WRITTEN) {
        this.written.set(fileName(output.text), [...known, ...words(texts).slice(0, MAX_WRITTEN)]);
      }
    }
  }

  private verify(verification: Verification, unit: CommandUnit): void {
    const lists = verification.kind === 'checksum' ? verification.lists : [];
    const names = [...verification.names, ...lists.flatMap((list) => this.written.get(fileName(list)) ?? [])];
    const candidates = this.tracked.filter(({ superseded }) => !superseded);
    const isProof = proofTest(verification);
    const proofs = candidates.filter(isProof);
    for (const proof of proofs) proof.role = 'proof';
    const given = new NamedFiles(names);
    const named = candidates.filter((file) => !proofs.includes(file) && given.matches(file.names));
    // Names that only the build knows may be those of anything this RUN fetched so far.
    const open = candidates.filter(
      (file) => file.unit.instruction === unit.instruction && file.role === 'content',
    );
    const unknown = verification.kind === 'checksum' && (lists.length > 0 || isOpen(names));
    for (const file of named.length > 0 ? named : unknown ? open : []) {
      const grade = gradeOf(verification, file, proofs);
      if (GRADES.indexOf(grade) > GRADES.indexOf(file.grade)) file.grade = grade;
    }
  }

  private rename(step: ShellStep): void {
    if (!/^(?:mv|cp|ln|install)$/.test(step.name)) return;
    const operands = step.args.filter(({ text }) => !text.startsWith('-')).map(({ text }) => text);
    const target = operands.pop();
    if (operands.length === 0 || target === undefined) return;
    const sources = new NamedFiles(operands);
    for (const file of this.tracked) {
      if (sources.matches(file.names)) file.names.add(fileName(target));
    }
  }
}

/** Whether the names of verified files are not all in the text: none, or one that a variable gives. */
function isOpen(names: readonly string[]): boolean {
  const files = names.filter(
    (name) => !/^[0-9a-f]{32,128}$|^\$\{\w*(?:SUM|SHA|MD5|HASH|DIGEST)\w*\}$/i.test(name),
  );
  return files.length === 0 || files.some((name) => name.includes('$'));
}

/** Which downloads a verification reads its signature or checksums from. */
function proofTest(verification: Verification): (file: Tracked) => boolean {
  if (verification.kind === 'signature') {
    const { signature } = verification;
    return ({ names }) => signature !== undefined && names.has(fileName(signature));
  }
  const lists = new NamedFiles(verification.lists);
  const sources = new Set(verification.sources);
  return ({ download, names }) => {
    if (sources.has(download.step)) return true;
    // `grep -c x archive.tgz | ...` reads the archive, not a list.
    const archive = /\.(?:tgz|t?[gx]z|zip|bz2)$/.test([...names][0] ?? '');
    return !archive && lists.matches(names);
  };
}

function gradeOf(verification: Verification, file: Tracked, proofs: readonly Tracked[]): VerificationGrade {
  if (verification.kind === 'signature') return 'signature';
  if (proofs.some((proof) => proof.grade === 'signature')) return 'signature';
  if (proofs.some((proof) => proof.grade === 'checksum')) return 'checksum';
  if (proofs.some((proof) => sameHost(proof.download, file.download))) return 'same-origin';
  return verification.weak ? 'weak' : 'checksum';
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
const SUMS_NAME = /(?:sha\d+|md5|check)sums?|\.sha\d+$/i;

function roleOf(download: Download, sink: Sink): DownloadRole {
  const urls = download.url.alternatives;
  const target = sink.target?.text ?? '';
  const proof = (text: string): boolean =>
    ARCHIVE_PROOF.test(text) ||
    SUM_SUFFIX.test(text) ||
    SUMS_NAME.test(fileName(text.replace(/[?#].*$/s, '')));
  if (sink.kind === 'key' || KEY_TARGET.test(target)) return 'key';
  if (urls.every(proof) || proof(target)) return 'proof';
  if (sink.kind === 'metadata') return 'metadata';
  if (urls.some((url) => KEY_URL.test(url)) && !/\.(?:tar|tgz|zip|deb|rpm|apk|sh)\b/.test(urls[0] ?? ''))
    return 'key';
  if (urls.every((url) => PROOF_URL.test(url)) || PROOF_URL.test(target)) return 'proof';
  return 'content';
}
