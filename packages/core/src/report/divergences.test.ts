import { describe, expect, test } from 'vitest';
import { denyReport } from './__fixtures__/reports.ts';
import { renderHtml } from './render-html.ts';
import { renderMarkdown } from './render-markdown.ts';
import { renderText } from './render-text.ts';
import type { VetReport } from './types.ts';

const report = (value: string): VetReport => ({
  ...denyReport(),
  divergences: [
    {
      code: 'PLATFORM_SOURCE_DIFFERS',
      values: {
        'https://git.example/a#1:Dockerfile': ['linux/amd64', 'linux/386'],
        [value]: ['linux/arm64'],
      },
    },
    {
      code: 'PLATFORM_BASES_DIFFER',
      values: { 'docker.io/library/one:1': ['linux/amd64'], none: ['linux/arm64'] },
    },
  ],
});

describe('a report shows where platforms differ', () => {
  const shown = report('https://git.example/b#2:Dockerfile');

  test('as text', () => {
    expect(renderText(shown)).toContain(
      [
        '  platforms come from different sources',
        '     linux/amd64, linux/386: https://git.example/a#1:Dockerfile',
        '     linux/arm64: https://git.example/b#2:Dockerfile',
        '  platforms stand on different bases',
        '     linux/amd64: docker.io/library/one:1',
        '     linux/arm64: none',
      ].join('\n'),
    );
  });

  test.each([
    ['Markdown', renderMarkdown],
    ['HTML', renderHtml],
  ])('as %s', (_name, render) => {
    const text = render(shown);
    for (const part of [
      'come from different sources',
      'stand on different bases',
      'linux/arm64',
      'git.example/b#2',
    ])
      expect(text).toContain(part);
    expect(render(denyReport())).not.toContain('different sources');
  });
});

test('a report lets no value of a platform reach the terminal or the page as it is', () => {
  const hostile = report('\u001b[31m<script>alert(1)</script>\n# heading');
  expect(renderText(hostile)).not.toContain('\u001b');
  expect(renderText(hostile)).not.toContain('\n# heading');
  expect(renderHtml(hostile)).not.toContain('<script>');
  expect(renderMarkdown(hostile)).not.toContain('\n# heading');
});
