import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ImagevetError } from '@imagevet/registry';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { officialData } from '../__fixtures__/official-data.ts';
import { parseLibraryFile, resolveLibraryTag } from './library-file.ts';
import type { LibraryBuild } from './types.ts';

const SHA = (digit: string) => digit.repeat(40);
const HEAD = `Maintainers: A. Person <a@imagevet.example> (@a),
             B. Person (@b)
GitRepo: https://git.example/one.git
`;

function errorOf(text: string): ImagevetError {
  try {
    parseLibraryFile(text);
  } catch (error) {
    if (ImagevetError.is(error)) return error;
  }
  throw new Error('expected an imagevet error');
}

describe('parseLibraryFile()', () => {
  it('inherits from the first paragraph, and from the format', () => {
    const file = parseLibraryFile(
      `${HEAD}GitCommit: ${SHA('1')}\n\nTags: 1, latest\n\n\nTags: 2\nDirectory: ./two/\nFile: Dockerfile.x\nBuilder: buildkit\n`,
    );
    expect(file.maintainers).toEqual(['A. Person <a@imagevet.example> (@a)', 'B. Person (@b)']);
    expect(file.entries).toEqual([
      {
        line: 6,
        tags: ['1', 'latest'],
        sharedTags: [],
        constraints: [],
        builds: [
          {
            architecture: 'amd64',
            gitRepo: 'https://git.example/one.git',
            gitFetch: 'refs/heads/master',
            gitCommit: SHA('1'),
            directory: '.',
            file: 'Dockerfile',
          },
        ],
      },
      {
        line: 9,
        tags: ['2'],
        sharedTags: [],
        constraints: [],
        builds: [
          {
            architecture: 'amd64',
            gitRepo: 'https://git.example/one.git',
            gitFetch: 'refs/heads/master',
            gitCommit: SHA('1'),
            directory: 'two',
            file: 'Dockerfile.x',
            builder: 'buildkit',
          },
        ],
      },
    ]);
  });

  it('adds Constraints to the inherited ones, and replaces SharedTags and Architectures', () => {
    const { entries } = parseLibraryFile(
      `${HEAD}GitCommit: ${SHA('1')}\nConstraints: !a\nSharedTags: s\nArchitectures: s390x, amd64, amd64\n\nTags: 1\nConstraints: b\n\nTags: 2\nSharedTags: t, t\nArchitectures: i386\n`,
    );
    expect(
      entries.map(({ constraints, sharedTags, builds }) => [
        constraints,
        sharedTags,
        builds.map((b) => b.architecture),
      ]),
    ).toEqual([
      [['!a', 'b'], ['s'], ['amd64', 's390x']],
      [['!a'], ['t'], ['i386']],
    ]);
  });

  it('lets a field of an architecture win over the general one, wherever both stand', () => {
    const { entries } = parseLibraryFile(
      `${HEAD}GitCommit: ${SHA('1')}\nArchitectures: amd64, arm64v8\narm64v8-GitCommit: ${SHA('2')}\narm64v8-GitFetch: refs/heads/arm\n\nTags: 1\nGitCommit: ${SHA('3')}\narm64v8-Directory: arm\narm64v8-File:\n`,
    );
    expect(entries[0]?.builds).toMatchObject([
      { architecture: 'amd64', gitCommit: SHA('3'), gitFetch: 'refs/heads/master', directory: '.' },
      {
        architecture: 'arm64v8',
        gitCommit: SHA('2'),
        gitFetch: 'refs/heads/arm',
        directory: 'arm',
        file: 'Dockerfile',
      },
    ]);
  });

  it('takes a line of blanks for a continuation, and one that continues nothing for nothing', () => {
    const { entries } = parseLibraryFile(
      ` a stray line\n${HEAD} \t\nGitCommit: ${SHA('1')}\n\nTags: 1,\n \n 2\n .\n`,
    );
    expect(entries.map(({ tags }) => tags)).toEqual([['1', '2']]);
  });

  it('takes the last of two fields of a name', () => {
    const { entries } = parseLibraryFile(
      `${HEAD}\nTags: 1\nGitCommit: ${SHA('1')}\nGitCommit: ${SHA('2')}\n`,
    );
    expect(entries[0]?.builds[0]?.gitCommit).toBe(SHA('2'));
  });

  it('joins entries that build the same, as they are written', () => {
    const { entries } = parseLibraryFile(
      [
        `${HEAD}GitCommit: ${SHA('1')}\nSharedTags: s`,
        'Tags: 1\nDirectory: a',
        'Tags: 2\nDirectory: b',
        'Tags: 3\nDirectory: ./a/\nGitFetch: refs/heads/master\nSharedTags: t',
        // These differ in what is written, if not in what they build on amd64.
        'Tags: 4\nDirectory: a\nConstraints: x',
        'Tags: 5\nDirectory: a\ns390x-Directory: c',
        'Tags: 6\nDirectory: a\nBuilder: buildkit',
      ].join('\n\n'),
    );
    expect(entries.map(({ tags, sharedTags, line }) => [line, tags, sharedTags])).toEqual([
      [7, ['1', '3'], ['s', 't']],
      [10, ['2'], ['s']],
      [18, ['4'], ['s']],
      [22, ['5'], ['s']],
      [26, ['6'], ['s']],
    ]);
  });

  it('takes for white space what bashbrew does', () => {
    const commit = `GitCommit: ${SHA('1')}`;
    const { entries } = parseLibraryFile(
      // U+FEFF is none: that field has another name. U+0085 is one, but not around an item of a list.
      `${HEAD}${commit}\n\u0085# no comment either\n\nTags: 1\n\ufeffDirectory: a\nFile\u00a0:\u0085b\u0085\n`,
    );
    expect(entries[0]?.builds).toMatchObject([{ directory: '.', file: 'b' }]);
    expect(errorOf(`${HEAD}${commit}\n\nTags: 1, \u00a02\n`).message).toMatch(/invalid tag/);
    expect(errorOf(`${HEAD}\ufeff# no comment\n${commit}\n\nTags: 1\n`).message).toMatch(/expected/);
  });

  it('ends a folded value in a newline, as bashbrew does, so that a commit cannot be one', () => {
    const { message } = errorOf(`${HEAD}\nTags: 1\nGitCommit:\n ${SHA('1')}\n`);
    expect(message).toContain('1111\\n" for amd64');
    const { entries } = parseLibraryFile(
      `${HEAD}GitCommit: ${SHA('1')}\n\nTags: 1\nFile: x\n \nDirectory:\n a\n`,
    );
    expect(entries[0]?.builds).toMatchObject([{ file: 'x\n\n', directory: 'a\n' }]);
  });

  it('removes a dot that stands alone behind one blank, and no other', () => {
    const file = (fold: string) => `${HEAD}GitCommit: ${SHA('1')}\n\nTags: 1,\n${fold}\n 2\n`;
    expect(parseLibraryFile(file(' .')).entries[0]?.tags).toEqual(['1', '2']);
    expect(errorOf(file('  .')).message).toMatch(/invalid tag/);
  });

  it('keeps the name of the file as it is written', () => {
    const { entries } = parseLibraryFile(
      `${HEAD}GitCommit: ${SHA('1')}\n: no name\n\nTags: 1\nFile: ./a//b\n`,
    );
    expect(entries[0]?.builds[0]?.file).toBe('./a//b');
  });

  it('drops comments first, even inside a folded value', () => {
    const { entries } = parseLibraryFile(
      `# head\n${HEAD}\n# between\nTags: 1,\n  # inside\n\t2\n# after\nGitCommit: ${SHA('1')}\n`,
    );
    expect(entries[0]?.tags).toEqual(['1', '2']);
  });

  it('reads the format of one line per tag', () => {
    const file = parseLibraryFile(
      `# maintainer: A. Person <a@imagevet.example> (@a)\n\n1.0: git://git.example/one@${SHA('1')} a/b\n\nlatest: git://git.example/one@v1.0\n0.9: git://git.example/one@596e901 c\n`,
    );
    expect(file).toMatchObject({ format: 'line', maintainers: ['A. Person <a@imagevet.example> (@a)'] });
    expect(file.entries.map(({ tags, line, builds }) => ({ tags, line, ...builds[0] }))).toEqual([
      {
        tags: ['1.0'],
        line: 3,
        architecture: 'amd64',
        gitRepo: 'git://git.example/one',
        gitCommit: SHA('1'),
        directory: 'a/b',
        file: 'Dockerfile',
      },
      {
        tags: ['latest'],
        line: 5,
        architecture: 'amd64',
        gitRepo: 'git://git.example/one',
        gitFetch: 'refs/tags/v1.0',
        directory: '.',
        file: 'Dockerfile',
      },
      {
        tags: ['0.9'],
        line: 6,
        architecture: 'amd64',
        gitRepo: 'git://git.example/one',
        gitCommit: '596e901',
        directory: 'c',
        file: 'Dockerfile',
      },
    ]);
  });

  it.each([
    [
      'a maintainer without handle',
      'Maintainers: A. Person <a@imagevet.example>\n\nTags: 1\n',
      1,
      /Maintainers has/,
    ],
    [
      'a maintainer without name',
      'Maintainers: <a@imagevet.example> (@a)\n\nTags: 1\n',
      1,
      /Maintainers has/,
    ],
    ['an architecture nobody builds', `${HEAD}Architectures: vax\n\nTags: 1\n`, 1, /vax/],
    ['no Maintainers', 'GitRepo: x\n\nTags: 1\n', 1, /Maintainers/],
    ['Tags in the first paragraph', `${HEAD}Tags: 1\n`, 1, /has Tags/],
    ['an entry without Tags', `${HEAD}\nGitCommit: ${SHA('1')}\n`, 5, /no Tags/],
    ['a missing commit', `${HEAD}\nTags: 1\n`, 5, /GitCommit is missing for amd64/],
    ['a short commit', `${HEAD}\nTags: 1\nGitCommit: abc\n`, 6, /GitCommit is "abc" for amd64/],
    [
      'a ref that is an option',
      `${HEAD}\nTags: 1\nGitCommit: ${SHA('1')}\nGitFetch: --upload-pack=id\n`,
      7,
      /GitFetch/,
    ],
    ['a directory outside', `${HEAD}\nTags: 1\nGitCommit: ${SHA('1')}\nDirectory: ../x\n`, 7, /Directory/],
    ['an unknown architecture', `${HEAD}\nTags: 1\nArchitectures: vax\nGitCommit: ${SHA('1')}\n`, 5, /vax/],
    ['an unknown builder', `${HEAD}\nTags: 1\nBuilder: make\nGitCommit: ${SHA('1')}\n`, 6, /Builder/],
    ['a tag twice', `${HEAD}GitCommit: ${SHA('1')}\n\nTags: 1\n\nTags: 2, 1\n`, 8, /also in line 6/],
    [
      'a tag that is shared',
      `${HEAD}GitCommit: ${SHA('1')}\n\nTags: 1\n\nTags: 2\nSharedTags: 1\n`,
      8,
      /tag of line 6/,
    ],
    ['an invalid tag', `${HEAD}GitCommit: ${SHA('1')}\n\nTags: a b\n`, 6, /invalid tag/],
    ['an empty ref', `${HEAD}\nTags: 1\nGitCommit: ${SHA('1')}\nGitFetch:\n`, 7, /GitFetch is missing/],
    ['an empty file', `${HEAD}\nTags: 1\nGitCommit: ${SHA('1')}\nFile:\n`, 7, /File is missing/],
    ['an empty item', `${HEAD}GitCommit: ${SHA('1')}\n\nTags: 1,, 2\n`, 6, /invalid tag ""/],
    [
      'an empty list',
      `${HEAD}GitCommit: ${SHA('1')}\n\nTags: 1\nArchitectures:\n`,
      6,
      /Architectures has ""/,
    ],
    ['a line that is no field', `${HEAD}\nhello\n`, 5, /expected/],
    ['nothing', '', 1, /Maintainers/],
  ])('names the line of %s', (_, text, line, message) => {
    const error = errorOf(text);
    expect([error.code, error.details?.line]).toEqual(['INVALID_LIBRARY_FILE', line]);
    expect(error.message).toMatch(message);
  });

  it('either parses or throws its own error', () => {
    const word = fc.constantFrom(
      'Maintainers',
      'Tags',
      'GitRepo',
      'GitCommit',
      ':',
      ' ',
      '\n',
      '\n\n',
      '#',
      ',',
      '@',
      '1',
      SHA('1'),
      'x',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word).map((words) => words.join('')),
        ),
        (text) => {
          try {
            parseLibraryFile(text);
          } catch (error) {
            expect(ImagevetError.is(error) && error.code).toBe('INVALID_LIBRARY_FILE');
          }
        },
      ),
    );
  });

  it('takes a long line in linear time', () => {
    expect(errorOf(`Tags: ${'a, '.repeat(300_000)}`).code).toBe('INVALID_LIBRARY_FILE');
    expect(errorOf(' \t'.repeat(500_000).concat('x')).code).toBe('INVALID_LIBRARY_FILE');
    for (const text of [
      `A${' '.repeat(500_000)}x`,
      `A <${'a'.repeat(500_000)}`,
      'A (@'.repeat(200_000),
      `A (@${')'.repeat(500_000)}`,
    ]) {
      expect(errorOf(`Maintainers: ${text}\n\nTags: 1\n`).message).toMatch(/Maintainers has/);
    }
    const folds = ` ${'x'.repeat(8)}\n`.repeat(60_000);
    expect(errorOf(`${HEAD}\nTags: 1\n${folds}`).code).toBe('INVALID_LIBRARY_FILE');
  });
});

describe('resolveLibraryTag()', () => {
  const file = parseLibraryFile(
    `${HEAD}GitCommit: ${SHA('1')}\n\nTags: 1-a\nSharedTags: 1\nArchitectures: amd64, windows-amd64\n\nTags: 1-b\nSharedTags: 1\nArchitectures: windows-amd64\n`,
  );

  it('gives every candidate of a shared tag', () => {
    const tags = (tag: string, architecture: string) =>
      resolveLibraryTag(file, tag, architecture).map(({ entry }) => entry.tags[0]);
    expect(tags('1', 'windows-amd64')).toEqual(['1-a', '1-b']);
    expect(tags('1', 'amd64')).toEqual(['1-a']);
    expect(tags('1-b', 'amd64')).toEqual([]);
    expect(tags('2', 'amd64')).toEqual([]);
  });
});

if (officialData === undefined)
  process.stderr.write('SKIPPED: the real library files are not on this machine\n');

describe.skipIf(officialData === undefined)('every library file of 2026-08-21', () => {
  const files = () => {
    const library = join(officialData!, 'library');
    return readdirSync(library)
      .sort()
      .map((name) => ({ name, file: parseLibraryFile(readFileSync(join(library, name), 'utf8')) }));
  };

  it('parses to 2,121 entries, 9,474 tags, 7,935 builds', () => {
    const all = files().map(({ file }) => file);
    const entries = all.flatMap((file) => file.entries);
    expect(all.length).toBe(144);
    expect(entries.length).toBe(2121);
    expect(entries.flatMap((entry) => entry.tags).length).toBe(9474);
    expect(
      all.flatMap((file) => [...new Set(file.entries.flatMap((entry) => entry.sharedTags))]).length,
    ).toBe(375);
    const builds = entries.flatMap((entry) => entry.builds);
    const count = (keyOf: (build: LibraryBuild) => string) =>
      Object.fromEntries([...Map.groupBy(builds, keyOf)].map(([key, group]) => [key, group.length]));
    expect(builds.length).toBe(7935);
    expect(count(({ builder = 'default' }) => builder)).toEqual({
      ...{ default: 6625, buildkit: 1036, 'oci-import': 210, classic: 64 },
    });
    expect(count(({ architecture }) => architecture)).toEqual({
      ...{ amd64: 1986, arm64v8: 1848, ppc64le: 982, s390x: 784, arm32v7: 737, i386: 626, riscv64: 460 },
      ...{ arm32v6: 209, arm32v5: 168, 'windows-amd64': 135 },
    });
  });

  it('is what bashbrew reads, field by field', () => {
    // The digest of the same table made with package manifest of bashbrew d662ff01570964b5f648df009c9269f388285692.
    const hash = createHash('sha256');
    for (const { name, file } of files()) {
      for (const { tags, sharedTags, constraints, builds } of file.entries) {
        for (const build of builds) {
          const lists = [tags, sharedTags, constraints].map((list) => list.join(','));
          const { architecture, gitRepo, gitFetch, gitCommit, directory, builder = '' } = build;
          const row = [
            name,
            ...lists,
            architecture,
            gitRepo,
            gitFetch,
            gitCommit,
            directory,
            build.file,
            builder,
          ];
          hash.update(`${row.join('\t')}\n`);
        }
      }
    }
    expect(hash.digest('hex')).toBe('3f6e5b57dd7b43ec8a1bf00a071c0730b924b0b98c3436a592a514b00fc52d71');
  });
});
