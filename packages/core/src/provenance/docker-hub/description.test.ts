import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findDockerfileLinks, parseDescriptionLinks } from './description.ts';

const SHA = (digit: string) => digit.repeat(40);
const GITHUB = (digit: string, path: string) => `https://github.com/acme/blog/blob/${SHA(digit)}/${path}`;
const HEADING = '# Supported tags and respective `Dockerfile` links\n\n';

describe('parseDescriptionLinks()', () => {
  it('reads the first form: a space after the bullet, the path after the tags', () => {
    const { status, links } = parseDescriptionLinks(
      `# Tags and \`Dockerfile\` links\n\n- [\`1.2\`, \`latest\` (*1.2/Dockerfile*)](${GITHUB('1', '1.2/Dockerfile')})\n\n# What?\n- [\`x\`](${GITHUB('2', 'Dockerfile')})\n`,
    );
    expect(status).toBe('listed');
    expect(links).toMatchObject([
      {
        tags: ['1.2', 'latest'],
        shared: false,
        line: 3,
        location: {
          repository: 'https://github.com/acme/blog',
          commit: SHA('1'),
          directory: '1.2',
          path: '1.2/Dockerfile',
        },
      },
    ]);
  });

  it('reads tags that are not set in code, and takes other links for prose', () => {
    const { links } = parseDescriptionLinks(
      `${HEADING}- [1.2, latest](${GITHUB('1', '1.2/Dockerfile')})\n- [documentation](https://docs.example/Dockerfiles)\n- [see the file](${GITHUB('1', 'Dockerfile')})\n`,
    );
    expect(links.map(({ tags, location }) => [tags, location?.path])).toEqual([
      [['1.2', 'latest'], '1.2/Dockerfile'],
    ]);
  });

  it("reads today's form: no path, blank lines between, the section further down", () => {
    const { links } = parseDescriptionLinks(
      `<!-- x -->\n# Quick reference\n\n-\t[\`no\`](${GITHUB('9', 'Dockerfile')})\n\n${HEADING}(See [the FAQ](https://github.com/x).)\n\n-\t[\`2\`](${GITHUB('1', 'two/Dockerfile.oracle')})\n\n-\t[\`1\`, \`1.0\`](${GITHUB('2', 'Dockerfile')})\n\n# Quick reference (cont.)\n`,
    );
    expect(links.map((link) => [link.tags, link.location?.directory, link.location?.path])).toEqual([
      [['2'], 'two', 'two/Dockerfile.oracle'],
      [['1', '1.0'], '.', 'Dockerfile'],
    ]);
  });

  it('gives a shared tag every link listed under it', () => {
    const { links } = parseDescriptionLinks(
      `${HEADING}## Simple Tags\n\n-\t[\`1-a\`](${GITHUB('1', 'a/Dockerfile')})\n-\t[\`1-b\`](${GITHUB('2', 'b/Dockerfile')})\n\n## Shared Tags\n\n-\t\`1\`, \`latest\`:\n\t-\t[\`1-a\`](${GITHUB('1', 'a/Dockerfile')})\n\n\t-\t[\`1-b\`](${GITHUB('2', 'b/Dockerfile')})\n`,
    );
    expect(links.filter((link) => link.tags.includes('latest'))).toMatchObject([
      { tags: ['1', 'latest'], shared: true, location: { path: 'a/Dockerfile' } },
      { tags: ['1', 'latest'], shared: true, location: { path: 'b/Dockerfile' } },
    ]);
    expect(links.filter((link) => link.tags.includes('1-b')).map((link) => link.shared)).toEqual([false]);
  });

  it('reads links of GitLab and cgit, links to a git tag, and items without a link', () => {
    const { links } = parseDescriptionLinks(
      `${HEADING}-\t[\`a\`](https://gitlab.example/g/p/-/blob/${SHA('1')}/Dockerfile.base)\n-\t[\`b\`](https://git.example/+oci/b/tree/oci/index.json?h=refs/tags/x&id=${SHA('2')})\n-\t[\`c\`](https://github.com/acme/blog/blob/v1.0/Dockerfile)\n-\t\`d\`, \`e\`\n`,
    );
    expect(
      links.map(({ tags, link, location }) => [tags, link?.ref, location?.commit, location?.ref]),
    ).toEqual([
      [['a'], SHA('1'), SHA('1'), undefined],
      [['b'], SHA('2'), SHA('2'), 'refs/tags/x'],
      [['c'], 'v1.0', undefined, undefined],
      [['d', 'e'], undefined, undefined, undefined],
    ]);
  });

  it('says that the list was trimmed to the length limit', () => {
    const note = '**Note:** longer than the Hub length limit of 25000, so the list has been trimmed.';
    expect(parseDescriptionLinks(`${HEADING}${note}\n\n# Quick reference\n`)).toEqual({
      status: 'trimmed',
      truncated: true,
      links: [],
    });
    expect(
      parseDescriptionLinks(`${note}\n\n${HEADING}-\t[\`1\`](${GITHUB('1', 'Dockerfile')})\n`),
    ).toMatchObject({
      status: 'listed',
      truncated: true,
    });
  });

  it('tells a section without tags from no section', () => {
    expect(parseDescriptionLinks(`${HEADING}**No supported tags**\n`).status).toBe('empty');
    expect(parseDescriptionLinks('# What is it?\n\nA thing.\n').status).toBe('absent');
  });

  it('takes hostile Markdown in linear time', () => {
    for (const piece of ['-\t[`', '`', '](', '[', '-\t[`a`](https://', ' ', '-\t`a`:\n\t-\t[', '(*', '%']) {
      const text = HEADING + piece.repeat(Math.ceil(1_000_000 / piece.length));
      expect(parseDescriptionLinks(text).truncated).toBe(false);
      expect(findDockerfileLinks(text)).toEqual([]);
    }
    expect(findDockerfileLinks('](https://github.com/a/b/blob/m/Dockerfile)'.repeat(2_000)).length).toBe(
      2_000,
    );
  });

  it('never throws', () => {
    const piece = fc.constantFrom(
      HEADING,
      '-\t',
      '\t-\t',
      '[`a`',
      '](',
      GITHUB('1', 'D'),
      ')',
      ':',
      '\n',
      '%zz',
      '`b`',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece).map((pieces) => HEADING + pieces.join('')),
        ),
        (text) => {
          for (const link of parseDescriptionLinks(text).links) expect(link.tags.length).toBeGreaterThan(0);
        },
      ),
    );
  });
});
