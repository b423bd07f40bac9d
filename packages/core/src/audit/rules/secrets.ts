import type { AuditRule, FindingDraft } from '../rule.ts';
import { knownTokens } from '../secret-tokens.ts';
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
          for (const match of buildArguments(command ?? '')) {
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

/** `|2 A=1 B=2 /bin/sh -c ...`: what the classic builder and BuildKit record before the command of a RUN. */
function buildArguments(command: string): Iterable<RegExpMatchArray> {
  const recorded = /^(?:RUN )?\|\d{1,3} /.exec(command)?.[0];
  if (recorded === undefined) return [];
  const end = command.search(/ \/bin\/[a-z]+ /);
  const text = command.slice(recorded.length, end < 0 ? undefined : end);
  return text.matchAll(/(?<!\S)([A-Za-z_]\w*)=(\S+)/g);
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
