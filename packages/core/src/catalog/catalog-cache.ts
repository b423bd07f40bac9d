import { CoreError } from '../errors.ts';
import type { Recipe } from './recipe.ts';

/** Where a path of a commit leads, which never changes. */
export type KnownPath =
  | { readonly status: 'file'; readonly id: string; readonly path: string }
  | { readonly status: 'no-path' };

/** Commits a mirror did not have when its objects were these. */
export interface MissingCommits {
  /** See {@link stateOfObjects}. */
  readonly state: string;
  readonly commits: readonly string[];
}

const VERSION = 2;

let knowledge: (cache: CatalogCache) => Knowledge;

/**
 * Keeps what {@link resolveCatalog} found out, so that the next run reads only what is new. `toJSON` gives what was used since the cache
 * was made; save it, and make the next run's cache from it. A commit found once stays found; one that was missing is missing until the
 * mirror's objects are others. Nothing in it is checked again: keep it where only you can write.
 */
export class CatalogCache {
  static {
    knowledge = (cache) => cache.#knowledge;
  }

  readonly #knowledge: Knowledge;

  /** @throws {@link CoreError} `INVALID_OPTIONS` for anything `toJSON` did not make, or made in another version */
  constructor(saved?: unknown) {
    this.#knowledge = new Knowledge(
      saved === undefined ? { paths: {}, recipes: {}, missing: {} } : readSaved(saved),
    );
  }

  toJSON(): unknown {
    return { version: VERSION, ...this.#knowledge.used() };
  }
}

/** What a cache knows. */
export function knowledgeOf(cache: CatalogCache): Knowledge {
  return knowledge(cache);
}

interface Saved {
  /** By repository, commit and path. */
  readonly paths: Readonly<Record<string, KnownPath>>;
  /** By the id of the Dockerfile's content. */
  readonly recipes: Readonly<Record<string, Recipe>>;
  /** By repository. */
  readonly missing: Readonly<Record<string, MissingCommits>>;
}

/** What resolving found out and will find again: it follows from git object ids, and from which objects a mirror has. */
export class Knowledge {
  readonly #paths: Known<KnownPath>;
  readonly #recipes: Known<Recipe>;
  /** Commits by repository and state. */
  readonly #missing: ReadonlyMap<string, ReadonlySet<string>>;
  readonly #missed = new Map<string, { readonly state: string; readonly commits: Set<string> }>();

  constructor({ paths, recipes, missing }: Saved) {
    this.#paths = new Known(paths);
    this.#recipes = new Known(recipes);
    const sets = Object.entries(missing).map(
      ([repository, { state, commits }]) => [`${repository} ${state}`, new Set(commits)] as const,
    );
    this.#missing = new Map(sets);
  }

  /** Whether a mirror whose objects have this state was found to lack the commit. */
  isMissing(repository: string, state: string, commit: string): boolean {
    return this.#missing.get(`${repository} ${state}`)?.has(commit) ?? false;
  }

  setMissing(repository: string, state: string, commit: string): void {
    const before = this.#missed.get(repository);
    const commits = before?.state === state ? before.commits : new Set<string>();
    this.#missed.set(repository, { state, commits: commits.add(commit) });
  }

  pathOf(repository: string, commit: string, path: string): KnownPath | undefined {
    return this.#paths.get(`${repository} ${commit}:${path}`);
  }

  setPath(repository: string, commit: string, path: string, known: KnownPath): void {
    this.#paths.set(`${repository} ${commit}:${path}`, known);
  }

  recipeOf(blob: string): Recipe | undefined {
    return this.#recipes.get(blob);
  }

  setRecipe(blob: string, recipe: Recipe): void {
    this.#recipes.set(blob, recipe);
  }

  used(): Saved {
    const missing = [...this.#missed].map(
      ([repository, { state, commits }]) => [repository, { state, commits: [...commits] }] as const,
    );
    return { paths: this.#paths.used(), recipes: this.#recipes.used(), missing: Object.fromEntries(missing) };
  }
}

/** Values by key, and which of them were asked for or set. */
class Known<T> {
  readonly #saved: ReadonlyMap<string, T>;
  readonly #used = new Map<string, T>();

  constructor(saved: Readonly<Record<string, T>>) {
    this.#saved = new Map(Object.entries(saved));
  }

  get(key: string): T | undefined {
    const value = this.#used.get(key) ?? this.#saved.get(key);
    if (value !== undefined) this.#used.set(key, value);
    return value;
  }

  set(key: string, value: T): void {
    this.#used.set(key, value);
  }

  used(): Record<string, T> {
    return Object.fromEntries(this.#used);
  }
}

function readSaved(saved: unknown): Saved {
  if (isObject(saved) && saved.version === VERSION) {
    const { paths, recipes, missing } = saved;
    if (isRecord(paths, isPath) && isRecord(recipes, isRecipe) && isRecord(missing, isMissing)) {
      return { paths, recipes, missing };
    }
  }
  throw new CoreError('INVALID_OPTIONS', `cache: expected what CatalogCache saved in version ${VERSION}`, {
    hint: 'Start with a new one.',
  });
}

function isPath(value: unknown): value is KnownPath {
  if (!isObject(value)) return false;
  return value.status === 'no-path' || (typeof value.id === 'string' && typeof value.path === 'string');
}

function isRecipe(value: unknown): value is Recipe {
  if (!isObject(value) || !isObject(value.inputs)) return false;
  return Object.values(value.inputs).every(
    (inputs) => Array.isArray(inputs) && inputs.every((input) => isObject(input) && isObject(input.name)),
  );
}

function isMissing(value: unknown): value is MissingCommits {
  if (!isObject(value) || typeof value.state !== 'string' || !Array.isArray(value.commits)) return false;
  return value.commits.every((commit) => typeof commit === 'string');
}

function isRecord<T>(
  value: unknown,
  is: (value: unknown) => value is T,
): value is Readonly<Record<string, T>> {
  return isObject(value) && Object.values(value).every(is);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
