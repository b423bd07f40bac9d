import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseReference, withDefaultTag } from '@imagevet/registry';
import { describe, expect, it } from 'vitest';
import { officialData } from '../provenance/__fixtures__/official-data.ts';
import { ARCHITECTURES, architectureOfNamespace } from '../provenance/official-images/architectures.ts';
import { InputResolver } from './input-resolver.ts';
import { LibraryIndex } from './library-index.ts';

/** What Docker's own build says of a source on an architecture. */
interface SourceArchitecture {
  readonly tags: readonly string[];
  /** The same in the architecture's own namespace. */
  readonly archTags: readonly string[];
  readonly froms: readonly string[];
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string };
  readonly parents: Readonly<
    Record<string, { readonly sourceId: string | null; readonly pin: string | null }>
  >;
}

if (officialData === undefined)
  process.stderr.write("SKIPPED: Docker's build sources are not on this machine\n");

// The library files of that day are not among the data. `npm run truth` compares with those; see docs/decisions/0024-catalog.md.
describe.skipIf(officialData === undefined)("Docker's own build sources of 2023-11-07", () => {
  const sources = (): readonly (readonly [architecture: string, SourceArchitecture])[] =>
    Object.values(
      JSON.parse(readFileSync(join(officialData!, 'doi-sources-2023-11-07.json'), 'utf8')) as Record<
        string,
        { readonly arches: Readonly<Record<string, SourceArchitecture>> }
      >,
    ).flatMap(({ arches }) => Object.entries(arches));

  it('give each architecture the platform we give it, and the namespace', () => {
    const seen = new Set<string>();
    for (const [architecture, { platform, archTags }] of sources()) {
      seen.add(architecture);
      expect(ARCHITECTURES.get(architecture)).toMatchObject(platform);
      for (const tag of archTags) {
        const [, namespace = ''] = parseReference(tag).repository.match(/^([^/]+)\/[^/]+$/) ?? [];
        expect([tag, architectureOfNamespace(namespace)]).toEqual([tag, architecture]);
      }
    }
    expect([...seen].sort()).toEqual([...ARCHITECTURES.keys()].filter((name) => name !== 'riscv64').sort());
  });

  it('pin the names we take for external, and no other', () => {
    const library = join(officialData!, 'library');
    const texts = readdirSync(library).map(
      (name) => [name, readFileSync(join(library, name), 'utf8')] as const,
    );
    const index = new LibraryIndex(new Map(texts));
    const resolver = new InputResolver(index, new Map());
    const kinds = { official: 0, pinned: 0 };
    for (const [architecture, { froms, parents }] of sources()) {
      for (const text of new Set(froms)) {
        const name = { kind: 'image', reference: withDefaultTag(parseReference(text)) } as const;
        const asking = { architecture, constraints: [] };
        const { input, finding } = resolver.resolve({ kind: 'base', text, line: 1, name }, asking);
        const pinned = parents[text]?.pin != null;
        kinds[pinned ? 'pinned' : 'official'] += 1;
        expect([text, input.target.kind === 'external']).toEqual([text, pinned]);
        // Tags go out of support, images hardly do.
        expect([text, finding?.code]).not.toEqual([text, 'image-missing']);
      }
    }
    expect(kinds).toEqual({ official: 490, pinned: 8 });
  });
});
