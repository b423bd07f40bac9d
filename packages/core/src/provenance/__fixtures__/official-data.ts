import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/**
 * Where real data of docker-library/official-images is, when this machine has it: `library/` of 2026-08-21, and Docker's own build
 * sources of 2023-11-07. Too large to commit, and not ours.
 */
export const officialData: string | undefined = [
  process.env.IMAGEVET_SHARED_DATA,
  '../shared/data',
  '../../shared/data',
]
  .filter((path) => path !== undefined)
  .map((path) => resolve(import.meta.dirname, '../../../../..', path, 'official-images'))
  .find((path) => existsSync(path));
