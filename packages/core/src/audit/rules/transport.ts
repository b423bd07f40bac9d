import { downloadOptions } from '../downloads/command.ts';
import type { AuditRule } from '../rule.ts';
import { parseOptions } from '../shell/options.ts';
import type { ShellStep } from '../shell/steps.ts';
import { commandsIn, instructionsIn } from '../unit.ts';

/** Rules about switched-off verification. */
export const transportRules: readonly AuditRule[] = [
  {
    id: 'VET020',
    title: 'TLS verification is switched off',
    severity: 'high',
    rationale: 'Without it anybody between the build and the server can answer in its name.',
    remediation: 'Install the needed CA certificates and leave verification on.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { step, instruction } of commandsIn(unit)) {
        const how = insecureTls(step);
        if (how !== undefined)
          yield { message: `${how} switches TLS verification off`, lines: instruction, at: step.source };
      }
      for (const { instruction, assignments } of instructionsIn(unit)) {
        if (instruction.keyword === 'LABEL') continue;
        for (const { name, value } of assignments) {
          if (!isInsecureVariable(name, value)) continue;
          yield { message: `${name}=${value} switches TLS verification off`, lines: instruction, at: name };
        }
      }
    },
  },
  {
    id: 'VET021',
    title: 'Package signatures are not checked',
    severity: 'high',
    rationale:
      'The signature is what ties a package to its distributor; without it the mirror and the network decide.',
    remediation: 'Install the repository key, by its fingerprint, and leave the check on.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { step, instruction } of commandsIn(unit)) {
        const how = unsignedPackages(step);
        if (how === undefined) continue;
        // What the build made itself has no signature to check.
        const local = installsFiles(step) || writesLocalRepository(step);
        const message = `${how} accepts unsigned packages${local ? ' from files' : ''}`;
        yield { message, severity: local ? 'low' : undefined, lines: instruction, at: step.source };
      }
      for (const { instruction } of instructionsIn(unit)) {
        const text = instruction.heredocs.map(({ content }) => content).join('\n');
        if (instruction.keyword === 'RUN' || !TRUSTED_SOURCE.test(text)) continue;
        yield { message: 'the repository is marked as trusted without signature', lines: instruction };
      }
    },
  },
];

const TRUSTED_SOURCE = /^[ \t]*deb(?:-src)?[ \t]+\[[^\]\n]*\btrusted=yes\b|^[ \t]*Trusted:[ \t]*yes\b/im;

function insecureTls(step: ShellStep): string | undefined {
  const assigned = step.assignments.find(({ name, value }) => isInsecureVariable(name, value.text));
  if (assigned !== undefined) return `${assigned.name}=${assigned.value.text}`;
  const options = downloadOptions(step);
  if (step.name === 'curl' && options?.has('-k', '--insecure', '--proxy-insecure', '--doh-insecure'))
    return 'curl -k';
  if (step.name === 'wget' && options?.has('--no-check-certificate')) return 'wget --no-check-certificate';
  const text = step.args.map((argument) => argument.text).join(' ');
  const has = (pattern: RegExp): boolean => pattern.test(text);
  if (step.name === 'git' && has(/http\.sslVerify[= ]+(?:"?false|0)/i)) return 'git http.sslVerify=false';
  if (/^(?:npm|yarn|pnpm)$/.test(step.name) && has(/strict-ssl[= ]+false|--no-strict-ssl/))
    return `${step.name} strict-ssl=false`;
  if (/^pip[\d.]*$/.test(step.name) && has(/(?:^| )--trusted-host\b|global\.trusted-host/))
    return 'pip --trusted-host';
  if (/^python[\d.]*$/.test(step.name) && has(/-m pip .*--trusted-host/)) return 'pip --trusted-host';
  if (/^(?:apt|apt-get)$/.test(step.name) && has(/Verify-(?:Peer|Host)=["']?(?:false|0)/i))
    return 'apt Verify-Peer=false';
  if (/^(?:yum|dnf|microdnf|tdnf)$/.test(step.name) && has(/sslverify=(?:0|false|no)/i))
    return `${step.name} sslverify=false`;
  if (/^(?:apk)$/.test(step.name) && has(/--no-check-certificate/)) return 'apk --no-check-certificate';
  if (step.name === 'gem' && has(/:ssl_verify_mode: 0/)) return 'gem ssl_verify_mode';
  if (
    step.name === 'echo' &&
    step.outputs.length > 0 &&
    has(/^[ \t]*(?:insecure|sslverify[ \t]*=[ \t]*(?:0|false)|check_certificate[ \t]*=[ \t]*off)[ \t]*$/im)
  ) {
    return 'the written configuration';
  }
  return undefined;
}

function isInsecureVariable(name: string, value: string | undefined): boolean {
  switch (name) {
    case 'GIT_SSL_NO_VERIFY':
      return value !== undefined && !/^(?:0|false|no|)$/i.test(value);
    case 'NODE_TLS_REJECT_UNAUTHORIZED':
    case 'PYTHONHTTPSVERIFY':
      return value === '0';
    case 'NPM_CONFIG_STRICT_SSL':
    case 'npm_config_strict_ssl':
    case 'YARN_STRICT_SSL':
      return value === 'false';
    case 'PIP_TRUSTED_HOST':
      return value !== undefined && value !== '';
    default:
      return false;
  }
}

function unsignedPackages(step: ShellStep): string | undefined {
  const { options, has } = parseOptions(step.args, {
    short: 'ocXpt',
    long: ['option', 'config-file', 'repository', 'root', 'setopt'],
  });
  const texts = step.args.map(({ text }) => text);
  const setting = (pattern: RegExp): boolean => texts.some((text) => pattern.test(text));
  switch (step.name) {
    case 'apt':
    case 'apt-get':
    case 'aptitude': {
      const flag = ['--allow-unauthenticated', '--force-yes', '--allow-insecure-repositories'].find((each) =>
        has(each),
      );
      if (flag !== undefined) return `${step.name} ${flag}`;
      const weak =
        /(?:AllowUnauthenticated|Allow(?:Insecure|Weak)Repositories|AllowDowngradeToInsecureRepositories)=["']?(?:true|1|yes)/i;
      return setting(weak) ? `${step.name} -o ${texts.find((text) => weak.test(text))}` : undefined;
    }
    case 'apk':
      // `apk index` only describes packages; it installs none.
      return has('--allow-untrusted') && texts.some((text) => /^(?:add|upgrade|fix|update)$/.test(text))
        ? 'apk --allow-untrusted'
        : undefined;
    case 'yum':
    case 'dnf':
    case 'microdnf':
    case 'tdnf':
      if (has('--nogpgcheck', '--no-gpgchecks')) return `${step.name} --nogpgcheck`;
      return setting(/(?:^|[.=])gpgcheck=(?:0|false|no)/i) ? `${step.name} gpgcheck=0` : undefined;
    case 'rpm':
      return has('--nosignature', '--nodigest', '--noverify')
        ? `rpm ${options.find(({ name }) => /^--no(?:sig|dig|ver)/.test(name))?.name}`
        : undefined;
    case 'zypper':
      return has('--no-gpg-checks', '--no-gpg-check') || (texts.includes('ar') && has('-G'))
        ? 'zypper --no-gpg-checks'
        : undefined;
    case 'pacman':
      return setting(/SigLevel\s*=\s*Never/i) ? 'pacman SigLevel=Never' : undefined;
    case 'echo':
    case 'printf':
    case 'cat':
    case 'tee':
      return writesUnsigned(step) ? 'the written repository' : undefined;
    case 'sed':
      return setting(/s(.)[^\n]*gpgcheck\s*=\s*1\1gpgcheck\s*=\s*0/) ? 'sed gpgcheck=0' : undefined;
    default:
      return undefined;
  }
}

function installsFiles(step: ShellStep): boolean {
  const packages = step.args.filter(({ text }) => /\.(?:apk|deb|rpm)$|[*]/.test(text));
  return packages.length > 0 && packages.every(({ text }) => /^[./$]/.test(text));
}

function writesLocalRepository(step: ShellStep): boolean {
  const sources = step.args.filter(({ text }) => TRUSTED_SOURCE.test(text));
  return sources.length > 0 && sources.every(({ text }) => /\]\s+file:/.test(text));
}

function writesUnsigned(step: ShellStep): boolean {
  const text = [...step.args.map(({ text }) => text), step.inputText?.text ?? ''].join('\n');
  return (
    TRUSTED_SOURCE.test(text) ||
    /^[ \t]*(?:repo_)?gpgcheck[ \t]*=[ \t]*(?:0|false|no)[ \t]*$/im.test(text.replaceAll('\\n', '\n'))
  );
}
