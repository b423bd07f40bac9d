import type { HistoryEntry } from '@imagevet/registry';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { alignHistory } from './align-history.ts';

const layer = (created_by: string, comment?: string): HistoryEntry =>
  comment === undefined ? { created_by } : { created_by, comment };
const empty = (created_by: string): HistoryEntry => ({ created_by, empty_layer: true });
const classic = (text: string) => empty(`/bin/sh -c #(nop)  ${text}`);
const align = (dockerfile: string, history: readonly HistoryEntry[], options = {}) =>
  alignHistory(parseDockerfile(dockerfile), history, options);

describe('alignHistory() of histories that say little', () => {
  const DOCKERFILE = 'FROM base\nENV A=1\nCOPY a /\nRUN make\n';
  const FULL = [
    classic('ENV A=1'),
    layer(`/bin/sh -c #(nop) COPY file:${'a'.repeat(64)} in / `),
    layer('/bin/sh -c make'),
  ];

  test.each([
    ['no history', [], { layers: 2 }],
    ['fewer entries than layers', FULL, { layers: 3 }],
    ['more entries than layers', FULL, { layers: 1 }],
    ['the text removed', FULL.map(({ created_by, ...rest }) => rest), { layers: 2 }],
    ['one entry for all, by a squashing tool', [layer('')], { layers: 1 }],
    ['one entry for all, of a committed container', [layer('/bin/bash')], { layers: 1 }],
    ['its last entry of a committed container', [...FULL, layer('/bin/sh')], { layers: 3, parentEntries: 0 }],
  ])('does not judge with %s', (_name, history, options) => {
    const alignment = align(DOCKERFILE, history, options);
    expect(alignment.consistency).toBe('unchecked');
    expect(alignment.reason).toMatch(/history/);
    expect(alignment.inconsistency).toBeUndefined();
  });

  test('reads a squashed image, whose instructions made no layer of their own', () => {
    const squashed = [
      layer('base'),
      ...FULL.map((entry) => ({ ...entry, empty_layer: true })),
      { comment: `merge sha256:${'b'.repeat(64)} to sha256:${'c'.repeat(64)}` },
    ];
    const { consistency, instructions } = align(DOCKERFILE, squashed, { parentEntries: 1, layers: 2 });
    expect(consistency).toBe('consistent');
    expect(instructions.map(({ history, layer: made }) => [history, made])).toEqual([
      [1, undefined],
      [2, undefined],
      [3, undefined],
    ]);
    expect(align(DOCKERFILE.replace('make', 'take'), squashed, { parentEntries: 1 })).toMatchObject({
      inconsistency: { line: 4, history: 3, expected: 'RUN take', seen: 'RUN /bin/sh -c make' },
    });
  });

  test("passes over entries of BuildKit's exporter", () => {
    const filled = [...FULL.slice(0, 2), layer('[2/2] x', 'buildkit.exporter.image.v0'), ...FULL.slice(2)];
    const { consistency, instructions } = align(DOCKERFILE, filled, { parentEntries: 0, layers: 3 });
    expect(consistency).toBe('consistent');
    expect(instructions.map(({ layer: made }) => made)).toEqual([undefined, 0, 2]);
  });

  test('lets labels given to a classic build follow its instructions', () => {
    const labelled = [...FULL, classic('LABEL by=command line'), classic('LABEL two=2')];
    for (const options of [{}, { parentEntries: 0 }]) {
      expect(align(DOCKERFILE, labelled, options).consistency).toBe('consistent');
    }
    const later = [...labelled, classic('USER x')];
    expect(align(DOCKERFILE, later, { parentEntries: 0 }).inconsistency).toMatchObject({ history: 5 });
  });

  test('lets values given to a build differ from the defaults of ARG', () => {
    const dockerfile = 'FROM base\nARG V=1\nUSER $V\nRUN make\n';
    const recorded = ['ARG V=2', 'USER 2', 'RUN |1 V=2 /bin/sh -c make # buildkit'].map(layer1);
    expect(align(dockerfile, recorded, { parentEntries: 0, base: {} }).consistency).toBe('consistent');
    const own = [classic('ARG V=1'), classic('USER 2'), layer('|1 V=2 /bin/sh -c make')];
    expect(align(dockerfile, own, { parentEntries: 0, base: {} }).consistency).toBe('consistent');
    expect(align(dockerfile.replace('V=1', 'V=3'), own, { parentEntries: 0 }).inconsistency?.line).toBe(2);
  });
  const layer1 = (created_by: string): HistoryEntry => ({ created_by });

  test.each([
    ['windows', 'RUN dir\nWORKDIR app', ['cmd /S /C dir', 'cmd /S /C #(nop) WORKDIR C:\\srv\\app']],
    [
      'PowerShell of the base',
      'RUN Get-Item\nCMD x y',
      [
        'powershell -Command $x = 1; Get-Item',
        'powershell -Command $x = 1; #(nop)  CMD ["powershell" "x y"]',
      ],
    ],
    ['lists without quotes', 'CMD ["a", "b"]', ['/bin/sh -c #(nop) CMD [a b]']],
    ['lists with commas', 'ENTRYPOINT ["a", "b c"]', ['/bin/sh -c #(nop) ENTRYPOINT ["a","b c"]']],
    ['ports as a map', 'EXPOSE 443 80', ['/bin/sh -c #(nop) EXPOSE map[80/tcp:{} 443/tcp:{}]']],
    [
      'a health check without start period',
      'HEALTHCHECK --timeout=1m CMD x',
      ['/bin/sh -c #(nop)  HEALTHCHECK &{["CMD-SHELL" "x"] "0s" "1m0s" \'\\x00\'}'],
    ],
    ['destinations made absolute', 'WORKDIR /a\nCOPY x .', ['/bin/sh -c #(nop) WORKDIR /a', file('/a/')]],
    ['Buildah, ARG as given', 'ARG V=1', ['/bin/sh -c #(nop) ARG V=2']],
    ['the shell of an unknown base', 'RUN make', ['|1 V=1 /bin/bash -o pipefail -c make']],
  ])('understands what %s leave', (_name, instructions, recorded) => {
    const { inconsistency, consistency } = align(`FROM base\n${instructions}`, recorded.map(layer1));
    expect(inconsistency).toBeUndefined();
    expect(consistency).toBe('consistent');
  });
  function file(destination: string): string {
    return `/bin/sh -c #(nop) COPY file:${'a'.repeat(64)} in ${destination}`;
  }

  test('does not take the end of another command for a command', () => {
    const history = [layer('/bin/sh -c ./configure && make')];
    for (const options of [{ parentEntries: 0 }, { parentEntries: 0, base: {} }, {}]) {
      expect(align('FROM base\nRUN make', history, options).inconsistency?.line).toBe(2);
      expect(align('FROM base\nRUN ake', [layer('/bin/sh -c make')], options).inconsistency?.line).toBe(2);
    }
  });
});

describe('alignHistory() of anything', () => {
  const word = fc.constantFrom(
    ...[
      'A=1',
      '$A',
      '${A:-x}',
      '${A',
      '"',
      "'",
      '\\',
      '[',
      '["a"]',
      '#(nop) ',
      '|1 A=1',
      '/bin/sh -c',
      '<<EOF',
    ],
    ...[
      '# buildkit',
      '&{["CMD" "x"] "0s"',
      "'\\x00'}",
      'map[80/tcp:{}]',
      '--chown=1',
      '80-90/udp',
      '\u0000',
      '\ud800',
    ],
    ...[
      ' in ',
      '..',
      '/',
      '__proto__',
      'constructor=1',
      '99999999999',
      '1h1h',
      '--interval=x',
      'sha256:',
      '%s',
    ],
  );
  const keyword = fc.constantFrom(
    ...['ADD', 'ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'HEALTHCHECK', 'LABEL', 'MAINTAINER'],
    ...[
      'ONBUILD',
      'RUN',
      'SHELL',
      'STOPSIGNAL',
      'USER',
      'VOLUME',
      'WORKDIR',
      'ONBUILD RUN',
      'FROM x',
      'FROM',
    ],
  );
  const text = fc
    .tuple(keyword, fc.array(fc.oneof(word, fc.string({ unit: 'binary' })), { maxLength: 6 }))
    .map(([first, rest]) => `${first} ${rest.join(' ')}`);
  const entry = fc.record(
    {
      created_by: fc.oneof(
        fc.string(),
        text,
        text.map((by) => `/bin/sh -c #(nop)  ${by}`),
        text.map((by) => `${by} # buildkit`),
      ),
      comment: fc.oneof(fc.string(), fc.constant('buildkit.dockerfile.v0')),
      empty_layer: fc.boolean(),
    },
    { requiredKeys: [] },
  );
  const texts = fc.array(fc.string(), { maxLength: 3 });

  test('never throws', () => {
    let parsed = 0;
    fc.assert(
      fc.property(
        fc.array(text, { maxLength: 8 }),
        fc.array(entry, { maxLength: 8 }),
        fc.record(
          {
            parentEntries: fc.integer({ min: -1, max: 9 }),
            layers: fc.integer({ min: 0, max: 8 }),
            base: fc.record({ Env: texts, Shell: texts, OnBuild: fc.array(text), WorkingDir: fc.string() }),
          },
          { requiredKeys: [] },
        ),
        (instructions, history, options) => {
          const dockerfile =
            readable(`FROM base\n${instructions.join('\n')}`) ?? parseDockerfile('FROM base');
          parsed += dockerfile.stages[0]?.instructions.length ?? 0;
          const alignment = alignHistory(dockerfile, history as readonly HistoryEntry[], options);
          expect(alignment.consistency === 'inconsistent').toBe(alignment.inconsistency !== undefined);
          expect(alignment.consistency === 'unchecked').toBe(alignment.reason !== undefined);
          const entries = alignment.instructions.map((aligned) => aligned.history);
          expect(entries).toEqual([...new Set(entries)].sort((left, right) => left - right));
        },
      ),
      { numRuns: 500 },
    );
    expect(parsed).toBeGreaterThan(50);
  });
  function readable(dockerfile: string) {
    try {
      return parseDockerfile(dockerfile);
    } catch {
      return undefined;
    }
  }

  const LONG = 200_000;
  test.each([
    ['blanks', 'RUN x', ' '.repeat(LONG)],
    ['shells', 'RUN x', '/bin/sh -c '.repeat(LONG / 10)],
    ['arguments', 'RUN x', `|1 ${'A='.repeat(LONG)} /bin/sh -c x`],
    ['owners', 'COPY a b', `/bin/sh -c #(nop) COPY --chown=${' '.repeat(LONG)}${'a'.repeat(LONG)}`],
    ['quotes', 'CMD ["a"]', `CMD [${'"a" '.repeat(LONG)}`],
    ['escapes', 'CMD ["a"]', `CMD ["${'\\x'.repeat(LONG)}`],
    ['ports', `EXPOSE ${'0-65535 '.repeat(LONG / 8)}1`, `EXPOSE map[${'1/tcp:{} '.repeat(LONG / 8)}]`],
    ['durations', 'HEALTHCHECK CMD x', `HEALTHCHECK &{["CMD"] "${'1'.repeat(LONG)}" '0'}`],
    ['intervals', `HEALTHCHECK --interval=${'1h'.repeat(LONG)} CMD x`, `HEALTHCHECK &{["CMD"] "0s" 'a'}`],
    ['directories', `WORKDIR ${'../a/'.repeat(LONG / 5)}`, `WORKDIR ${'/'.repeat(LONG)}`],
    ['names', `ARG ${'A '.repeat(LONG / 2)}`, `ARG ${'A '.repeat(LONG / 2)}x`],
    ['variables', `ENV A=${'$'.repeat(LONG)} B=${'${A'.repeat(LONG / 3)}`, `ENV A=${'$'.repeat(LONG)}`],
    ['patterns', `ENV A=${'a'.repeat(LONG)}\nENV B=\${A//*b/c}\${A%%*b}`, `ENV B=${'a'.repeat(LONG)}`],
    ['doubling', `ENV A=aaaaaaaa\n${'ENV A=$A$A\n'.repeat(2000)}`, 'ENV A=a'],
    ['many references', `ENV A=${'a'.repeat(9000)}\n${'ENV B=$A$A$A$A$A$A$A\n'.repeat(9000)}`, 'ENV B=a'],
    ['triggers', 'ONBUILD RUN x\n'.repeat(19_000), `/bin/sh -c x${'#(nop)'.repeat(LONG)}`],
    [
      'stages',
      Array.from({ length: 9000 }, (_none, at) => `FROM ${at === 0 ? 'x' : `a${at - 1}`} AS a${at}`).join(
        '\n',
      ),
      'RUN x',
    ],
  ])('takes linear time for many %s', (_name, instructions, recorded) => {
    const dockerfile = parseDockerfile(`FROM base\n${instructions}`);
    for (const options of [{}, { parentEntries: 0, base: {} }]) {
      const { consistency } = alignHistory(dockerfile, [{ created_by: recorded }], options);
      expect(['inconsistent', 'unchecked', 'consistent']).toContain(consistency);
    }
  });
});
