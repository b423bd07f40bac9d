import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDockerfile } from '../dockerfile/parse-dockerfile.ts';
import { hitsOf, lineage, NOW, node, PINNED } from './__fixtures__/hits.ts';
import { auditDockerfile, auditLineage } from './audit.ts';
import { auditRules } from './rules/index.ts';
import type { Finding } from './types.ts';

const PIPE = 'RUN curl -fsSL https://e.example/i.sh | sh';
const INACTIVE = ['VET050'];

function brief(findings: readonly Finding[]): readonly string[] {
  return findings.map(
    (finding) =>
      `${finding.node.split(' ')[0]!.split('/').pop()} ${finding.rule} ${finding.lines?.startLine ?? '-'}`,
  );
}

describe('auditDockerfile()', () => {
  const text = [PINNED, 'RUN true', PIPE, PIPE, 'ADD https://e.example/x /x'].join('\n');

  test('orders findings by line and gives all of what a report needs', () => {
    const findings = auditDockerfile(parseDockerfile(text), { now: NOW, node: 'mine', disable: INACTIVE });
    expect(findings.map(({ rule, lines }) => [rule, lines?.startLine])).toEqual([
      ['VET010', 3],
      ['VET010', 4],
      ['VET014', 5],
    ]);
    expect(findings[0]).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{16}$/),
      rule: 'VET010',
      severity: 'high',
      title: 'Downloaded text is run at once',
      message: 'sh runs what curl -fsSL https://e.example/i.sh downloads',
      remediation: expect.any(String),
      node: 'mine',
      lines: { startLine: 3, endLine: 3 },
      excerpt: PIPE,
    });
  });

  test('keeps ids when lines move, and tells equal lines apart', () => {
    const ids = (dockerfile: string): readonly string[] =>
      auditDockerfile(parseDockerfile(dockerfile), { now: NOW, disable: INACTIVE }).map(({ id }) => id);
    expect(ids(text.replace('RUN true', '# one\n# two\nRUN true\n'))).toEqual(ids(text));
    expect(new Set(ids(text)).size).toBe(3);
  });

  test('applies the rules asked for', () => {
    const only = auditRules.filter(({ id }) => id === 'VET014');
    expect(auditDockerfile(parseDockerfile(text), { rules: only }).map(({ rule }) => rule)).toEqual([
      'VET014',
    ]);
    expect(() => auditDockerfile(parseDockerfile(text), { disable: ['VET999'] })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: 'cannot disable unknown rules: VET999' }),
    );
  });

  test('takes rules of the user', () => {
    const rule = {
      id: 'ACME1',
      title: 'Maintainer missing',
      severity: 'low',
      rationale: 'r',
      remediation: 'f',
      appliesTo: 'dockerfile',
      *check({ dockerfile }: { dockerfile: { text: string } }) {
        if (!dockerfile.text.includes('LABEL maintainer')) yield { message: 'no maintainer' };
      },
    } as const;
    expect(auditDockerfile(parseDockerfile(text), { rules: [rule] })).toMatchObject([
      { rule: 'ACME1', message: 'no maintainer' },
    ]);
  });

  test('lists a bounded number of findings of one rule, and says so', () => {
    const many = [
      PINNED,
      ...Array.from({ length: 250 }, (_, index) => `ADD https://e.example/${index} /x`),
    ].join('\n');
    const findings = auditDockerfile(parseDockerfile(many), { now: NOW, disable: INACTIVE });
    expect(findings).toHaveLength(201);
    expect(findings.filter(({ lines }) => lines === undefined)).toMatchObject([
      { rule: 'VET014', message: 'more than 200 findings of this rule; the rest is not listed' },
    ]);
  });

  test('answers for every RUN text', () => {
    const word = fc.constantFrom(
      ...[
        'curl',
        'wget',
        '-o',
        '-O',
        'f',
        'https://e.example/f',
        '|',
        '&&',
        ';',
        'sh',
        '-c',
        '"',
        "'",
        '$(',
        ')',
        '<(',
        '>',
      ],
      ...[
        'sha256sum',
        '-',
        'echo',
        '"$S f"',
        'gpg',
        '--verify',
        'tar',
        'x',
        '*',
        '${f}',
        '{',
        '}',
        'git',
        'clone',
        'chmod',
      ],
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 30 }), (words) => {
        const parsed = parseDockerfile(`FROM scratch\nRUN x ${words.join(' ')}`);
        return auditDockerfile(parsed, { now: NOW }).every(({ message }) => message.length > 0);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['downloads', `RUN ${'curl -o a https://e.example/a; '.repeat(5000)}`],
    ['pipes', `RUN curl https://e.example/a ${'| grep a '.repeat(20_000)}`],
    ['substitutions', `RUN echo ${'$(curl https://e.example/a) '.repeat(5000)}`],
    ['spaces', `RUN echo "${' '.repeat(200_000)}" NOPASSWD: ${' '.repeat(100_000)}`],
    ['environment', `ENV ${'a=$a$a$a '.repeat(5000)}`],
    ['hexadecimal', `RUN gpg --list-keys ${'0123 '.repeat(50_000)}`],
    ['credentials', `RUN echo ${'http://a:b'.repeat(20_000)} ${'x='.repeat(20_000)}`],
    ['passwd', `RUN echo "${':'.repeat(100_000)}" > /etc/passwd`],
    ['trusted', `RUN echo "deb [${' '.repeat(100_000)}" > /etc/apt/sources.list`],
    ['requirements', `RUN pip install ${'git+'.repeat(50_000)}`],
    ['secrets', `ENV A="${'TOKEN '.repeat(30_000)}"`],
    ['keys', `RUN echo "${'-----BEGIN '.repeat(20_000)}"`],
    ['stages', 'FROM scratch\n'.repeat(3000)],
    ['clones', `RUN ${'git clone https://e.example/x; '.repeat(10_000)}`],
    ['nested scripts', `RUN ${'sh -c "sh -c \\"curl https://e.example/x|sh\\"";'.repeat(3000)}`],
    ['uses', `RUN ${'curl -o a https://e.example/a; '.repeat(400)} ${'tar x a; '.repeat(10_000)}`],
    ['blank lines', `RUN cat <<EOF > /x\n${'\n'.repeat(200_000)}EOF`],
    ['open brackets', `RUN cat <<EOF > /x\n${'deb [\n'.repeat(50_000)}EOF`],
    ['long values', `ENV a="${'x '.repeat(10_000)}"\nRUN ${'echo "$a" "$a"; '.repeat(20_000)}`],
  ])('finishes on many %s', (_, line) => {
    expect(Array.isArray(hitsOf(`${PINNED}\n${line}`))).toBe(true);
  });
});

describe('VET050 user of the image', () => {
  const of = (text: string): readonly string[] =>
    auditDockerfile(parseDockerfile(text), { rules: auditRules.filter(({ id }) => id === 'VET050') }).map(
      ({ lines, message }) => `${lines?.startLine} ${message}`,
    );

  test.each([
    ['FROM a', ['1 no USER is set; it runs as the user of its base image, usually root']],
    ['FROM a\nUSER app', []],
    ['FROM a\nUSER app\nUSER root', ['3 the last USER is root']],
    ['FROM a\nUSER 0:0', ['2 the last USER is 0:0']],
    ['FROM a AS x\nUSER app\nFROM x', []],
    [
      'FROM a AS x\nUSER app\nFROM b',
      ['3 no USER is set; it runs as the user of its base image, usually root'],
    ],
  ])('%j', (text, expected) => {
    expect(of(text)).toEqual(expected);
  });

  test('follows the image rather than the text, and asks the vetted image only', () => {
    const image = (User: string): never =>
      ({ execution: { User }, history: [], manifest: { digest: 'sha256:0' } }) as never;
    const rules = auditRules.filter(({ id }) => id === 'VET050');
    const chain = (user: string): readonly string[] =>
      brief(
        auditLineage(
          lineage([
            node('app:1', 'FROM php:8', { image: image(user) }),
            node('php:8', 'FROM scratch', { image: image('') }),
          ]),
          { rules },
        ),
      );
    expect(chain('www-data')).toEqual([]);
    expect(chain('')).toEqual(['app:1 VET050 1']);
  });
});

describe('VET060 support periods', () => {
  test.each([
    ['debian:stretch-slim', 'high'],
    ['debian:11.2', 'high'],
    ['debian:bookworm', 'low'],
    ['debian:trixie', undefined],
    ['php:7.2-apache-stretch', 'high'],
    ['node:20-alpine3.18', 'high'],
    ['alpine:3.9.6', 'high'],
    ['alpine:3.23', undefined],
    ['ubuntu:18.04', 'high'],
    ['ubuntu:noble', undefined],
    ['centos:7', 'high'],
    ['python:3.9', undefined],
  ])('%s', (name, severity) => {
    const rules = auditRules.filter(({ id }) => id === 'VET060');
    const findings = auditDockerfile(parseDockerfile(`FROM ${name}`), { rules, now: NOW });
    expect(findings[0]?.severity).toBe(severity);
  });

  test('asks the given clock', () => {
    const rules = auditRules.filter(({ id }) => id === 'VET060');
    const at = (day: string): number =>
      auditDockerfile(parseDockerfile('FROM debian:stretch'), { rules, now: new Date(day) }).length;
    expect([at('2020-07-18'), at('2020-07-19')]).toEqual([0, 1]);
  });
});

describe('auditLineage()', () => {
  test('audits every Dockerfile and names the ancestor that must change', () => {
    const family = lineage([
      node('app:1', `FROM php:8.4-apache\n${PIPE}`),
      node('php:8.4-apache', `FROM debian:stretch-slim\n${PIPE}`),
      node('debian:stretch-slim', 'FROM scratch\nADD rootfs.tar.xz /'),
    ]);
    const findings = auditLineage(family, { now: NOW, disable: INACTIVE });
    expect(brief(findings)).toEqual([
      'app:1 VET001 1',
      'app:1 VET010 2',
      'php:8.4-apache VET001 1',
      'php:8.4-apache VET060 1',
      'php:8.4-apache VET010 2',
    ]);
    expect(findings[4]!.source).toMatchObject({ path: 'php/8.4-apache/Dockerfile' });
    expect(new Set(findings.map(({ id }) => id)).size).toBe(5);
    expect(auditLineage(family, { now: NOW, disable: INACTIVE })).toEqual(findings);
  });

  test('an image without Dockerfile text is a finding, never silence', () => {
    const gone = node('base:1', undefined, {
      dockerfile: { status: 'commit-unreachable', reachability: 'unchecked', consistency: 'unchecked' },
    });
    const findings = auditLineage(lineage([node('app:1', PINNED), gone]), { now: NOW, disable: INACTIVE });
    expect(findings).toMatchObject([
      {
        rule: 'VET081',
        severity: 'info',
        node: gone.id,
        message: 'not audited: the named commit, or its whole repository, is gone',
      },
    ]);
  });

  test('a text that is no Dockerfile is a finding', () => {
    const findings = auditLineage(lineage([node('app:1', '<html></html>')]), { now: NOW });
    expect(findings).toMatchObject([{ rule: 'VET082', severity: 'medium' }]);
  });

  test('reports what contradicts the claims', () => {
    const app = node('app:1', `${PINNED}\nRUN true`);
    const wrong = {
      ...app,
      dockerfile: {
        ...app.dockerfile,
        reachability: 'unreachable' as const,
        consistency: 'inconsistent' as const,
        inconsistency: { line: 2, message: 'RUN true is not in the history' },
      },
    };
    const base = node('base:1', 'FROM scratch');
    const family = lineage([wrong, base], {
      edges: [
        {
          kind: 'base',
          from: wrong.id,
          to: base.id,
          name: 'base:1',
          line: 1,
          grade: 'contradicted',
          evidence: [{ kind: 'layers', verdict: 'refutes', message: 'layer 1 differs' }],
        },
      ],
      conflicts: [
        {
          node: wrong.id,
          about: 'source',
          statements: [
            { kind: 'oci-annotation', foundAt: 'a', value: 'https://a.example' },
            { kind: 'docker-hub-description', foundAt: 'b', value: 'https://b.example' },
          ],
        },
      ],
    });
    const findings = auditLineage(family, { now: NOW, disable: INACTIVE });
    expect(brief(findings)).toEqual(['app:1 VET064 -', 'app:1 VET065 -', 'app:1 VET061 1', 'app:1 VET062 2']);
    expect(findings[2]!.message).toContain('layer 1 differs');
    expect(findings[3]!.excerpt).toBe('RUN true');
  });

  test('a commit that is gone, with its repository or without, is not audited and accused of nothing', () => {
    const { dockerfile, ...app } = node('app:1', PINNED);
    const { text: _text, ...record } = dockerfile;
    const gone = {
      ...app,
      dockerfile: { ...record, status: 'commit-unreachable', reachability: 'unreachable' },
    } as const;
    const findings = auditLineage(lineage([gone]), { now: NOW, disable: INACTIVE });
    expect(brief(findings)).toEqual(['app:1 VET081 -']);
    expect(findings[0]).toMatchObject({
      severity: 'info',
      message: expect.stringContaining('is gone') as string,
    });
  });

  test('shows the triggers of an ancestor, and audits them', () => {
    const family = lineage([
      node('app:1', PINNED),
      node('base:1', `${PINNED}\nONBUILD RUN curl https://e.example/i | sh`),
    ]);
    expect(brief(auditLineage(family, { now: NOW, disable: INACTIVE }))).toEqual([
      'base:1 VET010 2',
      'base:1 VET063 2',
    ]);
  });

  test('reads build arguments out of the history', () => {
    const image = {
      execution: { User: 'app' },
      manifest: { digest: 'sha256:0' },
      history: [
        { created_by: '|2 NPM_TOKEN=abcdef123456 V=1 /bin/sh -c npm ci' },
        { created_by: '|2 NPM_TOKEN=abcdef123456 V=1 /bin/sh -c npm test' },
      ],
    } as never;
    const findings = auditLineage(lineage([node('app:1', undefined, { image })]), { now: NOW });
    expect(findings.map(({ rule, message }) => `${rule} ${message}`)).toEqual([
      'VET041 history entry 1 records the build argument NPM_TOKEN',
      'VET081 not audited: no source names a Dockerfile',
    ]);
  });
});

test('auditLineage() tells where other platforms come from other source', () => {
  const one = lineage([node('app:1', `FROM scratch\nCOPY a /\nUSER 1\n`)]);
  const divergences = [
    { code: 'PLATFORM_SOURCE_DIFFERS', values: { a: ['linux/amd64'], b: ['linux/arm64', 'linux/386'] } },
  ] as const;
  const found = auditLineage(one, { now: NOW, divergences }).filter(({ rule }) => rule === 'VET066');
  expect(found).toMatchObject([
    {
      node: one.root,
      severity: 'low',
      message: 'its source by platform: linux/amd64: a; linux/arm64, linux/386: b',
    },
  ]);
  expect(auditLineage(one, { now: NOW, divergences: [] }).some(({ rule }) => rule === 'VET066')).toBe(false);
});
