import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRepoInfo } from './page.ts';

const sha = (digit: string) => `sha256:${digit.repeat(64)}` as const;

/** One platform of a tag, in the form of the pages. */
const section = (name: string, platform: string, digit: string, history = '') =>
  [
    `### \`${name}\` - ${platform}`,
    `\`\`\`console\n$ docker pull ${name.split(':')[0]}@${sha(digit)}\n\`\`\``,
    `-\tDocker Version: 20.10.0\n-\tTotal Size: **1.0 MB (1000000 bytes)**  \n\t(compressed transfer size, not on-disk size)\n-\tImage ID: \`${sha('c')}\``,
    `\`\`\`dockerfile\n# Thu, 04 Jan 2018 00:00:00 GMT\n${history}\n\`\`\``,
    `-\tLayers:\n\t-\t\`${sha('e')}\`  \n\t\tLast Modified: Thu, 04 Jan 2018 00:00:00 GMT  \n\t-\t\`${sha('f')}\`  \n\t\tSize: 1.0 KB (1000 bytes)`,
  ].join('\n\n');
const page = (name: string, digit: string, ...sections: string[]) =>
  [
    `## \`${name}\``,
    `\`\`\`console\n$ docker pull ${name.split(':')[0]}@${sha(digit)}\n\`\`\``,
    '-\tManifest MIME: `application/vnd.oci.image.index.v1+json`\n-\tPlatforms: 2\n\t-\tlinux; amd64\n\t-\tunknown; unknown',
    ...sections,
  ].join('\n\n');

describe('parseRepoInfo()', () => {
  it('reads a tag with its platforms, configs and layers', () => {
    const text = page(
      'blog:4',
      '1',
      section('blog:4', 'linux; arm variant v7', '2', 'RUN make'),
      section('blog:4', 'unknown; unknown', '3'),
      section('blog:4', 'windows version 10.0.20348.1; amd64', '4'),
    );
    const read = { config: sha('c'), layers: [sha('e'), sha('f')] };
    expect(parseRepoInfo(text)).toEqual([
      {
        name: 'blog',
        tag: '4',
        digest: sha('1'),
        platforms: [
          { platform: { os: 'linux', architecture: 'arm', variant: 'v7' }, digest: sha('2'), ...read },
          { digest: sha('3'), ...read },
          {
            platform: { os: 'windows', architecture: 'amd64', 'os.version': '10.0.20348.1' },
            digest: sha('4'),
            ...read,
          },
        ],
      },
    ]);
  });

  it('reads the page of all tags', () => {
    const text = `<!-- generated -->\n\n# Tags of \`blog\`\n\n-\t[\`blog:4\`](#blog4)\n\n${page('blog:4', '1')}\n\n${page('blog:5', '2', section('blog:5', 'linux; amd64', '3'))}`;
    expect(parseRepoInfo(text).map(({ tag, digest, platforms }) => [tag, digest, platforms.length])).toEqual([
      ['4', sha('1'), 0],
      ['5', sha('2'), 1],
    ]);
  });

  it('takes nothing from the history of an image', () => {
    const history = `RUN cat <<E\n## \`blog:4\`\n### \`blog:4\` - linux; amd64\n$ docker pull blog@${sha('9')}\n-\tImage ID: \`${sha('9')}\`\n\`\`\`console`;
    const text = page('blog:4', '1', section('blog:4', 'linux; amd64', '2', history));
    expect(parseRepoInfo(text)).toMatchObject([
      { digest: sha('1'), platforms: [{ digest: sha('2'), config: sha('c') }] },
    ]);
    expect(JSON.stringify(parseRepoInfo(text))).not.toContain(sha('9'));
  });

  it('passes over a section of another tag, and a platform without a digest', () => {
    const text = page('blog:4', '1', section('other:4', 'linux; amd64', '2'), '### `blog:4` - linux; arm64');
    expect(parseRepoInfo(text)).toEqual([{ name: 'blog', tag: '4', digest: sha('1'), platforms: [] }]);
  });

  it('takes hostile text in linear time, and never throws', () => {
    for (const piece of [
      '## `a:b`\n',
      '### `a:b` - ',
      '```console\n',
      '`',
      '$ docker pull ',
      ' ',
      '-\t',
      '@sha256:',
      '\t-\t`sha256:',
    ]) {
      const text = `${page('blog:4', '1')}\n${piece.repeat(Math.ceil(1_000_000 / piece.length))}`;
      expect(parseRepoInfo(text)[0]).toMatchObject({ name: 'blog', digest: sha('1') });
    }
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom(
        ...[
          '## `a:1`',
          '### `a:1` - linux; amd64',
          '```console',
          '```dockerfile',
          '```',
          `$ docker pull a@${sha('1')}`,
        ],
        ...[`-\tImage ID: \`${sha('2')}\``, `\t-\t\`${sha('3')}\``, '### `b:1` - unknown; unknown'],
      ),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        for (const image of parseRepoInfo(lines.join('\n'))) {
          expect(image.name).not.toBe('');
          for (const { digest } of image.platforms) expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
        }
      }),
    );
  });
});
