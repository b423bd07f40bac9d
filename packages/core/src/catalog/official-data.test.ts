import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseReference, withDefaultTag } from '@imagevet/registry';
import { describe, expect, it } from 'vitest';
import { officialData } from '../provenance/__fixtures__/official-data.ts';
import { ARCHITECTURES } from '../provenance/official-images/architectures.ts';
import { InputResolver } from './input-resolver.ts';
import { LibraryIndex } from './library-index.ts';

/** A source of Docker's own build, with what each architecture's Dockerfile names and what Docker resolved that to. */
interface Source {
  readonly sourceId: string;
  readonly entry: Readonly<
    Record<'GitRepo' | 'GitFetch' | 'GitCommit' | 'Directory' | 'File' | 'Builder', string>
  >;
  readonly arches: Readonly<Record<string, SourceArchitecture>>;
}

interface SourceArchitecture {
  readonly tags: readonly string[];
  readonly froms: readonly string[];
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string };
  readonly parents: Readonly<
    Record<string, { readonly sourceId: string | null; readonly pin: string | null }>
  >;
}

if (officialData === undefined)
  process.stderr.write("SKIPPED: Docker's build sources are not on this machine\n");

describe.skipIf(officialData === undefined)("Docker's own build sources of 2023-11-07", () => {
  const sources = (): readonly Source[] =>
    Object.values(JSON.parse(readFileSync(join(officialData!, 'doi-sources-2023-11-07.json'), 'utf8')));

  /** Library files that say what the sources say: what several sources share on one architecture is a shared tag. */
  function libraryOf(all: readonly Source[]): Map<string, string> {
    const texts = new Map<string, string>();
    const owners = new Map<string, number>();
    const tagsOf = ({ arches }: Source) => new Set(Object.values(arches).flatMap(({ tags }) => tags));
    for (const source of all) for (const tag of tagsOf(source)) owners.set(tag, (owners.get(tag) ?? 0) + 1);
    for (const source of all) {
      const [name = ''] = Object.values(source.arches)[0]!.tags[0]!.split(':');
      const tags = [...tagsOf(source)];
      const list = (shared: boolean) =>
        tags.flatMap((tag) => ((owners.get(tag) ?? 0) > 1 === shared ? [tag.split(':')[1]!] : [])).join(', ');
      const fields = Object.entries(source.entry).filter(
        ([field, value]) => field !== 'SOURCE_DATE_EPOCH' && value !== '',
      );
      const sharedTags = list(true);
      const paragraph = [
        `Tags: ${list(false)}`,
        ...(sharedTags === '' ? [] : [`SharedTags: ${sharedTags}`]),
        `Architectures: ${Object.keys(source.arches).join(', ')}`,
        ...fields.map(([field, value]) => `${field}: ${value}`),
      ];
      const head = texts.get(name) ?? 'Maintainers: A. Person (@a)\n';
      texts.set(name, `${head}\n${paragraph.join('\n')}\n`);
    }
    return texts;
  }

  it('names every base as Docker did, on every architecture', () => {
    const all = sources();
    const index = new LibraryIndex(libraryOf(all));
    const resolver = new InputResolver(index, new Map());
    /** Sources by the id of the build the library gives them. */
    const known = new Map<string, string>();
    const ask = (text: string, architecture: string) => {
      const name = { kind: 'image', reference: withDefaultTag(parseReference(text)) } as const;
      const input = { kind: 'base', text, line: 1, name } as const;
      return resolver.resolve(input, { architecture, constraints: [] });
    };
    for (const { sourceId, arches } of all) {
      for (const [architecture, { tags }] of Object.entries(arches)) {
        for (const tag of tags) {
          const { target } = ask(tag, architecture).input;
          if (target.kind === 'build') known.set(target.id, sourceId);
          else expect([tag, target.kind]).toEqual([tag, 'unresolved']);
        }
      }
    }
    const counts = { found: 0, pinned: 0, elsewhere: 0, scratch: 0 };
    for (const { arches } of all) {
      for (const [architecture, { froms, parents }] of Object.entries(arches)) {
        for (const from of new Set(froms)) {
          if (from === 'scratch') {
            counts.scratch += 1;
            continue;
          }
          const { input, finding } = ask(from, architecture);
          const parent = parents[from];
          if (parent?.sourceId != null) {
            counts.found += 1;
            expect([from, input.target.kind === 'build' && known.get(input.target.id)]).toEqual([
              from,
              parent.sourceId,
            ]);
          } else if (parent?.pin != null) {
            counts.pinned += 1;
            expect(input.target.kind).toBe('external');
          } else {
            // Docker's build of that day had ten images only: the rest of the bases were pulled.
            counts.elsewhere += 1;
            expect([from, finding?.code]).toEqual([from, 'image-missing']);
          }
        }
      }
    }
    expect(counts).toEqual({ found: 70, pinned: 8, elsewhere: 420, scratch: 0 });
  });

  it('has the sources and the platforms of every tag', () => {
    const all = sources();
    const index = new LibraryIndex(libraryOf(all));
    const pairs = new Map<string, string[]>();
    const sourceOf = (fields: readonly string[]) => fields.join(' ');
    for (const { entry, arches } of all) {
      for (const [architecture, { tags, platform }] of Object.entries(arches)) {
        expect(ARCHITECTURES.get(architecture)).toMatchObject(platform);
        for (const tag of tags) {
          const { GitRepo, GitFetch, GitCommit, Directory, File } = entry;
          const source = sourceOf([GitRepo, GitFetch, GitCommit, Directory, File]);
          const key = `${tag} ${architecture}`;
          pairs.set(key, [...(pairs.get(key) ?? []), source]);
        }
      }
    }
    expect(pairs.size).toBe(1921);
    for (const [key, expected] of pairs) {
      const [tag = '', architecture = ''] = key.split(' ');
      const answer = index.find(parseReference(tag), { architecture, constraints: [] });
      const found =
        answer.status === 'found' ? [answer] : answer.status === 'ambiguous' ? answer.candidates : [];
      const builds = found.map(({ build: { gitRepo, gitFetch = '', gitCommit = '', directory, file } }) =>
        sourceOf([gitRepo, gitFetch, gitCommit, directory, file]),
      );
      expect([key, builds.sort()]).toEqual([key, expected.sort()]);
    }
  });
});
