import { createHash } from 'node:crypto';
import { access, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CoreError } from '../../../errors.ts';
import { resolvePublicAddress } from '../public-address.ts';
import { GitExit, type GitOptions, runGit } from './git-command.ts';
import { lockMirror } from './mirror-lock.ts';

/** Options of `MirrorStore`. */
export interface MirrorStoreOptions extends GitOptions {
  /** Where mirrors are kept; made when missing. */
  readonly directory: string;
  /**
   * Where to fetch a repository from, or the path of a bare clone or of its `.git`, by repository URL
   * (`https://github.com/docker-library/php`). Addresses given here are trusted: any protocol, any network.
   */
  readonly remotes?: Readonly<Record<string, string>>;
  /** Hosts that may be fetched from without being in `remotes`. @defaultValue every public host, by https */
  readonly hosts?: readonly string[];
  /** Never fetches; answers from what is there. @defaultValue false */
  readonly offline?: boolean;
  /** How old a mirror may be when asked about now, in milliseconds. @defaultValue 300000 */
  readonly maxAgeMs?: number;
  /** Largest mirror, in bytes. @defaultValue 4294967296 */
  readonly maxMirrorBytes?: number;
}

/** Bare mirrors of branches and tags, by repository URL. */
export class MirrorStore {
  readonly #options: MirrorStoreOptions;
  readonly #fetches = new Map<string, Promise<void>>();

  constructor(options: MirrorStoreOptions) {
    this.#options = options;
  }

  supports(url: string): boolean {
    const { hosts, remotes = {} } = this.#options;
    return Object.hasOwn(remotes, url) || hosts === undefined || hosts.includes(new URL(url).host);
  }

  /**
   * Returns the path of a bare repository; fetched when it is not there, or older than `notBefore` asks for.
   *
   * @throws {@link CoreError} `SOURCE_UNREACHABLE`, `SOURCE_UNSUPPORTED`, `SOURCE_LIMIT_EXCEEDED`
   */
  async open(
    url: string,
    options: { readonly notBefore?: Date | 'now'; readonly signal?: AbortSignal } = {},
  ): Promise<string> {
    if (!this.supports(url)) throw new CoreError('SOURCE_UNSUPPORTED', `no mirror of ${url} is allowed`);
    const remote = this.#options.remotes?.[url];
    if (remote !== undefined && !/^[a-z][a-z0-9+]*:\/\//.test(remote)) {
      await checkClone(url, remote);
      return remote;
    }
    const directory = join(
      this.#options.directory,
      `${createHash('sha256').update(url).digest('hex').slice(0, 32)}.git`,
    );
    const fetched = await lastFetch(directory);
    if (this.#isFresh(fetched, options.notBefore)) return directory;
    if (this.#options.offline === true) {
      if (fetched !== undefined) return directory;
      throw new CoreError(
        'OFFLINE',
        `open ${url}: there is no mirror of it, and nothing is fetched offline`,
        {
          hint: 'Mirror it once online.',
          details: { repository: url },
        },
      );
    }
    const running = this.#fetches.get(directory);
    if (running !== undefined) {
      await running.catch(() => {}); // the caller that started it hears of it; this one looks again
      return this.open(url, options);
    }
    const fetching = this.#fetchAlone(url, remote, directory, options).finally(() =>
      this.#fetches.delete(directory),
    );
    this.#fetches.set(directory, fetching);
    await fetching;
    return directory;
  }

  #isFresh(fetched: number | undefined, notBefore: Date | 'now' | undefined): boolean {
    if (fetched === undefined) return false;
    if (notBefore === undefined) return true;
    const { maxAgeMs = 300_000 } = this.#options;
    return notBefore === 'now' ? Date.now() - fetched <= maxAgeMs : notBefore.getTime() < fetched;
  }

  /** One process fetches; those that waited for it look again. */
  async #fetchAlone(
    url: string,
    remote: string | undefined,
    directory: string,
    { notBefore, signal }: { readonly notBefore?: Date | 'now'; readonly signal?: AbortSignal },
  ): Promise<void> {
    await mkdir(this.#options.directory, { recursive: true });
    const before = await lastFetch(directory);
    const unlock = await lockMirror(directory, signal);
    try {
      const now = await lastFetch(directory);
      if (now !== before && this.#isFresh(now, notBefore)) return;
      await this.#fetch(url, remote, directory, signal);
    } finally {
      await unlock();
    }
  }

  async #fetch(
    url: string,
    remote: string | undefined,
    directory: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const run = (args: readonly string[], settings: Readonly<Record<string, string>> = {}) =>
      runGit({ directory, arguments: args, settings, maxBytes: 64 * 1024 * 1024, signal }, this.#options);
    const settings = remote === undefined ? await publicSettings(url) : { 'protocol.allow': 'always' };
    const from = remote ?? url;
    const watch = this.#watchSize(directory);
    try {
      await run(['init', '--quiet', '--bare']);
      const head = (await run(['ls-remote', '--symref', '--', from, 'HEAD'], settings)).toString('utf8');
      const fetching = runGit(
        {
          directory,
          arguments: [
            ...['fetch', '--quiet', '--prune', '--force', '--no-tags', '--no-recurse-submodules', '--'],
            ...[from, '+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*'],
          ],
          settings,
          maxBytes: 64 * 1024 * 1024,
          signal: signal === undefined ? watch.signal : AbortSignal.any([signal, watch.signal]),
        },
        this.#options,
      );
      await fetching;
      const branch = /^ref: (refs\/heads\/\S+)\tHEAD$/m.exec(head)?.[1];
      if (branch !== undefined) await run(['symbolic-ref', 'HEAD', branch]);
      await writeFile(join(directory, MARK), `${url}\n`);
    } catch (error) {
      if (!(error instanceof GitExit)) throw error;
      throw new CoreError('SOURCE_UNREACHABLE', `fetch ${url}: git ended with ${error.status}`, {
        cause: error,
        hint: error.message,
        details: { repository: url },
      });
    } finally {
      watch.stop();
    }
  }

  /** git has no limit of its own for what it fetches. */
  #watchSize(directory: string): { readonly signal: AbortSignal; stop(): void } {
    const { maxMirrorBytes = 4 * 1024 ** 3 } = this.#options;
    const controller = new AbortController();
    const timer = setInterval(async () => {
      const bytes = await sizeOf(join(directory, 'objects', 'pack'));
      if (bytes > maxMirrorBytes) {
        controller.abort(
          new CoreError('SOURCE_LIMIT_EXCEEDED', `fetch: the mirror exceeds ${maxMirrorBytes} bytes`),
        );
      }
    }, 200);
    return { signal: controller.signal, stop: () => clearInterval(timer) };
  }
}

/**
 * Nothing is fetched into a clone, so that one git cannot read would look like one without the commit.
 *
 * @see gitrepository-layout(5)
 */
async function checkClone(url: string, path: string): Promise<void> {
  const has = (name: string) =>
    access(join(path, name)).then(
      () => true,
      () => false,
    );
  // The directory of a linked work tree has its objects elsewhere.
  if ((await has('HEAD')) && ((await has('objects')) || (await has('commondir')))) return;
  throw new CoreError('SOURCE_UNREACHABLE', `open ${url}: there is no git repository in ${path}`, {
    hint: 'Give `remotes` the path of a bare clone, or of the .git of one with a work tree.',
    details: { repository: url },
  });
}

/** Pins the address that was checked, so that a second look-up cannot give another. */
async function publicSettings(url: string): Promise<Readonly<Record<string, string>>> {
  const { hostname, port } = new URL(url);
  const address = await resolvePublicAddress(hostname);
  return { 'http.curloptResolve': `${hostname}:${port || 443}:${address}` };
}

/** Written after a fetch that succeeded. */
const MARK = 'imagevet-fetched';

async function lastFetch(directory: string): Promise<number | undefined> {
  try {
    return (await stat(join(directory, MARK))).mtimeMs;
  } catch {
    return undefined;
  }
}

async function sizeOf(directory: string): Promise<number> {
  const names = await readdir(directory).catch(() => []);
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(directory, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
