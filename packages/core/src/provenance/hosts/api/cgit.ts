import { CoreError } from '../../../errors.ts';
import type { SourceHost } from '../../../lineage/types.ts';
import { encodePath } from '../input.ts';
import { HostApi, type HostQuestion } from './api.ts';
import { apiHost } from './api-host.ts';
import { type ApiHostOptions, type HostDialect, webOf } from './dialect.ts';

/** Options of {@link cgitHost}. */
export interface CgitHostOptions extends Omit<ApiHostOptions, 'maxTreeBytes' | 'maxEntries'> {
  /** Where repositories are named; any cgit. @defaultValue `https://git.launchpad.net` */
  readonly webUrl?: string;
  /** Where files are read. @defaultValue `webUrl` */
  readonly rawUrl?: string;
}

/**
 * Creates the host for single files of repositories that cgit shows, such as Launchpad's. cgit has pages for people and no
 * API: it tells neither directories nor histories, but when a commit was made, and reachability is `unchecked`. A git mirror does all of it.
 *
 * @see https://git.zx2c4.com/cgit/
 */
export function cgitHost(options: CgitHostOptions = {}): SourceHost {
  const host = apiHost(cgitDialect(options), options);
  // Without `refOf`, so that nobody takes it for something that was asked and failed.
  return {
    supports: (repository) => host.supports(repository),
    readFile: (...question) => host.readFile(...question),
    readDirectory: (...question) => host.readDirectory(...question),
    commitOf: (...question) => host.commitOf(...question),
    reachability: (...question) => host.reachability(...question),
    committedAt: async (...question) => host.committedAt?.(...question),
  };
}

function cgitDialect(options: CgitHostOptions): HostDialect {
  const web = webOf(options);
  const site = (options.webUrl ?? 'https://git.launchpad.net').replace(/\/+$/, '');
  const raw = new HostApi(options.rawUrl ?? site, {}, web);
  const plain = (name: string, commit: string, path: string) =>
    `/${name}/plain/${encodePath(path)}?id=${commit}`;
  const has = async (path: string, question: HostQuestion) =>
    (await raw.read(path, { ...question, maxBytes: MAX_PAGE })) !== undefined;
  return {
    web,
    site,
    isName: (name) =>
      /^[~+\w][~+\w./-]*$/.test(name) && !name.split('/').some((step) => RESERVED.includes(step)),
    fileUrl: (name, commit, path) => raw.url(plain(name, commit, path)),
    async readFile(name, commit, path, question) {
      const file = await raw.read(plain(name, commit, path), question);
      // A directory is answered as a page that lists it.
      const page = `<html><head><title>/${path}/`;
      return file?.body.subarray(0, page.length).toString('utf8') === page ? undefined : file?.body;
    },
    hasRepository: (name, question) => has(`/${name}/`, question),
    hasCommit: (name, commit, question) => has(`/${name}/plain/?id=${commit}`, question),
    listFiles: async (_name, _commit, _directory, question) => untold(question),
    openArchive: async (_name, _commit, _directory, _files, question) => untold(question),
    commitOf: async (_name, _path, _asOf, question) => untold(question),
    reachability: async () => 'unchecked',
    refOf: async (_name, _ref, question) => untold(question),
    treeOf: async () => undefined,
    async committedAt(name, commit, question) {
      const page = await raw.read(`/${name}/commit/?id=${commit}`, { ...question, maxBytes: MAX_PAGE });
      return page === undefined ? undefined : committerDate(page.body.toString('utf8'));
    },
    identityOf: async () => undefined,
  };
}

/** The page of a commit has one row of its committer, before any text of others: name, then the time as git writes ISO 8601. */
function committerDate(page: string): string | undefined {
  const start = page.indexOf('<tr><th>committer</th>');
  const row = start < 0 ? '' : page.slice(start, start + MAX_ROW);
  const end = row.indexOf('</tr>');
  const [, day, time, zone] = DATE.exec(row.slice(0, Math.max(end, 0))) ?? [];
  return day === undefined ? undefined : `${day}T${time}${zone}`;
}

/** Ends a row; whatever stands in a name is escaped. */
const DATE = />(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2}) ([+-]\d{4})<\/td>$/;
const MAX_ROW = 8192;

const RESERVED = ['plain', 'tree', '.', '..', ''];

const MAX_PAGE = 4 * 1024 * 1024;

function untold({ operation }: HostQuestion): never {
  throw new CoreError('SOURCE_UNSUPPORTED', `${operation}: cgit does not tell`, {
    hint: 'Read this repository from a git mirror.',
  });
}
