// S11, S12, S13, S16 and row 38: images that mean harm, read, merged and unpacked as anybody would.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveImage } from '../content/image.ts';
import { RegistryError } from '../errors.ts';
import { extractImage } from '../extract/extract-image.ts';
import { scanImage } from '../layer/scan-image.ts';
import { parseReference } from '../reference.ts';
import { RegistryClient } from '../remote/client.ts';
import { type HostileImage, listHostileImages, pushHostileImage } from './hostile-image.ts';
import { startRegistry, type TestRegistry } from './registry.ts';

let directory: string;
let registry: TestRegistry;
let client: RegistryClient;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-hostile-'));
  registry = await startRegistry();
  client = new RegistryClient({ baseDelayMs: 1 });
});
afterAll(async () => {
  await client.close();
  await registry.close();
  rmSync(directory, { recursive: true, force: true });
});

/** What comes of each: an error, or the paths it has. */
const OUTCOMES: Readonly<Record<HostileImage, string | readonly string[]>> = {
  'path-escape': 'INVALID_LAYER',
  'absolute-path': ['/etc', '/etc/cron.d', '/etc/cron.d/evil'],
  'pax-path-escape': 'INVALID_LAYER',
  'symlink-escape': ['/chain', '/chain/evil', '/out', '/out/evil'],
  'hardlink-escape': 'INVALID_LAYER',
  'whiteout-escape': 'INVALID_LAYER',
  'device-nodes': ['/disk', '/mem', '/pipe', '/whiteout'],
  'set-user-id': ['/su'],
  'name-collisions': ['/A', '/STRASSE', '/a', '/e\u0301', '/stra\u00dfe', '/\u00e9'],
  'path-twice': ['/a'],
  'names-disagree': ['/two'],
  'negative-size': 'INVALID_LAYER',
  'sparse-file': 'UNSUPPORTED',
  'extension-bomb': 'LIMIT_EXCEEDED',
  'gzip-bomb': 'LIMIT_EXCEEDED',
  'zstd-bomb': 'INVALID_LAYER',
  truncated: 'INVALID_LAYER',
  'trailing-data': ['/a'],
  'wrong-diff-id': 'DIGEST_MISMATCH',
  'foreign-layer': 'NOT_FOUND',
};

describe('row 38, S11, S12, S13, S16: an image with', () => {
  test.each(listHostileImages().map(({ name, holds }) => [holds, name] as const))(
    '%s (%s)',
    async (_holds, name) => {
      const reference = parseReference(`${registry.host}/${name}:1`);
      await pushHostileImage(client, reference, name);
      const image = await resolveImage(reference, { source: client });
      const outcome = OUTCOMES[name];
      const scanning = scanImage(image, { source: client });
      if (typeof outcome === 'string') await expect(scanning).rejects.toMatchObject({ code: outcome });
      else {
        const { filesystem } = await scanning;
        expect([...filesystem].map(({ path }) => path).slice(1)).toEqual(outcome);
      }
      const inside = join(directory, name);
      mkdirSync(inside);
      const extracting = extractImage(image, join(inside, 'target'), { source: client });
      if (typeof outcome === 'string') await expect(extracting).rejects.toBeInstanceOf(RegistryError);
      else await extracting;
      // Nothing beside the target, and nothing at all of what was refused.
      expect(readdirSync(inside)).toEqual(typeof outcome === 'string' ? [] : ['target']);
      expect(Object.keys(OUTCOMES)).toEqual(expect.arrayContaining(readdirSync(directory)));
    },
  );
});
