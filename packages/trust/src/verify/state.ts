import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TrustError } from '../errors.ts';
import { parseMetadata } from '../metadata/parse.ts';
import { readIfPresent, writeDurably } from '../storage/durable-file.ts';

/** What was verified last for a collection: it protects against older data and saves downloads. */
export interface TrustState {
  /** Text of the verified metadata files by role. */
  readonly files: Readonly<Record<string, string>>;
  /** When these files were first verified together, milliseconds since 1970. */
  readonly checkedAt: number;
}

/** Remembers verified metadata between runs. Keep it where the party you defend against cannot write. */
export interface TrustStateStore {
  load(collection: string): Promise<TrustState | undefined>;
  /**
   * Verifications overlap: a store that is shared must not let a state take the place of one of a newer root or, under the
   * same root, of a newer timestamp.
   */
  save(collection: string, state: TrustState): Promise<void>;
}

/** Keeps verified metadata in memory. What is older never takes the place of what is newer. */
export function createMemoryTrustState(): TrustStateStore {
  const states = new Map<string, TrustState>();
  return {
    load: async (collection) => states.get(collection),
    save: async (collection, state) => {
      const known = states.get(collection);
      if (known === undefined || rank(nameOf(state), nameOf(known)) >= 0) states.set(collection, state);
    },
  };
}

/**
 * Keeps verified metadata in a directory that processes may share: for each collection one file, replaced whole, so that a
 * crash leaves the state before or after. What is older never takes the place of what is newer, whoever writes last.
 *
 * @see TUF specification 5.3.8, 5.4.5, 5.5.7: what is persisted only moves forward
 */
export function createTrustState(directory: string): TrustStateStore {
  // A digest, not the name: names hold slashes and colons, and no file system limits them alike.
  const folderOf = (collection: string): string =>
    join(directory, createHash('sha256').update(collection).digest('hex'));
  return {
    load: async (collection) => {
      const folder = folderOf(collection);
      return (await loadNewest(folder, collection)) ?? loadFormer(folder, collection);
    },
    save: async (collection, state) => {
      const folder = folderOf(collection);
      const name = nameOf(state);
      await writeDurably(join(folder, name), JSON.stringify({ collection, ...state }));
      // Two writers cannot be kept from passing each other; the names tell which of their files is the newer one.
      for (const older of await namesIn(folder)) {
        if (rank(older, name) < 0) await rm(join(folder, older), { force: true });
      }
    },
  };
}

/** `<version of the root>-<version of the timestamp>.json`: a newer root may start the timestamps anew. */
const NAME = /^(\d+)-(\d+)\.json$/;

function nameOf({ files }: TrustState): string {
  const version = (role: 'root' | 'timestamp'): number =>
    Object.hasOwn(files, role) ? parseMetadata(role, Buffer.from(files[role] ?? '')).signed.version : 0;
  return `${version('root')}-${version('timestamp')}.json`;
}

function rank(left: string, right: string): number {
  const [, leftRoot = 0, leftTimestamp = 0] = NAME.exec(left) ?? [];
  const [, rightRoot = 0, rightTimestamp = 0] = NAME.exec(right) ?? [];
  return Number(leftRoot) - Number(rightRoot) || Number(leftTimestamp) - Number(rightTimestamp);
}

/** The files of a collection, the newest first. */
async function namesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names.filter((name) => NAME.test(name)).sort((left, right) => rank(right, left));
}

async function loadNewest(folder: string, collection: string): Promise<TrustState | undefined> {
  for (;;) {
    const [newest] = await namesIn(folder);
    if (newest === undefined) return undefined;
    const path = join(folder, newest);
    const text = await readIfPresent(path);
    // Gone since it was listed: somebody wrote a newer one.
    if (text !== undefined) return parseState(text, path, collection);
  }
}

// Before there were folders a state was one file. Whoever kept one has seen the collection: this is no first contact.
async function loadFormer(folder: string, collection: string): Promise<TrustState | undefined> {
  const path = `${folder}.json`;
  const text = await readIfPresent(path);
  return text === undefined ? undefined : parseState(text, path, collection);
}

// A damaged state is no absent state: starting over would accept old data again.
function parseState(text: string, path: string, collection: string): TrustState {
  try {
    const value = JSON.parse(text) as Partial<TrustState> & { collection?: unknown };
    const files = Object.entries(value.files ?? {});
    if (value.collection === collection && typeof value.checkedAt === 'number' && files.every(isTextEntry)) {
      return { files: Object.fromEntries(files), checkedAt: value.checkedAt };
    }
  } catch {
    // Told below.
  }
  throw new TrustError('MALFORMED', `read trust state of ${collection}: the file is damaged`, {
    hint: 'Delete it only if you accept that older trust data may then be accepted once.',
    details: { path },
  });
}

function isTextEntry([, text]: [string, unknown]): boolean {
  return typeof text === 'string';
}
