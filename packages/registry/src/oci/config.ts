import { isDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { isObject, parseStrictJson } from './strict-json.ts';
import type { ImageConfig } from './types.ts';

/** Largest image config accepted, in bytes. */
export const MAX_CONFIG_BYTES: number = 8 * 1024 * 1024;
const MAX_LAYERS = 1024;
const MAX_HISTORY = 10_000;

/**
 * Parses an image config: what it must have, and the types of what it may have.
 *
 * @throws {@link RegistryError} `INVALID_CONFIG`, `LIMIT_EXCEEDED`
 * @see OCI image-spec, config.md
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  if (bytes.byteLength > MAX_CONFIG_BYTES) throw tooMuch(`${bytes.byteLength} bytes`, MAX_CONFIG_BYTES);
  const document = parseStrictJson(bytes, 'image config', 'INVALID_CONFIG');
  check(document, 'image config', {
    ...{
      architecture: required(isText),
      os: required(isText),
      created: isText,
      author: isText,
      variant: isText,
    },
    ...{ 'os.version': isText, 'os.features': isTexts, rootfs: required(isObject), config: isObject },
  });
  check(document.rootfs, 'rootfs', { diff_ids: required(isDigests) });
  const { diff_ids: diffIds } = document.rootfs as { readonly diff_ids: readonly string[] };
  if (diffIds.length > MAX_LAYERS) throw tooMuch(`${diffIds.length} layers`, MAX_LAYERS);
  readHistory(document.history);
  check(document.config ?? {}, 'config', {
    ...{ User: isText, WorkingDir: isText, StopSignal: isText, Labels: isTextMap },
    ...{ Env: isTexts, Entrypoint: isTexts, Cmd: isTexts, OnBuild: isTexts, Shell: isTexts },
    ...{ ExposedPorts: isObject, Volumes: isObject },
  });
  return document as unknown as ImageConfig;
}

/**
 * Tells whether the history explains the layers: one entry without `empty_layer` for each diffID. Squashed and
 * otherwise rewritten images often have a history that does not.
 */
export function historyExplainsLayers(config: Pick<ImageConfig, 'history' | 'rootfs'>): boolean {
  const layers = (config.history ?? []).filter((entry) => entry.empty_layer !== true).length;
  return layers === config.rootfs.diff_ids.length;
}

function readHistory(history: unknown): void {
  if (history === undefined || history === null) return;
  if (!Array.isArray(history)) throw malformed('history');
  if (history.length > MAX_HISTORY) throw tooMuch(`${history.length} history entries`, MAX_HISTORY);
  history.forEach((entry, index) => {
    check(entry, `history[${index}]`, {
      ...{ created: isText, created_by: isText, author: isText, comment: isText },
      empty_layer: (value) => typeof value === 'boolean',
    });
  });
}

type Rule = ((value: unknown) => boolean) & { readonly required?: true };

/** Checks members by rule; `null` is how Go writes what is absent. */
function check(value: unknown, where: string, rules: Readonly<Record<string, Rule>>): void {
  if (!isObject(value)) throw malformed(where);
  for (const [name, rule] of Object.entries(rules)) {
    const member = value[name];
    const absent = member === undefined || member === null;
    if (absent ? rule.required === true : !rule(member)) throw malformed(`${where}: ${name}`);
  }
}

function required(rule: (value: unknown) => boolean): Rule {
  return Object.assign((value: unknown) => rule(value), { required: true as const });
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(isText);
}

function isTextMap(value: unknown): boolean {
  return isObject(value) && Object.values(value).every(isText);
}

function isDigests(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' && isDigest(item));
}

function malformed(where: string): RegistryError {
  return new RegistryError('INVALID_CONFIG', `image config: ${where} is missing or of another type`);
}

function tooMuch(what: string, limit: number): RegistryError {
  return new RegistryError('LIMIT_EXCEEDED', `image config with ${what}, more than ${limit}`);
}
