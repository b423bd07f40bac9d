import fc from 'fast-check';
import { micromark } from 'micromark';
import { gfm, gfmHtml } from 'micromark-extension-gfm';
import { describe, expect, test } from 'vitest';
import { defaultPolicy } from '../policy/default-policy.ts';
import { evaluate } from '../policy/evaluate.ts';
import { HOSTILE, hostileReport } from './__fixtures__/hostile-report.ts';
import {
  allowReport,
  denyReport,
  incompleteReport,
  largeReport,
  singleReport,
} from './__fixtures__/reports.ts';
import { markdownBlock, markdownCode, markdownText } from './markdown-text.ts';
import { renderJson } from './render-json.ts';
import { renderMarkdown } from './render-markdown.ts';
import { renderText } from './render-text.ts';
import type { VetReport } from './types.ts';

/** As a forge renders it, but with raw HTML let through, so that any that slipped in shows. */
function html(markdown: string): string {
  return micromark(markdown, {
    allowDangerousHtml: true,
    allowDangerousProtocol: true,
    extensions: [gfm()],
    htmlExtensions: [gfmHtml()],
  });
}

describe('renderText()', () => {
  test('renderText() says in a screen what was decided and why', () => {
    expect(renderText(allowReport())).toBe(`wordpress:4.9 (linux/amd64)
  ALLOW  Every rule holds.
  run  ${allowReport().verdict.pinned}
  policy default ${allowReport().verdict.policy.digest}

Lineage
  1. wordpress:4.9  rebuilt: same content, 1 medium
     https://github.com/docker-library/wordpress@5cce52c6749e php7.2/apache/Dockerfile
     built on php:7.2-apache: proven
  2. php:7.2-apache  rebuilt: explained, 1 medium
     https://github.com/docker-library/php@adee80b3e655 7.2/stretch/apache/Dockerfile
     built on debian:stretch-slim: proven
  3. debian:stretch-slim  rebuilt: same content
     https://github.com/debuerreotype/docker-debian-artifacts@ce5858546b4c stretch/slim/Dockerfile
     built from scratch

Signature
  registry.internal/vetted/library/wordpress tags 4.9, 4.9-20261123-5a1f03c2, read back and verified, valid until 2026-12-07T12:00:02Z
`);
  });

  test('renderText() lists what failed, what was waived and what was not checked', () => {
    const text = renderText(denyReport());
    expect(text).toContain(
      '  DENY  8 checks failed and 4 checks could not be decided; 2 things were not checked.\n  incomplete: something was not checked\n',
    );
    const lines = (section: string, of: RegExp) =>
      (new RegExp(`\n${section}\n((?: .*\n)+)`).exec(text)?.[1] ?? '').match(of)?.length;
    expect(lines('Not checked', /^ {2}- /gm)).toBe(2);
    expect(lines('Reasons', /^ {2}fail /gm)).toBe(8);
    expect(lines('Reasons', /^ {2}error /gm)).toBe(4);
    expect(text).toMatch(/\n {2}fail {3}lineage\.consistent: php:7\.2-apache: sources disagree/);
    expect(text).toMatch(/\n {2}waived audit\.max-severity: wordpress:4\.9: VET011/);
    expect(text).toMatch(/\nNot checked\n {2}- debian:stretch-slim: the commit is no longer/);
  });

  test('renderText() uses no colour unless asked', () => {
    for (const report of [allowReport(), denyReport(), incompleteReport(), largeReport(), hostileReport()]) {
      expect(renderText(report)).not.toContain('\u001b');
      const colored = renderText(report, { color: true });
      expect(colored).toContain('\u001b[1m');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the codes looked for
      expect(colored.replace(/\u001b\[\d+m/g, '')).toBe(renderText(report));
    }
  });

  test('renderText() lets no foreign text add a line or move the cursor', () => {
    const plain = renderText(denyReport()).split('\n').length;
    const text = renderText(hostileReport());
    expect(text.split('\n')).toHaveLength(plain);
    expect(text).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
  });
});

describe('renderMarkdown()', () => {
  test('renderMarkdown() begins with the verdict and what to run', () => {
    const lines = renderMarkdown(allowReport()).split('\n');
    expect(lines[0]).toBe('## ✅ Allow: `wordpress:4.9`');
    expect(lines).toContain(allowReport().verdict.pinned);
    expect(renderMarkdown(denyReport())).toMatch(/^## ⛔ Deny: `wordpress:4.9`\n/);
    expect(renderMarkdown(denyReport())).not.toContain('Run exactly this');
  });

  test.each<[string, VetReport]>([
    ['an allowed image', allowReport()],
    ['a denied image', denyReport()],
    ['an incomplete vetting', incompleteReport()],
    ['twelve images', largeReport()],
    ['one image', singleReport()],
  ])('renderMarkdown() of %s is one heading per section and whole tables', (_name, report) => {
    const rendered = html(renderMarkdown(report));
    expect(rendered.match(/<h2>/g)).toHaveLength(1);
    for (const [, table] of rendered.matchAll(/<table>([\s\S]*?)<\/table>/g)) {
      const columns = table!.match(/<th>|<th /g)!.length;
      for (const [, row] of table!.matchAll(/<tr>([\s\S]*?)<\/tr>/g)) {
        expect(row!.match(/<t[hd]/g)).toHaveLength(columns);
      }
    }
  });

  test('renderMarkdown() lets no foreign text become markup', () => {
    const rendered = html(renderMarkdown(hostileReport()));
    const tags = new Set(Array.from(rendered.matchAll(/<([a-z0-9]+)/g), ([, name]) => name));
    const expected = new Set(
      Array.from(html(renderMarkdown(denyReport())).matchAll(/<([a-z0-9]+)/g), ([, name]) => name),
    );
    expect([...tags].filter((name) => !expected.has(name))).toEqual([]);
    expect(rendered).not.toMatch(/<(a|img|script|iframe|details)\b/);
    expect(rendered.match(/<h[1-6]/g)).toEqual(html(renderMarkdown(denyReport())).match(/<h[1-6]/g));
    expect(rendered.match(/<t[rhd]\b/g)).toEqual(html(renderMarkdown(denyReport())).match(/<t[rhd]\b/g));
  });

  test('renderMarkdown() shows so many rows and counts the rest', () => {
    const report = denyReport();
    const findings = Array.from({ length: 60 }, (_, index) => ({ ...report.findings[0]!, id: `f${index}` }));
    expect(renderMarkdown({ ...report, findings })).toContain('- … 10 more findings');
    const reasons = Array.from({ length: 51 }, () => report.verdict.reasons[1]!);
    expect(renderMarkdown({ ...report, verdict: { ...report.verdict, reasons } })).toContain('| … 1 more |');
  });

  test('markdownText() makes no markup of any line', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.constantFrom(...HOSTILE),
          fc.string({ unit: fc.constantFrom(...'*_`[]()<>!#|\\~:/.@w &;-+=1a'), maxLength: 30 }),
        ),
        (text) => {
          const rendered = html(`x ${markdownText(text)}`);
          expect(rendered).toMatch(/^<p>[^<>]*<\/p>$/);
        },
      ),
    );
  });

  test('markdownCode() and markdownBlock() keep any text inside', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'`~ \\|<>a*'), maxLength: 20 }), (text) => {
        expect(html(`x ${markdownCode(text)} y`)).toMatch(/^<p>x <code>[^<]*<\/code> y<\/p>$/);
        expect(html(markdownBlock(`${text}\n${text}`, ''))).toMatch(/^<pre><code>[^<]*<\/code><\/pre>$/);
      }),
    );
  });
});

describe('renderJson()', () => {
  test('renderJson() reads back as the report, members sorted', () => {
    const report = denyReport();
    const text = renderJson(report);
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(report)));
    expect(text.endsWith('}\n')).toBe(true);
    const keys = Array.from(text.matchAll(/^ {2}"([a-zA-Z]+)"/gm), ([, key]) => key!);
    expect(keys).toEqual(keys.toSorted());
  });

  test('renderJson() writes the same bytes whatever the order of members', () => {
    const report = denyReport();
    const turned = Object.fromEntries(Object.entries(report).toReversed()) as never as VetReport;
    expect(renderJson(turned)).toBe(renderJson(report));
  });

  test('renderJson() keeps all a decision rests on', () => {
    for (const report of [allowReport(), incompleteReport(), largeReport()]) {
      const read = JSON.parse(renderJson(report)) as VetReport;
      const time = new Date(report.verdict.effectiveTime);
      expect(evaluate(defaultPolicy, [], read, time)).toEqual(report.verdict);
    }
  });

  test('renderJson() keeps a member named __proto__', () => {
    const labels = JSON.parse('{"__proto__": "x", "a": "y"}') as Record<string, string>;
    const report = { ...allowReport(), comparisons: labels } as never as VetReport;
    expect(renderJson(report)).toContain('"__proto__": "x"');
  });
});
