import { type ImageReference, ImagevetError } from '@imagevet/registry';
import { architectureOfNamespace } from '../provenance/official-images/architectures.ts';
import { parseLibraryFile } from '../provenance/official-images/library-file.ts';
import type { LibraryBuild, LibraryEntry, LibraryFile } from '../provenance/official-images/types.ts';
import { matchesConstraints } from '../provenance/official-images/windows.ts';

/** A library file, or why it does not parse. */
export type ParsedLibraryFile =
  | { readonly file: LibraryFile; readonly problem?: undefined }
  | { readonly file?: undefined; readonly problem: ImagevetError };

/** Who asks for a tag. */
export interface Asking {
  readonly architecture: string;
  readonly constraints: readonly string[];
}

/** What a reference stands for in a library. */
export type LibraryAnswer =
  | {
      readonly status: 'found';
      readonly image: string;
      readonly entry: LibraryEntry;
      readonly build: LibraryBuild;
    }
  | {
      readonly status: 'ambiguous';
      readonly image: string;
      readonly candidates: readonly { readonly entry: LibraryEntry; readonly build: LibraryBuild }[];
    }
  | { readonly status: 'no-image' | 'no-tag' | 'no-architecture' | 'unreadable'; readonly image: string }
  /** Not a name of an official image. */
  | { readonly status: 'external' };

/** Every tag of every library file. */
export class LibraryIndex {
  readonly files: ReadonlyMap<string, ParsedLibraryFile>;
  readonly #tags = new Map<string, Map<string, LibraryEntry[]>>();

  constructor(texts: ReadonlyMap<string, string>) {
    this.files = new Map([...texts].map(([name, text]) => [name, parse(text)]));
    for (const [name, { file }] of this.files) {
      const tags = new Map<string, LibraryEntry[]>();
      for (const entry of file?.entries ?? []) {
        for (const tag of [...entry.tags, ...entry.sharedTags]) {
          const same = tags.get(tag);
          if (same === undefined) tags.set(tag, [entry]);
          else same.push(entry);
        }
      }
      this.#tags.set(name, tags);
    }
  }

  /**
   * Finds the build a reference stands for on an architecture. A base must be there on exactly that architecture, as Docker's own
   * build has it. Of several entries that share a tag, those fit that need the same version of Windows.
   */
  find({ registry, repository, tag = 'latest' }: ImageReference, asking: Asking): LibraryAnswer {
    const [namespace = '', image, ...more] = repository.split('/');
    const own = architectureOfNamespace(namespace);
    if (
      registry !== 'docker.io' ||
      image === undefined ||
      more.length > 0 ||
      (namespace !== 'library' && own === undefined)
    )
      return { status: 'external' };
    const parsed = this.files.get(image);
    if (parsed === undefined) return { status: 'no-image', image };
    if (parsed.file === undefined) return { status: 'unreadable', image };
    const entries = this.#tags.get(image)?.get(tag) ?? [];
    if (entries.length === 0) return { status: 'no-tag', image };
    const architecture = own ?? asking.architecture;
    const all = entries.flatMap((entry) =>
      entry.builds.filter((build) => build.architecture === architecture).map((build) => ({ entry, build })),
    );
    const fitting = all.filter(({ entry }) => matchesConstraints(entry.constraints, asking.constraints));
    const [first, ...others] = fitting.length > 0 ? fitting : all;
    if (first === undefined) return { status: 'no-architecture', image };
    if (others.length === 0) return { status: 'found', image, ...first };
    return { status: 'ambiguous', image, candidates: [first, ...others] };
  }
}

function parse(text: string): ParsedLibraryFile {
  try {
    return { file: parseLibraryFile(text) };
  } catch (error) {
    if (ImagevetError.is(error)) return { problem: error };
    throw error;
  }
}
