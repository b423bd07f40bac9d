import type { ShellArgument, ShellStep } from '../shell/steps.ts';

/** Where the standard output of a download ends. */
export interface Sink {
  readonly kind:
    | 'file'
    /** An interpreter runs it. */
    | 'interpreter'
    /** Unpacked or installed without a file between. */
    | 'unpacked'
    /** Imported as a key. */
    | 'key'
    /** Filtered, captured or printed. */
    | 'metadata';
  readonly target?: ShellArgument;
  /** The command it ends in. */
  readonly step?: ShellStep;
}

const MAX_FOLLOWED = 200;
const INTERPRETER = /^(?:sh|bash|dash|ash|ksh|zsh|python[\d.]*|perl|ruby|node|php|lua|pwsh|Rscript|tclsh)$/;
const PASSES_ON =
  /^(?:cat|tee|sed|tr|base64|gunzip|gzip|zcat|xz|unxz|xzcat|bunzip2|bzip2|bzcat|zstd|zstdcat|unzstd|pv|openssl|dos2unix|sponge|iconv|rev|head|tail|awk|grep)$/;

/** Follows the pipe that starts at a download. */
export function sinkOf(download: ShellStep, consumers: ReadonlyMap<ShellStep, readonly ShellStep[]>): Sink {
  const seen = new Set<ShellStep>([download]);
  const queue = [...(consumers.get(download) ?? [])];
  let filtered = false;
  for (let step = queue.shift(); step !== undefined && seen.size < MAX_FOLLOWED; step = queue.shift()) {
    if (seen.has(step)) continue;
    seen.add(step);
    if (readsScript(step)) return { kind: 'interpreter', step };
    if (isKeyImport(step)) return { kind: 'key', target: keyTarget(step), step };
    if (/^(?:tar|bsdtar|unzip|cpio|dpkg|rpm|7z|apk|ar)$/.test(step.name)) return { kind: 'unpacked', step };
    if (PASSES_ON.test(step.name)) {
      filtered ||= /^(?:grep|awk|head|tail)$/.test(step.name);
      const target = step.outputs[0] ?? teeTarget(step);
      const isFile = target !== undefined && target.text !== '/dev/null';
      if (isFile && !filtered) return { kind: 'file', target, step };
      for (const each of consumers.get(step) ?? []) queue.push(each);
    }
  }
  return { kind: 'metadata' };
}

/** Whether an interpreter takes its script from standard input. */
export function readsScript(step: ShellStep): boolean {
  if (step.name === '.' || step.name === 'source') return step.args[0]?.text === '/dev/stdin';
  if (!INTERPRETER.test(step.name)) return false;
  const shell = /sh$/.test(step.name) && step.name !== 'pwsh' && step.name !== 'tclsh';
  for (const [index, { text }] of step.args.entries()) {
    if (text === '-' || text === '/dev/stdin' || text === '--' || (shell && /^-\w*s\w*$/.test(text)))
      return true;
    if (shell && /^-\w*c$/.test(text)) return false;
    if (shell && /^[-+]\w*[oO]$/.test(text)) continue;
    // Options such as `-c CODE`, `-e CODE`, `-m MODULE`, `-n` give other interpreters their program.
    if (!shell && /^-(?:\w*[cemnpr]|-eval|-run)/.test(text)) return false;
    const valueOfO = shell && index > 0 && /^[-+]\w*[oO]$/.test(step.args[index - 1]!.text);
    if (!text.startsWith('-') && !valueOfO) return false;
  }
  return true;
}

function isKeyImport(step: ShellStep): boolean {
  const has = (pattern: RegExp): boolean => step.args.some(({ text }) => pattern.test(text));
  if (step.name === 'apt-key') return has(/^add$/);
  if (step.name === 'rpm' || step.name === 'rpmkeys') return has(/^--import$/);
  if (/^gpg2?$/.test(step.name)) return has(/^(?:--(?:import|dearmor|fast-import)|--?dearmou?r)$/);
  return step.name === 'tee' && has(/(?:keyrings|trusted\.gpg\.d|apk\/keys|rpm-gpg)\//);
}

function keyTarget(step: ShellStep): ShellArgument | undefined {
  const index = step.args.findIndex(({ text }) => text === '-o' || text === '--output');
  return step.outputs[0] ?? (index < 0 ? teeTarget(step) : step.args[index + 1]);
}

function teeTarget(step: ShellStep): ShellArgument | undefined {
  if (step.name !== 'tee') return undefined;
  return step.args.find(({ text }) => !text.startsWith('-'));
}
