import { CoreError } from '../errors.ts';
import type { Recipe } from './recipe.ts';

/** Where a path of a commit leads, which never changes. */
export type KnownPath =
  | { readonly status: 'file'; readonly id: string; readonly path: string }
  | { readonly status: 'no-path' };

const VERSION = 1;

let knowledge: (cache: CatalogCache) => Knowledge;

/**
 * Keeps what {@link resolveCatalog} found out, so that the next run reads only what is new. `toJSON` gives what was used since the cache
 * was made; save it, and make the next run's cache from it. A commit found once stays found. Nothing in it is checked again: keep it
 * where only you can write.
 */
export class CatalogCache {
  static {
    knowledge = (cache) => cache.#knowledge;
  }

  readonly #knowledge: Knowledge;

  /** @throws {@link CoreError} `INVALID_OPTIONS` for anything `toJSON` did not make, or made in another version */
  constructor(saved?: unknown) {
    this.#knowledge = new Knowledge(saved === undefined ? { paths: {}, recipes: {} } : readSaved(saved));
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
}

/** What resolving found out and will find again: all of it follows from git object ids. */
export class Knowledge {
  readonly #paths: Known<KnownPath>;
  readonly #recipes: Known<Recipe>;

  constructor({ paths, recipes }: Saved) {
    this.#paths = new Known(paths);
    this.#recipes = new Known(recipes);
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
    return { paths: this.#paths.used(), recipes: this.#recipes.used() };
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
  if (isObject(saved) && saved.version === VERSION && isObject(saved.paths) && isObject(saved.recipes)) {
    const { paths, recipes } = saved;
    if (Object.values(paths).every(isPath) && Object.values(recipes).every(isRecipe)) {
      return { paths: paths as Saved['paths'], recipes: recipes as Saved['recipes'] };
    }
  }
  throw new CoreError('INVALID_OPTIONS', `cache: expected what CatalogCache saved in version ${VERSION}`, {
    hint: 'Start with a new one.',
  });
}

function isPath(value: unknown): boolean {
  if (!isObject(value)) return false;
  return value.status === 'no-path' || (typeof value.id === 'string' && typeof value.path === 'string');
}

function isRecipe(value: unknown): boolean {
  if (!isObject(value) || !isObject(value.inputs)) return false;
  return Object.values(value.inputs).every(
    (inputs) => Array.isArray(inputs) && inputs.every((input) => isObject(input) && isObject(input.name)),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
