import type { FilesystemEntry, FilesystemView } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import { SqliteDatabase } from '../databases/sqlite.ts';
import type { Explanation, PathPair } from '../path-pair.ts';

const HISTORY = '/var/lib/dnf/history.sqlite';
const PATHS: readonly string[] = [HISTORY, `${HISTORY}-wal`, `${HISTORY}-shm`];
const MAX_BYTES = 16 * 1024 * 1024;
/** Columns that say when, and those that follow from what is installed. */
const TIMES: ReadonlySet<string> = new Set(['dt_begin', 'dt_end']);
const SUMS: ReadonlySet<string> = new Set(['rpmdb_version_begin', 'rpmdb_version_end']);
const NOTHING_MOVED = () => false;
const VERSIONS: ReadonlySet<string> = new Set(['epoch', 'version', 'release']);

/** The history of dnf of two images: what it did and when, in SQLite. */
export class DnfHistory {
  readonly #original: FilesystemView;
  readonly #rebuilt: FilesystemView;
  #read: readonly [SqliteDatabase, SqliteDatabase] | undefined;

  constructor(original: FilesystemView, rebuilt: FilesystemView) {
    this.#original = original;
    this.#rebuilt = rebuilt;
  }

  /** Paths of the history whose content is needed to explain one of them, and was not kept. */
  unreadFor(path: string): readonly FilesystemEntry[] {
    if (!PATHS.includes(path)) return [];
    const files = [this.#original, this.#rebuilt].flatMap((view) =>
      PATHS.flatMap((name) => view.get(name) ?? []),
    );
    return files.filter(
      ({ type, content, size }) => type === 'file' && content === undefined && size <= MAX_BYTES,
    );
  }

  /**
   * Explains one of its files: what it holds must be the same but for times, and for the versions of packages that moved.
   *
   * @param hasMoved - asked by `name:architecture`
   */
  explain(
    { path, original, rebuilt }: PathPair,
    hasMoved: (key: string) => boolean,
  ): Explanation | undefined {
    if (!PATHS.includes(path) || ![original, rebuilt].every(isPlain)) return undefined;
    try {
      this.#read ??= [open(this.#original), open(this.#rebuilt)];
      const [one, other] = this.#read;
      if (tell(one) === tell(other)) return { cause: 'times in the history of dnf', benign: true };
      if (tell(one, NOTHING_MOVED) === tell(other, NOTHING_MOVED)) {
        return { cause: 'checksums over what was installed, in the history of dnf', benign: false };
      }
      if (tell(one, hasMoved) !== tell(other, hasMoved)) return undefined;
      return { cause: 'history of the versions of packages that moved', benign: false };
    } catch (error) {
      if (error instanceof CoreError) return undefined;
      throw error;
    }
  }
}

function isPlain(entry: FilesystemEntry | undefined): boolean {
  return entry === undefined || (entry.type === 'file' && (entry.mode & 0o111) === 0);
}

function open(view: FilesystemView): SqliteDatabase {
  const [bytes, log] = [HISTORY, `${HISTORY}-wal`].map((path) => {
    const { content, size = 0 } = view.get(path) ?? {};
    return Buffer.from(content !== undefined && content.length === size ? content : []);
  });
  return new SqliteDatabase(bytes!, log);
}

/** Everything the tables hold but times; with `hasMoved` also without the versions of those packages. */
function tell(history: SqliteDatabase, hasMoved?: (key: string) => boolean): string {
  const tables = [...history.tables].map(([name, { sql }]) => {
    const columns = columnsOf(sql);
    const at = (column: string) => columns.indexOf(column);
    const rows = [...history.rows(name)].map(({ id, values }) => {
      const isMoved =
        name === 'rpm' && hasMoved !== undefined && hasMoved(`${values[at('name')]}:${values[at('arch')]}`);
      const told = values.map((value, index) => {
        const column = columns[index] ?? '';
        const isTime = name === 'trans' && TIMES.has(column);
        const isSum = name === 'trans' && hasMoved !== undefined && SUMS.has(column);
        if (isTime || isSum || (isMoved && VERSIONS.has(column))) return null;
        return typeof value === 'bigint' ? `${value}n` : value;
      });
      return [id, told];
    });
    return [name, sql, rows];
  });
  return JSON.stringify(tables);
}

/** Names of the columns of a table, in order, from its definition. */
function columnsOf(sql: string): readonly string[] {
  const plain = sql.replaceAll(/\/\*.*?\*\/|--[^\n]*/gs, ' ');
  const body = plain.slice(plain.indexOf('(') + 1);
  return body.split(',').map((column) => /^\s*["'`[]?(\w+)/.exec(column)?.[1] ?? '');
}
