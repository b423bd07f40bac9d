import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** A database the real SQLite made, as a program that was killed leaves it: a write-ahead log stays beside it. */
export function makeSqlite(run: (database: DatabaseSync) => void): { readonly bytes: Buffer; readonly log: Buffer } {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-sqlite-'));
  const path = join(directory, 'test.sqlite');
  const database = new DatabaseSync(path);
  try {
    database.exec('PRAGMA synchronous = OFF');
    run(database);
    const log = `${path}-wal`;
    return { bytes: readFileSync(path), log: existsSync(log) ? readFileSync(log) : Buffer.alloc(0) };
  } finally {
    database.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
