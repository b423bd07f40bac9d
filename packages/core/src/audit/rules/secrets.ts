import type { AuditRule, FindingDraft } from '../rule.ts';
import { instructionsIn } from '../unit.ts';

/** Rules about secrets that everybody who has the image can read. */
export const secretRules: readonly AuditRule[] = [
  {
    id: 'VET040',
    title: 'Secret in the image configuration or Dockerfile',
    severity: 'high',
    rationale:
      'ENV, ARG and LABEL values and RUN commands stay readable in the image and its history for whoever pulls it.',
    remediation: 'Revoke it; use RUN --mount=type=secret in builds, and pass run-time secrets at run time.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { instruction, assignments } of instructionsIn(unit)) {
        const texts = [instruction.arguments, ...instruction.heredocs.map(({ content }) => content)];
        const tokens = texts.flatMap(knownTokens);
        for (const { value, kind } of tokens) {
          yield {
            message: `${instruction.keyword} holds ${kind}`,
            severity: 'critical',
            lines: instruction,
            at: value,
            mask: [value],
          };
        }
        if (tokens.length > 0) continue;
        for (const { name, value, variable } of assignments) {
          const draft = namedSecret(instruction.keyword, name, value, variable);
          if (draft !== undefined) yield { ...draft, lines: instruction, at: name };
        }
      }
    },
  },
  {
    id: 'VET041',
    title: 'Secret in the recorded history of an image',
    severity: 'high',
    rationale: 'Build arguments are recorded with every RUN in the image history, which a pull delivers.',
    remediation: 'Revoke it, and use RUN --mount=type=secret.',
    appliesTo: 'lineage',
    *check({ lineage }) {
      for (const { id, image } of lineage.nodes) {
        const seen = new Set<string>();
        for (const [index, { created_by: command }] of (image?.history ?? []).entries()) {
          for (const { value, kind } of knownTokens(command ?? '')) {
            if (seen.has(value)) continue;
            seen.add(value);
            yield { message: `history entry ${index + 1} holds ${kind}`, severity: 'critical', node: id };
          }
          for (const match of (command ?? '').matchAll(/(?<=^\|\d{1,3} .*)([A-Za-z_]\w*)=(\S+)/g)) {
            const draft = namedSecret('ARG', match[1]!, match[2]!, false);
            if (draft === undefined || seen.has(match[0])) continue;
            seen.add(match[0]);
            yield { message: `history entry ${index + 1} records the build argument ${match[1]}`, node: id };
          }
        }
      }
    },
  },
];

/** Tokens whose form says what they are. */
const TOKENS: readonly { readonly kind: string; readonly pattern: RegExp }[] = [
  { kind: 'an AWS access key id', pattern: /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g },
  {
    kind: 'a GitHub token',
    pattern: /\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b/g,
  },
  { kind: 'a GitLab token', pattern: /\bglpat-[A-Za-z0-9_-]{20,64}/g },
  { kind: 'an npm token', pattern: /\bnpm_[A-Za-z0-9]{36}\b/g },
  { kind: 'a PyPI token', pattern: /\bpypi-AgEI[A-Za-z0-9_-]{40,255}/g },
  { kind: 'a Slack token', pattern: /\bxox[abprs]-[A-Za-z0-9-]{20,128}/g },
  { kind: 'a Stripe key', pattern: /\b[sr]k_live_[A-Za-z0-9]{20,128}/g },
  { kind: 'a Google API key', pattern: /\bAIza[0-9A-Za-z_-]{35}\b/g },
  { kind: 'a Docker Hub token', pattern: /\bdckr_[po]at_[A-Za-z0-9_-]{20,64}/g },
  { kind: 'a private key', pattern: /-----BEGIN (?:[A-Z]{2,10} ){0,3}PRIVATE KEY-----/g },
  // A user name alone, or a variable for the password, is no secret.
  {
    kind: 'a password in a URL',
    pattern: /(?<=\b[a-z][a-z0-9+.-]{0,20}:\/\/[^\s:/@'"$]{1,64}:)[^\s:/@'"${}<>*]{3,128}(?=@[\w.-])/gi,
  },
];

function knownTokens(text: string): readonly { readonly kind: string; readonly value: string }[] {
  return TOKENS.flatMap(({ kind, pattern }) =>
    [...text.matchAll(pattern)]
      .map(([value]) => ({ kind, value }))
      .filter(({ value }) => !/EXAMPLE|x{6}|^(?:password|passwd|pass|token|secret|changeme)$/i.test(value)),
  );
}

const SECRET_NAME =
  /(?:^|_)(?:PASS|PASSWD|PASSWORD|PASSPHRASE|SECRET|SECRETS|TOKEN|APIKEY|API_KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY|AUTH_KEY|ENCRYPTION_KEY|CREDENTIALS?|PWD)(?:$|_\d+$)/i;
const NOT_SECRET_NAME = /(?:^PWD$|^OLDPWD$|PUBLIC|_FILE$|_PATH$|_URL$|ALLOW_EMPTY|RANDOM|_LENGTH$|TOKENIZ)/i;
const NOT_SECRET_VALUE = /^(?:|true|false|yes|no|on|off|none|null|0|1|\*+|<.*>|\/.*|changeme|https?:.*)$/i;

function namedSecret(
  keyword: string,
  name: string,
  value: string | undefined,
  variable: boolean,
): FindingDraft | undefined {
  const key = name.replace(/[.-]/g, '_').replace(/([a-z])([A-Z])/g, '$1_$2');
  if (!SECRET_NAME.test(key) || NOT_SECRET_NAME.test(key)) return undefined;
  if (value === undefined) {
    if (keyword !== 'ARG') return undefined;
    return { message: `the build argument ${name} is recorded in the image history`, severity: 'low' };
  }
  if (variable) {
    if (keyword === 'LABEL') return undefined;
    return { message: `${keyword} ${name} keeps the value of a variable in the image`, severity: 'medium' };
  }
  if (NOT_SECRET_VALUE.test(value)) return undefined;
  return { message: `${keyword} ${name} has a value in the Dockerfile`, mask: [value] };
}
