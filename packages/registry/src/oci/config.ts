import { isDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { isObject, parseStrictJson } from './strict-json.ts';
import type { HistoryEntry, ImageConfig } from './types.ts';

/** Largest image config accepted, in bytes. */
export const MAX_CONFIG_BYTES: number = 8 * 1024 * 1024;

/**
 * Parses an image config.
 *
 * @throws {@link RegistryError} `INVALID_CONFIG`
 * @see OCI image-spec, config.md
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const document = parseStrictJson(bytes, 'image config', 'INVALID_CONFIG');
  for (const name of ['architecture', 'os'] as const) {
    if (typeof document[name] !== 'string') throw malformed(name, 'must be a string');
  }
  const { rootfs, history, config } = document;
  if (!isObject(rootfs) || !Array.isArray(rootfs.diff_ids))
    throw malformed('rootfs.diff_ids', 'must be an array');
  for (const diffId of rootfs.diff_ids) {
    if (typeof diffId !== 'string' || !isDigest(diffId))
      throw malformed('rootfs.diff_ids', 'must be digests');
  }
  if (history !== undefined && history !== null && !isHistory(history))
    throw malformed('history', 'must be entries');
  if (config !== undefined && config !== null && !isObject(config))
    throw malformed('config', 'must be an object');
  return document as unknown as ImageConfig;
}

/**
 * Tells whether the history explains the layers: one entry without `empty_layer` for each diffID. Squashed and
 * otherwise rewritten images often have a history that does not.
 */
export function historyExplainsLayers(config: ImageConfig): boolean {
  const layers = (config.history ?? []).filter((entry) => entry.empty_layer !== true).length;
  return layers === config.rootfs.diff_ids.length;
}

function isHistory(value: unknown): value is readonly HistoryEntry[] {
  return Array.isArray(value) && value.every(isObject);
}

function malformed(where: string, rule: string): RegistryError {
  return new RegistryError('INVALID_CONFIG', `image config: ${where} ${rule}`);
}
