import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { available, findProgram } from '../../../../test/services.ts';
import { HOSTILE, hostileReport } from './__fixtures__/hostile-report.ts';
import {
  allowReport,
  denyReport,
  incompleteReport,
  largeReport,
  singleReport,
} from './__fixtures__/reports.ts';
import { linkTo, markup } from './html/markup.ts';
import { fit } from './html/text-width.ts';
import { renderHtml } from './render-html.ts';
import type { VetReport } from './types.ts';
import { visible } from './visible.ts';

const reports: readonly (readonly [string, VetReport])[] = [
  ['an allowed image', allowReport()],
  ['a denied image', denyReport()],
  ['an incomplete vetting', incompleteReport()],
  ['twelve images', largeReport()],
  ['one image', singleReport()],
  ['hostile strings', hostileReport()],
];

/** A start tag as a parser sees it: our own markup has every attribute in double quotes. */
const TAG = /<(\/?)([a-z][a-z0-9-]*)((?:\s+[a-zA-Z-]+(?:="[^"<]*")?)*)\s*(\/?)>/g;
const VOID = new Set(['meta', 'br']);

interface Tag {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
}

/** Reads a document strictly: every `<` starts a tag, every tag is closed in order. */
function tagsOf(html: string): readonly Tag[] {
  const body = html.replace(/^<!doctype html>\n/, '').replace(/<style>[^<]*<\/style>/, '');
  expect(body.replace(TAG, '')).not.toMatch(/[<>]/);
  const open: string[] = [];
  const tags: Tag[] = [];
  for (const [, closing, name, attributes, selfClosing] of body.matchAll(TAG)) {
    if (closing === '/') {
      expect(open.pop()).toBe(name);
      continue;
    }
    if (selfClosing !== '/' && !VOID.has(name!)) open.push(name!);
    const pairs = Array.from(
      attributes!.matchAll(/([a-zA-Z-]+)(?:="([^"]*)")?/g),
      ([, key, value]) => [key!, value ?? ''] as const,
    );
    tags.push({ name: name!, attributes: new Map(pairs) });
  }
  expect(open).toEqual([]);
  return tags;
}

describe.each(reports)('renderHtml() of %s', (_name, report) => {
  const html = renderHtml(report);
  const tags = tagsOf(html);

  test('renderHtml() has no script, no handler and nothing to load', () => {
    const names = new Set(tags.map(({ name }) => name));
    for (const name of [
      'script',
      'img',
      'iframe',
      'link',
      'object',
      'embed',
      'base',
      'form',
      'input',
      'use',
      'image',
    ]) {
      expect(names).not.toContain(name);
    }
    for (const { attributes } of tags) {
      for (const [key, value] of attributes) {
        expect(key).not.toMatch(/^on|^style$|^src|^xlink/);
        if (key === 'href') expect(value).toMatch(/^(#[a-z0-9-]+|https:\/\/)/);
      }
    }
    expect(html).not.toMatch(/@import|url\(/);
  });

  test('renderHtml() lets in its own style and nothing else', () => {
    const policy = tags.find(({ attributes }) => attributes.get('http-equiv') === 'Content-Security-Policy');
    const style = /<style>([^<]*)<\/style>/.exec(html)![1]!;
    const hash = createHash('sha256').update(style).digest('base64');
    expect(policy?.attributes.get('content')).toBe(
      `default-src &#39;none&#39;; style-src &#39;sha256-${hash}&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;`,
    );
  });

  test('renderHtml() links only to what is there, and repeats no id', () => {
    const ids = tags.flatMap(({ attributes }) => attributes.get('id') ?? []);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { attributes } of tags) {
      const target = attributes.get('href');
      if (target?.startsWith('#')) expect(ids).toContain(target.slice(1));
      const label = attributes.get('aria-labelledby');
      if (label !== undefined) expect(ids).toContain(label);
    }
  });

  test('renderHtml() draws every image of the lineage once in each picture', () => {
    const badges = Array.from(html.matchAll(/<text class="badge"[^>]*>(\d+)<\/text>/g), ([, number]) =>
      Number(number),
    );
    const numbers = report.lineage.nodes.map((_, index) => index + 1);
    expect(badges.toSorted((a, b) => a - b)).toEqual(numbers.flatMap((number) => [number, number]));
  });

  test('renderHtml() gives the same bytes for the same report', () => {
    expect(renderHtml(structuredClone(report))).toBe(html);
  });
});

describe('renderHtml()', () => {
  test('renderHtml() shows what to run exactly when the image is allowed', () => {
    const allowed = allowReport();
    expect(renderHtml(allowed)).toContain(`<pre>${allowed.verdict.pinned}</pre>`);
    for (const report of [denyReport(), incompleteReport()]) {
      const html = renderHtml(report);
      expect(html).not.toContain('Run exactly this');
      expect(html).toContain('There is nothing to run.');
    }
  });

  test('renderHtml() names the grade of every edge in words', () => {
    const html = renderHtml(largeReport());
    for (const grade of ['proven', 'attested', 'claimed', 'contradicted', 'unknown']) {
      expect(html).toMatch(new RegExp(`<text class="label [a-z]+"[^>]*>${grade}</text>`));
    }
  });

  test('renderHtml() marks the lines of a finding in the Dockerfile', () => {
    const html = renderHtml(denyReport());
    for (const line of [8, 9, 10]) expect(html).toContain(`<li class="hit bad"><span>${line}</span>`);
    expect(html).toContain('<li class="note ">VET011 high: Download without verification</li>');
    expect(html).toContain('does not fit the image: the history copies docker-entrypoint.sh to /usr/bin');
  });

  test('renderHtml() says what was not checked, what conflicts and what waived it', () => {
    const html = renderHtml(denyReport());
    expect(html).toContain('2 things were not checked');
    expect(html).toContain('Sources disagree about its source');
    expect(html).toContain('waived by EX-2026-0142');
    expect(html).toContain('exception EX-2026-0099 does not apply: expired');
    expect(html).toContain('curl: (22) The requested URL returned error: 404');
  });

  test('renderHtml() cuts a Dockerfile nobody would read to the end, and says so', () => {
    const report = singleReport();
    const [node] = report.lineage.nodes;
    const text = `FROM scratch\n${'LABEL a=b\n'.repeat(2_499)}`;
    const nodes = [{ ...node!, dockerfile: { ...node!.dockerfile, text } }];
    const html = renderHtml({ ...report, lineage: { ...report.lineage, nodes } });
    expect(html).toContain('500 more lines are not shown');
  });

  test('renderHtml() shows findings about images the lineage does not hold', () => {
    const report = denyReport();
    const findings = [{ ...report.findings[0]!, node: 'elsewhere', lines: undefined, excerpt: undefined }];
    expect(renderHtml({ ...report, findings })).toContain('<h3>Other images</h3>');
  });

  const chromium = findProgram('chromium') ?? 'chromium';
  test.skipIf(!available('chromium'))('renderHtml() of hostile strings is inert in Chromium', () => {
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-report-'));
    try {
      const file = join(directory, 'report.html');
      writeFileSync(file, renderHtml(hostileReport()));
      const dom = execFileSync(
        chromium,
        [
          '--headless',
          '--no-sandbox',
          '--disable-gpu',
          '--disable-quic',
          '--no-first-run',
          '--disable-background-networking',
          '--disable-component-update',
          '--disable-sync',
          `--user-data-dir=${join(directory, 'profile')}`,
          '--dump-dom',
          `file://${file}`,
        ],
        {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
          maxBuffer: 64 * 1024 * 1024,
          timeout: 25_000,
        },
      );
      expect(dom).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
      expect(dom).not.toMatch(/<(script|img|iframe|textarea)\b/);
      // What the browser made of the text is what was written: as many elements, none added, none lost.
      expect(dom.match(/<[a-z]/g)!.length).toBe(renderHtml(hostileReport()).match(/<[a-z]/g)!.length);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

test('markup() escapes every value, in content and in attributes', () => {
  for (const text of HOSTILE) {
    const html = markup`<p title="${text}">${text}</p>`.toString();
    expect(html).toMatch(/^<p title="[^"<>]*">[^<>]*<\/p>$/);
  }
  expect(markup`${undefined}${0}${['a', markup`<b>${'<'}</b>`]}`.toString()).toBe('0a<b>&lt;</b>');
});

test.each([
  'javascript:alert(1)',
  'http://plain.example',
  'https://user:secret@host.example/',
  'https://',
  'https://a b',
  'https://a\u202e',
  'file:///etc/passwd',
])('linkTo() makes no link of %s', (address) => {
  expect(linkTo(address, 'text')).toBe('text');
});

test('visible() writes out what would move, reorder or hide text', () => {
  expect(visible('a\u202eb\u0000\u001b[31m\u200b\u00ad\u{e0041}\u3164\ud800')).toBe(
    'a\\u{202e}b\\u{0}\\u{1b}[31m\\u{200b}\\u{ad}\\u{e0041}\\u{3164}\ufffd',
  );
  expect(visible('two\r\nlines\tand é 漢字 😀')).toBe('two\nlines\tand é 漢字 😀');
});

test('fit() breaks names after separators and cuts what never fits', () => {
  expect(fit('registry.example/team/service', 20 * 0.62 * 10, 10, 3)).toEqual([
    'registry.example/',
    'team/service',
  ]);
  const lines = fit('x'.repeat(500), 10 * 0.62 * 10, 10, 2);
  expect(lines).toEqual(['x'.repeat(10), `${'x'.repeat(9)}…`]);
});
