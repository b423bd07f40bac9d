import { ImagevetError } from '@imagevet/registry';
import { CoreError } from '../errors.ts';
import type { GitPath } from '../provenance/hosts/git/git-files.ts';
import type { GitObjectsOptions } from '../provenance/hosts/git/git-objects.ts';
import { readRef } from '../provenance/hosts/git/git-refs.ts';
import { MirrorStore, type MirrorStoreOptions } from '../provenance/hosts/git/mirror-store.ts';
import type { Knowledge, KnownPath } from './catalog-cache.ts';
import { Mirror } from './mirror.ts';
import { hasLooseObject, stateOfObjects } from './mirror-state.ts';
import { type Recipe, type RecipeInput, readRecipe } from './recipe.ts';

/** A file of a commit; what a mirror cannot show is a status, not an error. */
export type FoundFile =
  | KnownPath
  | { readonly status: 'no-commit' }
  | { readonly status: 'no-object' }
  | { readonly status: 'no-mirror'; readonly message: string };

/** What a Dockerfile says on one architecture. */
export interface ReadInputs {
  readonly inputs: readonly RecipeInput[];
  readonly triggers?: Recipe['triggers'];
  readonly problem?: Recipe['problem'];
  /** True when the mirror does not have the file's content. */
  readonly missing?: boolean;
}

type ReadRecipe = Recipe & Pick<ReadInputs, 'missing'>;

/** Options of {@link SourceReader}. */
export interface SourceReaderOptions {
  readonly mirrors: MirrorStoreOptions;
  readonly known: Knowledge;
  readonly signal: AbortSignal;
  readonly onRead?: GitObjectsOptions['onRead'];
}

/** git processes kept for repositories nobody is reading just now. */
const MAX_IDLE = 4;

/** Reads Dockerfiles from mirrors: one git process per repository, a few at a time, every object once. */
export class SourceReader implements AsyncDisposable {
  readonly #options: SourceReaderOptions;
  readonly #store: MirrorStore;
  readonly #mirrors = new Map<string, Promise<Mirror>>();
  /** Those with a process, in order of last use. */
  readonly #running = new Set<Mirror>();
  readonly #refreshed = new Map<string, Promise<boolean>>();
  /** Of the mirrors whose missing commits are asked for. */
  readonly #states = new Map<string, Promise<string | undefined>>();
  readonly #commits = new Map<string, Promise<string | undefined>>();
  readonly #finding = new Map<string, Promise<FoundFile>>();
  readonly #reading = new Map<string, Promise<ReadRecipe>>();

  constructor(options: SourceReaderOptions) {
    this.#options = options;
    this.#store = new MirrorStore(options.mirrors);
  }

  /** Finds a file of a commit. Commits are looked for in this repository's mirror, whatever others hold. */
  find(repository: string, commit: string, path: string): Promise<FoundFile> {
    const key = `${repository} ${commit}:${path}`;
    const finding = this.#finding.get(key) ?? this.#find(repository, commit, path);
    this.#finding.set(key, finding);
    return finding;
  }

  /** Reads what a file found takes from other images on an architecture. */
  async inputs(repository: string, id: string, architecture: string): Promise<ReadInputs> {
    const reading = this.#reading.get(id) ?? this.#read(repository, id);
    this.#reading.set(id, reading);
    const { inputs, ...recipe } = await reading;
    return { ...recipe, inputs: inputs['*'] ?? inputs[architecture] ?? [] };
  }

  /** The commit a branch or tag names in the mirror; asked once a run. @throws CoreError */
  commitOf(repository: string, ref: string): Promise<string | undefined> {
    const { mirrors, signal } = this.#options;
    const read = async () =>
      readRef({ directory: await this.#store.open(repository, { signal }), ref, signal }, mirrors);
    const key = `${repository} ${ref}`;
    const naming = this.#commits.get(key) ?? read();
    this.#commits.set(key, naming);
    return naming;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map((mirror) => mirror.rest()));
  }

  async #find(repository: string, commit: string, path: string): Promise<FoundFile> {
    const { known, signal } = this.#options;
    const before = known.pathOf(repository, commit, path);
    if (before !== undefined) return before;
    try {
      const found = await this.#findAnew(repository, commit, path);
      if (found.status === 'no-commit' || found.status === 'no-object') return found;
      const kept = found.status === 'file' ? found : ({ status: 'no-path' } as const);
      known.setPath(repository, commit, path, kept);
      return kept;
    } catch (error) {
      signal.throwIfAborted();
      if (ImagevetError.is(error)) return { status: 'no-mirror', message: error.message };
      throw error;
    }
  }

  /** Asks the mirror; a commit it lacks is asked for again only when its objects are others than last time. */
  async #findAnew(repository: string, commit: string, path: string): Promise<GitPath> {
    const { known, signal } = this.#options;
    const mirror = await this.#mirrorOf(repository);
    const lacks = async () => {
      const state = await this.#stateOf(mirror);
      if (state === undefined || !known.isMissing(repository, state, commit)) return false;
      return !(await hasLooseObject(mirror.directory, commit));
    };
    const ask = () => this.#use(mirror, ({ files }) => files.find(commit, path, { signal }));
    const missing = { status: 'no-commit' } as const;
    let found = (await lacks()) ? missing : await ask();
    if (found.status === 'no-commit' && (await this.#refresh(repository, mirror)))
      found = (await lacks()) ? missing : await ask();
    const state = await this.#stateOf(mirror);
    if (found.status === 'no-commit' && state !== undefined) known.setMissing(repository, state, commit);
    return found;
  }

  async #read(repository: string, id: string): Promise<ReadRecipe> {
    const { known, signal } = this.#options;
    const before = known.recipeOf(id);
    if (before !== undefined) return before;
    try {
      const blob = await this.#use(await this.#mirrorOf(repository), (mirror) => mirror.read(id, { signal }));
      if (blob === undefined) return { inputs: {}, missing: true };
      const recipe = readRecipe(blob.content);
      known.setRecipe(id, recipe);
      return recipe;
    } catch (error) {
      signal.throwIfAborted();
      if (ImagevetError.is(error)) return { inputs: {}, problem: { message: error.message } };
      throw error;
    }
  }

  #mirrorOf(repository: string): Promise<Mirror> {
    const opening = this.#mirrors.get(repository) ?? this.#open(repository);
    this.#mirrors.set(repository, opening);
    return opening;
  }

  #stateOf({ directory }: Mirror): Promise<string | undefined> {
    const reading = this.#states.get(directory) ?? stateOfObjects(directory);
    this.#states.set(directory, reading);
    return reading;
  }

  async #use<T>(mirror: Mirror, work: (mirror: Mirror) => Promise<T>): Promise<T> {
    this.#running.delete(mirror);
    this.#running.add(mirror);
    mirror.users += 1;
    try {
      return await work(mirror);
    } finally {
      mirror.users -= 1;
      const idle = [...this.#running].filter(({ users }) => users === 0).slice(0, -MAX_IDLE);
      for (const one of idle) this.#running.delete(one);
      await Promise.all(idle.map((one) => one.rest()));
    }
  }

  async #open(repository: string): Promise<Mirror> {
    const { mirrors, signal, onRead } = this.#options;
    return new Mirror(await this.#store.open(repository, { signal }), { ...mirrors, onRead });
  }

  /** Brings a mirror up to date, once a run; tells whether it could. */
  #refresh(repository: string, { directory }: Mirror): Promise<boolean> {
    const { mirrors, signal } = this.#options;
    if (mirrors.offline === true) return Promise.resolve(false);
    const refresh = async () => {
      try {
        await this.#store.open(repository, { notBefore: 'now', signal });
        this.#states.delete(directory);
        return true;
      } catch (error) {
        if (error instanceof CoreError) return false;
        throw error;
      }
    };
    const running = this.#refreshed.get(repository) ?? refresh();
    this.#refreshed.set(repository, running);
    return running;
  }
}
