import { type Digest, formatReference, type ImageReference } from '@imagevet/registry';
import type { LibraryBuild, LibraryEntry } from '../provenance/official-images/types.ts';
import { buildId } from './build-id.ts';
import type { Asking, LibraryIndex } from './library-index.ts';
import type { RecipeInput } from './recipe.ts';
import type { CatalogFinding, CatalogInput, CatalogTarget } from './types.ts';

/** An input, and what keeps it from being known. */
export interface ResolvedInput {
  readonly input: CatalogInput;
  readonly finding?: CatalogFinding;
  /** What it is, when that is a build of the library. */
  readonly found?: { readonly entry: LibraryEntry; readonly build: LibraryBuild };
}

/** Looks names of Dockerfiles up in a library. */
export class InputResolver {
  readonly #index: LibraryIndex;
  readonly #pins: ReadonlyMap<string, Digest>;

  constructor(index: LibraryIndex, pins: ReadonlyMap<string, Digest>) {
    this.#index = index;
    this.#pins = pins;
  }

  resolve(recipe: RecipeInput, asking: Asking): ResolvedInput {
    const { kind, text, line, name } = recipe;
    const done = (target: CatalogTarget): ResolvedInput => ({ input: { kind, text, line, target } });
    const unknown = (
      code: CatalogFinding['code'],
      message: string,
      candidates?: readonly string[],
    ): ResolvedInput => ({
      input: { kind, text, line, target: { kind: 'unresolved', ...(candidates && { candidates }) } },
      finding: { code, message, line },
    });
    if (name.kind === 'scratch') return done({ kind: 'root', root: 'scratch' });
    if (name.kind === 'unresolved') return unknown('name-unresolved', `${text}: ${name.reason}`);
    const { reference } = name;
    if (reference.digest !== undefined || kind === 'frontend') return done(this.#external(reference));
    const architecture = recipe.architecture ?? asking.architecture;
    const answer = this.#index.find(reference, { ...asking, architecture });
    switch (answer.status) {
      case 'external':
        return done(this.#external(reference));
      case 'found':
        return {
          ...done({ kind: 'build', id: buildId(answer.image, answer.entry, answer.build) }),
          found: answer,
        };
      case 'no-image':
        return unknown('image-missing', `${text}: there is no official image ${answer.image}`);
      case 'no-tag':
        return unknown('tag-missing', `${text}: ${answer.image} has no tag ${reference.tag}`);
      case 'no-architecture':
        return unknown('architecture-missing', `${text}: the tag is not built for ${architecture}`);
      case 'unreadable':
        return unknown('library-invalid', `${text}: the library file of ${answer.image} does not parse`);
      case 'ambiguous': {
        const ids = answer.candidates.map(({ entry, build }) => buildId(answer.image, entry, build));
        return unknown(
          'tag-ambiguous',
          `${text}: ${ids.length} entries share the tag on ${architecture}`,
          ids,
        );
      }
    }
  }

  #external(reference: ImageReference): CatalogTarget {
    const canonical = formatReference(reference);
    const digest = reference.digest ?? this.#pins.get(canonical);
    return { kind: 'external', reference: canonical, ...(digest === undefined ? {} : { digest }) };
  }
}
