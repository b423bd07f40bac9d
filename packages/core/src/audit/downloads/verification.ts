import { parseOptions } from '../shell/options.ts';
import type { ShellArgument, ShellStep } from '../shell/steps.ts';

/** A step that checks content. */
export type Verification =
  | {
      readonly kind: 'checksum';
      readonly weak: boolean;
      /** Words that may name the checked file. */
      readonly names: readonly string[];
      /** Files that hold the expected sums. */
      readonly lists: readonly string[];
      /** Steps the expected sums come from. */
      readonly sources: readonly ShellStep[];
    }
  | { readonly kind: 'signature'; readonly signature?: string; readonly names: readonly string[] };

const CHECKSUM = /^(?:(?:md5|sha1|sha224|sha256|sha384|sha512|b2|b3)sum|shasum|sha3sum|xxhsum|digest)$/;
const COMPARE = /^(?:\[|test|\[\[|case|grep|egrep|fgrep|cmp|diff|awk)$/;
const SIGNATURE_TOOL =
  /^(?:cosign|minisign|signify|signify-openbsd|slsa-verifier|jarsigner|notation|rsign|ssh-keygen)$/;

/** Whether and what a step verifies. */
export function verificationOf(step: ShellStep): Verification | undefined {
  if (CHECKSUM.test(step.name) && isCheck(step)) return checksumList(step);
  if (COMPARE.test(step.name)) return comparison(step);
  if (/^(?:gpg2?|gpgv2?|sqv)$/.test(step.name)) return gnupg(step);
  const text = step.args.map((argument) => argument.text).join(' ');
  const verifies =
    SIGNATURE_TOOL.test(step.name) ||
    (step.name === 'gh' && text.includes('attestation verify')) ||
    (step.name === 'openssl' && /(?:^| )-verify(?: |$)|pkeyutl/.test(text)) ||
    (step.name === 'rpm' && /(?:^| )(?:-K|--checksig)(?: |$)/.test(text));
  return verifies ? { kind: 'signature', names: words(step.args) } : undefined;
}

/** Computes a digest without judging it. */
function computesDigest(step: ShellStep): boolean {
  if (CHECKSUM.test(step.name)) return !isCheck(step);
  return step.name === 'openssl' && step.args.some(({ text }) => /^-?(?:dgst|md5|sha\d+)$/.test(text));
}

function isCheck(step: ShellStep): boolean {
  return step.args.some(({ text }) => text === '--check' || /^-[a-zA-Z]*c[a-zA-Z]*$/.test(text));
}

function isWeak(step: ShellStep): boolean {
  const text = step.args.map((argument) => argument.text).join(' ');
  if (step.name === 'shasum') return !/-a ?(?:256|384|512)|--algorithm[= ](?:256|384|512)/.test(text);
  if (step.name === 'openssl') return /(?:^|[ -])(?:md5|sha1)(?: |$)/.test(text);
  return /^(?:md5sum|sha1sum|xxhsum)$/.test(step.name);
}

function checksumList(step: ShellStep): Verification {
  const { operands } = parseOptions(step.args, { short: 'a', long: ['algorithm'] });
  let lists = operands.map(({ text }) => text).filter((text) => text !== '-' && text !== '/dev/stdin');
  if (step.inputFile !== undefined) lists.push(step.inputFile.text);
  const fed = upstream(step);
  const feeding = fed.flatMap((source) => [
    ...source.args,
    ...(source.inputText === undefined ? [] : [source.inputText]),
  ]);
  const texts = [...feeding, ...(step.inputText === undefined ? [] : [step.inputText])];
  const sources = origins([...fed, ...texts.flatMap(({ commands }) => commands)]);
  // `grep FILE SUMS | sha256sum -c` reads its sums from SUMS.
  const readers = sources.filter(({ name }) => /^(?:grep|egrep|fgrep|sed|awk|cat|head|tail|cut)$/.test(name));
  lists = lists.concat(
    readers.flatMap(({ args, inputFile }) => words(inputFile ? [...args, inputFile] : args)),
  );
  return {
    kind: 'checksum',
    weak: isWeak(step),
    names: [...words(texts), ...lists.map((list) => list.replace(SUM_SUFFIX, ''))],
    lists,
    sources,
  };
}

/** Ends of names of files that hold checksums. */
export const SUM_SUFFIX: RegExp =
  /[.-](?:sha\d*(?:sums?)?|md5(?:sums?)?|b2|sums?|checksums?|digest)(?:\.txt)?$/i;

/** `[ "$(sha256sum f)" = ... ]`, `sha256sum f | grep -q ...`. */
function comparison(step: ShellStep): Verification | undefined {
  const inside = [
    ...step.args.flatMap(({ commands }) => commands),
    ...(step.inputText?.commands ?? []),
    ...upstream(step),
  ];
  const digests = inside.filter(computesDigest);
  if (digests.length === 0) return undefined;
  const inputs = digests.flatMap((digest) => [
    ...digest.args,
    ...(digest.inputFile === undefined ? [] : [digest.inputFile]),
    ...upstream(digest).flatMap(({ args }) => args),
  ]);
  return {
    kind: 'checksum',
    weak: digests.every(isWeak),
    names: words(inputs),
    lists: [],
    sources: origins(inside.filter((each) => !digests.includes(each))),
  };
}

function gnupg(step: ShellStep): Verification | undefined {
  const { operands, has } = parseOptions(step.args, {
    short: 'our',
    long: ['output', 'keyring', 'homedir', 'keyserver', 'keyserver-options', 'status-fd', 'status-file'],
  });
  const clear =
    has('--decrypt', '-d') ||
    (operands.length > 0 && has('--output', '-o') && !has('--dearmor', '--import', '--export'));
  if (!step.name.startsWith('gpgv') && step.name !== 'sqv' && !has('--verify') && !clear) return undefined;
  const [signature, ...data] = operands;
  if (signature === undefined) return undefined;
  const detached = signature.text.replace(/\.(?:asc|sig|sign|gpg)$/i, '');
  const inputs = upstream(step).flatMap(({ args }) => args);
  return {
    kind: 'signature',
    signature: signature.text,
    names: [...words([...data, ...inputs, ...(data.length === 0 ? [signature] : [])]), detached],
  };
}

const MAX_UPSTREAM = 200;
const MAX_WORDS = 10_000;

/** Steps, and those inside the substitutions of their arguments, as deep as they go. */
function origins(steps: readonly ShellStep[]): readonly ShellStep[] {
  const seen = new Set<ShellStep>();
  const queue = [...steps];
  for (let next = queue.pop(); next !== undefined && seen.size < MAX_UPSTREAM; next = queue.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    for (const each of next.inputs) queue.push(each);
    for (const { commands } of next.args) for (const each of commands) queue.push(each);
  }
  return [...seen];
}

/** Every step whose output reaches a step through pipes; the nearest 200 in a longer pipeline. */
export function upstream(step: ShellStep): readonly ShellStep[] {
  const seen = new Set<ShellStep>();
  const queue = [...step.inputs];
  for (let next = queue.pop(); next !== undefined && seen.size < MAX_UPSTREAM; next = queue.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    for (const each of next.inputs) queue.push(each);
  }
  return [...seen];
}

/** Blank-separated words of arguments, without the `*` that marks a binary file in a checksum line. */
export function words(args: readonly ShellArgument[]): readonly string[] {
  const texts = new Set(args.flatMap(({ text, alternatives }) => [text, ...alternatives]));
  return [...texts]
    .flatMap((text) => text.split(/[\s'"\\]+/))
    .map((word) => word.replace(/^\*/, ''))
    .filter(Boolean)
    .slice(0, MAX_WORDS);
}
