import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { TrustError } from '../errors.ts';
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
  save(collection: string, state: TrustState): Promise<void>;
}

/** Keeps verified metadata in memory. */
export function createMemoryTrustState(): TrustStateStore {
  const states = new Map<string, TrustState>();
  return {
    load: async (collection) => states.get(collection),
    save: async (collection, state) => {
      states.set(collection, state);
    },
  };
}

/**
 * Keeps verified metadata in a directory: one file per collection, replaced whole, so that a crash leaves the state before
 * or after.
 */
export function createTrustState(directory: string): TrustStateStore {
  // A digest, not the name: names hold slashes and colons, and no file system limits them alike.
  const pathOf = (collection: string): string =>
    join(directory, `${createHash('sha256').update(collection).digest('hex')}.json`);
  return {
    load: async (collection) => readState(pathOf(collection), collection),
    save: async (collection, state) => {
      await writeDurably(pathOf(collection), JSON.stringify({ collection, ...state }));
    },
  };
}

async function readState(path: string, collection: string): Promise<TrustState | undefined> {
  const text = await readIfPresent(path);
  if (text === undefined) return undefined;
  // A damaged state is no absent state: starting over would accept old data again.
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
