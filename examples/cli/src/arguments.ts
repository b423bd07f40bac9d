import { parseArgs } from 'node:util';
import type { ComparisonGrade, NameRule, PlanTarget } from '@imagevet/core';
import { ImagevetError, type Platform, parsePlatform, parseReference } from '@imagevet/registry';

export const COMMAND_NAMES = [
  'vet',
  'lineage',
  'dockerfile',
  'audit',
  'rebuild',
  'sign',
  'verify',
  'doctor',
  'archive',
] as const;

/** What each command can print; the first is the default. */
const FORMATS: Readonly<Record<Arguments['command'], readonly string[]>> = {
  vet: ['text', 'json', 'markdown', 'html'],
  lineage: ['text', 'json', 'mermaid', 'dot'],
  dockerfile: ['text'],
  audit: ['text', 'json', 'sarif'],
  rebuild: ['text', 'json'],
  sign: ['text'],
  verify: ['text'],
  doctor: ['text', 'json'],
  archive: ['text'],
};

/** A command line that asks for something this program does not know. */
export class UsageError extends Error {
  override readonly name: string = 'UsageError';
}

/** What a command line says. */
export interface Arguments {
  readonly command: (typeof COMMAND_NAMES)[number];
  readonly image: string;
  readonly format: string;
  readonly output?: string;
  readonly platform?: Platform;
  readonly asOf?: Date | 'build';
  /** Re-pointed registries: canonical name to URL. */
  readonly hosts: Readonly<Record<string, { readonly url: string }>>;
  readonly hub?: string;
  readonly gitHost?: string;
  readonly gitHubToken?: string;
  /** Folder for what was answered. */
  readonly cache?: string;
  /** Folder for mirrors of git servers without an API we know. */
  readonly mirrors?: string;
  readonly offline: boolean;
  readonly target?: PlanTarget;
  readonly engine?: string;
  readonly concurrency?: number;
  /** Where the engine finds public images; the first rule that takes a name. */
  readonly sourceMirrors?: readonly NameRule[];
  readonly incompleteContext?: 'allow';
  /** Grade of two builds that are held against each other. */
  readonly doubleBuild?: ComparisonGrade;
  readonly policy?: string;
  readonly trust: TrustArguments;
}

/** The notary and the keys. */
export interface TrustArguments {
  /** Absent: the server docker would ask. */
  readonly server?: string;
  readonly ca?: string;
  /** Folder with `private/`, as docker and notary keep it. */
  readonly directory?: string;
  readonly passphrase?: string;
  readonly rootKeyIds: readonly string[];
  /** What verify remembers; absent: below the home folder. */
  readonly state?: string;
  /** An archive asked instead of a server. */
  readonly archive?: string;
  readonly maxStalenessMs?: number;
}

/** What two builds may be, best first. */
const GRADES = ['identical', 'same-layers', 'same-content', 'same-packages', 'explained'] as const;

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  format: { type: 'string' },
  output: { type: 'string', short: 'o' },
  platform: { type: 'string' },
  'as-of': { type: 'string' },
  'registry-host': { type: 'string', multiple: true },
  hub: { type: 'string' },
  'git-host': { type: 'string' },
  cache: { type: 'string' },
  mirrors: { type: 'string' },
  offline: { type: 'boolean' },
  target: { type: 'string' },
  scratch: { type: 'string' },
  engine: { type: 'string' },
  concurrency: { type: 'string' },
  name: { type: 'string', multiple: true },
  'pull-from': { type: 'string', multiple: true },
  'incomplete-context': { type: 'boolean' },
  'double-build': { type: 'string' },
  policy: { type: 'string' },
  'trust-server': { type: 'string' },
  'trust-ca': { type: 'string' },
  'trust-directory': { type: 'string' },
  'root-key': { type: 'string', multiple: true },
  'max-staleness': { type: 'string' },
  'trust-state': { type: 'string' },
  'trust-archive': { type: 'string' },
} as const;

/** Reads a command line; secrets come from the environment, never from arguments. */
export function parseArguments(
  parameters: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Arguments | 'help' {
  const { values, positionals } = readOptions(parameters);
  if (values.help === true || parameters.length === 0) return 'help';
  if (positionals.length === 0) throw new UsageError('a command is missing');
  const [command = '', image, ...rest] = positionals;
  if (!isCommand(command)) throw new UsageError(`there is no command ${JSON.stringify(command)}`);
  if (image === undefined) throw new UsageError(`${command} needs an image`);
  if (rest.length > 0) throw new UsageError(`unexpected ${JSON.stringify(rest[0])}`);
  const format = values.format ?? 'text';
  if (!FORMATS[command].includes(format)) {
    throw new UsageError(
      `${command} has no format ${JSON.stringify(format)}, only ${FORMATS[command].join(', ')}`,
    );
  }
  return {
    command,
    image,
    format,
    output: values.output,
    platform: values.platform === undefined ? undefined : readPlatform(values.platform),
    asOf: parseAsOf(values['as-of']),
    hosts: parseHosts(values['registry-host'] ?? []),
    hub: readUrl('--hub', values.hub),
    gitHost: readUrl('--git-host', values['git-host']),
    gitHubToken: env.GITHUB_TOKEN,
    cache: values.cache,
    mirrors: values.mirrors,
    offline: readOffline(values),
    target: values.target === undefined ? undefined : parseTarget(values.target, values),
    engine: values.engine ?? env.DOCKER_HOST,
    concurrency: values.concurrency === undefined ? undefined : parseCount(values.concurrency),
    sourceMirrors: parseRules('--pull-from', values['pull-from']),
    incompleteContext: values['incomplete-context'] === true ? 'allow' : undefined,
    doubleBuild: parseGrade(values['double-build']),
    policy: values.policy,
    trust: parseTrust(values, env),
  };
}

/** How to call the program. */
export function usage(): string {
  return `usage: imagevet <command> <image> [options]

commands
  vet          lineage, audit, rebuild, comparison, verdict, signature
  lineage      where the image comes from, down to its base
  dockerfile   the Dockerfile the image was built from
  audit        findings in every Dockerfile of the lineage
  rebuild      rebuild the whole lineage from source into --target
  sign         sign the digest the image's registry shows for its tag
  verify       the digest a signed tag names, or why there is none
  doctor       what is wrong with docker's settings and the image's trust data, or will be; what to do
  archive      write the trust history of the image to --output, to be verified when its server is gone

options
  --format text|json|markdown|html|mermaid|dot|sarif   --output FOLDER   --platform linux/amd64
  --as-of 2018-01-04            as of that day; build: each image as of the day it was built
  --target HOST[:PORT]/PREFIX   internal registry for rebuilt images
  --scratch PREFIX              where they are pushed before they are judged; default PREFIX-scratch
  --engine URL                  Docker Engine; default DOCKER_HOST, else /var/run/docker.sock
  --concurrency N               builds at the same time; default 2
  --name FROM=TO (repeatable)   names of rebuilt images; the first that takes one decides:
                                'docker.io/library/*=registry.corp/vetted/library/*'
  --pull-from FROM=TO (repeatable)   where the engine finds public images: 'docker.io/*=mirror.corp/hub/*'
  --incomplete-context          build also what copies a submodule or a Git LFS file, without its content
  --double-build GRADE          build everything twice; both must be equal at least that well: same-content
  --policy FILE                 default: the built-in policy
  --trust-server URL   --trust-ca FILE   --trust-directory FOLDER   --root-key ID (repeatable)
                                sign and verify ask docker's server unless one is named; vet signs only if one is
  --max-staleness DAYS          verify: how long ago the server may have signed its timestamp
  --trust-state FOLDER          verify: what was verified last; default ~/.local/state/imagevet/trust
  --trust-archive FOLDER        verify: ask an archive instead of a server, as of --as-of
  --cache FOLDER                keep what is answered, and ask only what may have changed
  --mirrors FOLDER              git mirrors of repositories whose server has no API we know
  --offline                     no connection at all: --cache and --mirrors alone are read
  --registry-host [NAME=]URL (repeatable)   --hub URL   --git-host URL   other places than the public ones

environment
  GITHUB_TOKEN, IMAGEVET_PASSPHRASE (of signing keys), DOCKER_HOST, DOCKER_CONFIG, REGISTRY_AUTH_FILE,
  DOCKER_CONTENT_TRUST_SERVER

exit codes
  0 allowed or done   1 denied   2 wrong usage   3 could not be answered   130 interrupted
`;
}

function readOptions(parameters: readonly string[]) {
  try {
    return parseArgs({ args: [...parameters], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function isCommand(text: string): text is Arguments['command'] {
  return (COMMAND_NAMES as readonly string[]).includes(text);
}

function readPlatform(text: string): Platform {
  try {
    return parsePlatform(text);
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    throw new UsageError(`--platform ${JSON.stringify(text)} is not OS/ARCHITECTURE[/VARIANT]`);
  }
}

function readUrl<T extends string | undefined>(option: string, text: T): T {
  const url = text === undefined ? undefined : URL.parse(text);
  if (text === undefined || url?.protocol === 'http:' || url?.protocol === 'https:') return text;
  throw new UsageError(`${option} ${JSON.stringify(text)} is not an http or https URL`);
}

function readOffline({ offline = false, cache, mirrors }: ReturnType<typeof readOptions>['values']): boolean {
  if (offline && cache === undefined && mirrors === undefined) {
    throw new UsageError('--offline needs --cache or --mirrors: there is nothing else to read');
  }
  return offline;
}

function parseAsOf(text: string | undefined): Arguments['asOf'] {
  return text === undefined || text === 'build' ? text : parseDate(text);
}

function parseDate(text: string): Date {
  const day = /^\d{4}-\d{2}-\d{2}(?=$|T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2})$)/.exec(
    text,
  )?.[0];
  const date = new Date(day === text ? `${text}T23:59:59Z` : text);
  // The calendar is checked apart: Date takes the 31st of February for the 3rd of March.
  const exists = day !== undefined && new Date(day).toJSON()?.startsWith(day) === true;
  if (!exists || Number.isNaN(date.getTime())) {
    throw new UsageError(
      `--as-of ${JSON.stringify(text)} is not a date; write 2018-01-04 or 2018-01-04T12:00:00Z, or build`,
    );
  }
  return date;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 64) {
    throw new UsageError(`--concurrency ${JSON.stringify(text)} is not a number from 1 to 64`);
  }
  return count;
}

function parseDays(text: string): number {
  const days = Number(text);
  if (text.trim() !== '' && days > 0 && days <= 3650) return days;
  throw new UsageError(
    `--max-staleness ${JSON.stringify(text)} is not a number of days, above 0 and up to 3650`,
  );
}

/** `URL` re-points docker.io; `NAME=URL` any registry. */
function parseHosts(texts: readonly string[]): Readonly<Record<string, { readonly url: string }>> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name = 'docker.io', url = ''] = /^(?:([^=/]+)=)?(https?:\/\/.+)$/.exec(text) ?? [];
      if (url === '') throw new UsageError(`--registry-host ${JSON.stringify(text)} is not [NAME=]URL`);
      return [name, { url }];
    }),
  );
}

/** Each is `FROM=TO`. */
function parseRules(option: string, texts: readonly string[] = []): readonly NameRule[] | undefined {
  const rules = texts.map((text) => {
    const [, from, to] = /^([^=]+)=([^=]+)$/.exec(text) ?? [];
    if (from === undefined || to === undefined) {
      throw new UsageError(
        `${option} ${JSON.stringify(text)} is not FROM=TO, like docker.io/*=mirror.corp/hub/*`,
      );
    }
    return { from, to };
  });
  return rules.length === 0 ? undefined : rules;
}

function parseGrade(text: string | undefined): ComparisonGrade | undefined {
  const grade = GRADES.find((name) => name === text);
  if (text === undefined || grade !== undefined) return grade;
  throw new UsageError(`--double-build ${JSON.stringify(text)} is not one of ${GRADES.join(', ')}`);
}

function parseTarget(
  text: string,
  { scratch: scratchPrefix, name }: ReturnType<typeof readOptions>['values'],
): PlanTarget {
  const names = parseRules('--name', name);
  const slash = text.indexOf('/');
  const [registry, repositoryPrefix] = [text.slice(0, slash), text.slice(slash + 1)];
  try {
    // The grammar of references decides: a first part without dot, colon or capital is no host.
    const named = parseReference(`${text}/image`);
    if (named.registry === registry && named.repository === `${repositoryPrefix}/image`) {
      return {
        ...{ registry, repositoryPrefix },
        ...(scratchPrefix === undefined ? {} : { scratchPrefix }),
        ...(names === undefined ? {} : { names }),
      };
    }
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
  }
  throw new UsageError(
    `--target ${JSON.stringify(text)} is not HOST[:PORT]/PREFIX, like registry.corp/vetted`,
  );
}

function parseTrust(
  values: ReturnType<typeof readOptions>['values'],
  env: Readonly<Record<string, string | undefined>>,
): TrustArguments {
  const server = readUrl('--trust-server', values['trust-server']);
  const rootKeyIds = values['root-key'] ?? [];
  const wrong = rootKeyIds.find((id) => !/^[0-9a-f]{64}$/.test(id));
  if (wrong !== undefined)
    throw new UsageError(`--root-key ${JSON.stringify(wrong)} is not 64 hexadecimal digits`);
  const days = values['max-staleness'];
  return {
    server,
    ca: values['trust-ca'],
    directory: values['trust-directory'],
    passphrase: env.IMAGEVET_PASSPHRASE,
    rootKeyIds,
    state: values['trust-state'],
    archive: values['trust-archive'],
    maxStalenessMs: days === undefined ? undefined : parseDays(days) * 86_400_000,
  };
}
