import type { DockerfileStage } from '../../dockerfile/types.ts';
import { upstream } from '../downloads/verification.ts';
import type { AuditRule, FindingDraft } from '../rule.ts';
import type { ShellStep } from '../shell/steps.ts';
import { commandsIn, type DockerfileUnit, instructionsIn } from '../unit.ts';

/** Rules about who the image runs as and how it could become root. */
export const privilegeRules: readonly AuditRule[] = [
  {
    id: 'VET050',
    title: 'Image runs as root',
    severity: 'medium',
    rationale:
      'A process that breaks out of its container, or writes to a mounted directory, does so as root.',
    remediation:
      'Create a user and end the Dockerfile with USER; set it at run time where that is not possible.',
    appliesTo: 'dockerfile',
    *check(unit) {
      const draft = unit.final ? finalUser(unit) : undefined;
      if (draft !== undefined) yield draft;
    },
  },
  {
    id: 'VET051',
    title: 'A program gets rights of its own',
    severity: 'high',
    rationale:
      'Set-user-ID programs and file capabilities give whoever starts them the rights of their owner.',
    remediation: 'Do without, or run containers with no-new-privileges.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { step, instruction } of commandsIn(unit)) {
        const draft = ownRights(step);
        if (draft !== undefined) yield { ...draft, lines: instruction, at: step.source };
      }
      for (const { instruction } of instructionsIn(unit)) {
        if (instruction.keyword !== 'COPY' && instruction.keyword !== 'ADD') continue;
        const mode = instruction.flags.find(({ name }) => name === 'chmod')?.value ?? '';
        const draft = modeRights(mode);
        if (draft !== undefined) yield { ...draft, lines: instruction };
      }
    },
  },
  {
    id: 'VET052',
    title: 'A password or a second root account is set',
    severity: 'high',
    rationale:
      'Everybody who has the image has the password, or its hash; an account with user id 0 is root by another name.',
    remediation: 'Set no passwords in images; give each account its own user id.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { step, instruction } of commandsIn(unit)) {
        const message = account(step);
        if (message !== undefined) yield { message, lines: instruction, at: step.source };
      }
    },
  },
  {
    id: 'VET053',
    title: 'Everything may be done by sudo without password',
    severity: 'medium',
    rationale: 'The user of the image is root whenever it likes, so USER protects from nothing.',
    remediation: 'Allow single commands, or leave sudo out.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { step, instruction } of commandsIn(unit)) {
        if (!/^(?:echo|printf|cat|tee|sed)$/.test(step.name)) continue;
        const text = [...step.args.map((argument) => argument.text), step.inputText?.text ?? ''].join(' ');
        if (!/NOPASSWD:\s*ALL\b/.test(text)) continue;
        yield { message: 'sudo rights for everything without password', lines: instruction, at: 'NOPASSWD' };
      }
    },
  },
];

function finalUser(unit: DockerfileUnit): FindingDraft | undefined {
  const last = unit.dockerfile.stages.at(-1);
  if (last === undefined || unit.node?.platform.os === 'windows') return undefined;
  const written = lastUser(unit, last);
  const lines = written?.lines ?? { startLine: last.startLine, endLine: last.startLine };
  // The image itself knows; the text is what is left when there is no image.
  const recorded = unit.node?.image?.execution;
  if (recorded !== undefined) {
    const user = recorded.User ?? '';
    if (!isRoot(user)) return undefined;
    return {
      message: user === '' ? 'the image sets no user, which means root' : `the image runs as ${user}`,
      lines,
    };
  }
  if (written === undefined) {
    return { message: 'no USER is set; it runs as the user of its base image, usually root', lines };
  }
  return isRoot(written.user) ? { message: `the last USER is ${written.user}`, lines } : undefined;
}

function lastUser(
  unit: DockerfileUnit,
  stage: DockerfileStage,
): { readonly user: string; readonly lines: FindingDraft['lines'] } | undefined {
  const found = stage.instructions.findLast(({ keyword }) => keyword === 'USER');
  if (found !== undefined) return { user: found.arguments.trim(), lines: found };
  // A stage only builds on earlier ones, so this ends.
  const parent = stage.base.kind === 'stage' && stage.base.stage < stage.index ? stage.base.stage : undefined;
  return parent === undefined ? undefined : lastUser(unit, unit.dockerfile.stages[parent]!);
}

function isRoot(user: string): boolean {
  return /^["']?(?:|root|0+)["']?(?::|$)/.test(user);
}

function ownRights(step: ShellStep): FindingDraft | undefined {
  const texts = step.args.map(({ text }) => text);
  if (step.name === 'setcap') {
    if (texts.includes('-r') || texts.includes('-v')) return undefined;
    const capabilities = texts.find((text) => /cap_|=|all/i.test(text)) ?? '';
    const harmless = /^"?(?:cap_net_bind_service|cap_net_raw|,)+[=+]\w+"?$/i.test(capabilities);
    return { message: `setcap gives ${capabilities}`, severity: harmless ? 'low' : undefined };
  }
  const mode = texts.findIndex((text) => text === '-m' || text === '--mode');
  if (step.name === 'install') {
    const joined = texts.find((text) => /^(?:--mode=|-m\d)/.test(text))?.replace(/^(?:--mode=|-m)/, '');
    return modeRights(joined ?? (mode < 0 ? '' : (texts[mode + 1] ?? '')));
  }
  if (step.name !== 'chmod') return undefined;
  const operand = texts.find((text) => !/^-(?:[Rvcf]+|-)/.test(text)) ?? '';
  return modeRights(operand);
}

/** What a mode means: set-user-ID is a finding, set-group-ID a small one (on directories it only sets the group). */
function modeRights(mode: string): FindingDraft | undefined {
  const octal = /^0?([0-7])[0-7]{3}$/.exec(mode);
  const bits = octal === null ? 0 : Number(octal[1]);
  const setUser = (bits & 4) !== 0 || /(?:^|,)(?:[goa]*u[ugoa]*|a|)[+=][rwxXst]*s/.test(mode);
  const setGroup = (bits & 2) !== 0 || /(?:^|,)[uoa]*g[ugoa]*[+=][rwxXst]*s/.test(mode);
  if (setUser) return { message: `mode ${mode} sets the set-user-ID bit` };
  return setGroup ? { message: `mode ${mode} sets the set-group-ID bit`, severity: 'low' } : undefined;
}

function account(step: ShellStep): string | undefined {
  const texts = step.args.map(({ text }) => text);
  const after = (...names: readonly string[]): string | undefined => {
    const joined = texts.find((text) =>
      names.some((name) => name.startsWith('--') && text.startsWith(`${name}=`)),
    );
    const at = texts.findIndex((text) => names.includes(text));
    return joined?.replace(/^[^=]*=/, '') ?? (at < 0 ? undefined : texts[at + 1]);
  };
  switch (step.name) {
    case 'chpasswd':
      return 'chpasswd sets a password';
    case 'passwd':
      if (texts.some((text) => /^-\w*d|^--delete$/.test(text)))
        return 'passwd -d removes a password, so that none is asked';
      return texts.includes('--stdin') || step.inputs.length > 0 ? 'passwd sets a password' : undefined;
    case 'useradd':
    case 'usermod':
    case 'adduser': {
      const busybox = step.name === 'adduser';
      const password = busybox ? undefined : after('-p', '--password');
      if (password !== undefined && !/^[!*]*$/.test(password)) return `${step.name} sets a password`;
      const id = after('-u', '--uid');
      return id !== undefined && /^0+$/.test(id) ? `${step.name} makes an account with user id 0` : undefined;
    }
    case 'echo':
    case 'printf':
    case 'tee':
    case 'cat': {
      const files = [...step.outputs.map(({ text }) => text), ...(step.name === 'tee' ? texts : [])];
      if (!files.some((file) => /^\/etc\/(?:passwd|shadow)-?$/.test(file))) return undefined;
      const sources = step.name === 'tee' ? upstream(step) : [step];
      const lines = sources.flatMap((source) => [
        ...source.args.map(({ text }) => text),
        source.inputText?.text ?? '',
      ]);
      const accounts = lines.flatMap((line) => line.split(/\s|\\n/)).map((line) => line.split(':', 4));
      const root = accounts.some(([name, , id]) => name !== '' && name !== 'root' && /^0+$/.test(id ?? ''));
      return root ? `an account with user id 0 is written to ${files[0]}` : undefined;
    }
    default:
      return undefined;
  }
}
