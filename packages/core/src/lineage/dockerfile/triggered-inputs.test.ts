import { describe, expect, test } from 'vitest';
import { type PretendedImage, pretendWorld } from '../__fixtures__/pretended-world.ts';
import { resolveLineage } from '../resolve-lineage.ts';

const lineageOf = (images: Readonly<Record<string, PretendedImage>>) =>
  resolveLineage(
    'child:1',
    pretendWorld(images, async (_label, make) => make()),
  );

async function inputsOf(images: Readonly<Record<string, PretendedImage>>) {
  const { edges, gaps } = await lineageOf(images);
  return {
    inputs: edges
      .filter(({ kind }) => kind !== 'base' && kind !== 'stage')
      .map(({ kind, from, name, line, evidence }) => [
        kind,
        from.split(' ')[0],
        name,
        line,
        evidence[0]?.message,
      ]),
    gaps: gaps.map(({ code }) => code),
  };
}

const CHILD = 'docker.io/library/child:1';
const BASE: PretendedImage = { dockerfile: 'FROM scratch', shownOn: 'scratch' };
const OTHER: PretendedImage = { dockerfile: 'FROM scratch', shownOn: 'scratch' };

describe('resolveLineage() of an image whose base has ONBUILD triggers', () => {
  const child: PretendedImage = { dockerfile: 'FROM scratch AS built\nFROM base:1\n', shownOn: 'base:1' };

  test('follows what they copy and mount from other images', async () => {
    const onBuild = [
      'COPY --from=evil:1 /a /b',
      'RUN --mount=type=bind,from=tools:2,target=/t make',
      'USER root',
    ];
    const images = { 'child:1': child, 'base:1': { ...BASE, onBuild }, 'evil:1': OTHER, 'tools:2': OTHER };
    const message = 'an ONBUILD trigger of base:1 names it';
    expect(await inputsOf(images)).toEqual({
      inputs: [
        ['copy-from', CHILD, 'evil:1', 2, message],
        ['mount-from', CHILD, 'tools:2', 2, message],
      ],
      gaps: [],
    });
    const { nodes } = await lineageOf(images);
    expect(nodes.map(({ reference }) => reference.repository)).toContain('library/evil');
  });

  test('knows the stages of the child that come before', async () => {
    const onBuild = ['COPY --from=built /a /b', 'COPY --from=0 /a /b', 'COPY --from=later /a /b'];
    const dockerfile = `${child.dockerfile}FROM scratch AS later\nFROM 1\n`;
    const images = {
      'child:1': { ...child, dockerfile },
      'base:1': { ...BASE, onBuild },
      'later:latest': OTHER,
    };
    expect((await inputsOf(images)).inputs.map(([, , name]) => name)).toEqual(['later']);
  });

  test('finds those of the base of another stage', async () => {
    const dockerfile = 'FROM base:1 AS built\nFROM plain:1\nCOPY --from=built /a /b\n';
    const images = {
      'child:1': { dockerfile, shownOn: 'plain:1' },
      'plain:1': OTHER,
      'base:1': { ...BASE, onBuild: ['COPY --from=evil:1 /a /b'] },
      'evil:1': OTHER,
    };
    expect((await inputsOf(images)).inputs).toEqual([
      ['copy-from', CHILD, 'evil:1', 1, 'an ONBUILD trigger of base:1 names it'],
    ]);
  });

  test('reads those of its Dockerfile where no registry shows it', async () => {
    const base = { dockerfile: 'FROM scratch\nONBUILD COPY --from=evil:1 /a /b\n' };
    const images = { 'child:1': { dockerfile: child.dockerfile }, 'base:1': base, 'evil:1': OTHER };
    expect((await inputsOf(images)).inputs.map(([, , name]) => name)).toEqual(['evil:1']);
  });

  test.each([
    ['no instruction at all', 'COPY --from=', 'TRIGGER_UNREADABLE'],
    ['a stage of its own', 'RUN a\nFROM evil:1', 'TRIGGER_UNREADABLE'],
    ['two instructions', 'RUN a\nCOPY --from=evil:1 /a /b', 'TRIGGER_UNREADABLE'],
    ['a name from an argument', 'RUN --mount=from=$OTHER,target=/t make', 'INPUT_UNRESOLVED'],
  ])('says that it cannot read %s', async (_, trigger, code) => {
    const images = { 'child:1': child, 'base:1': { ...BASE, onBuild: [trigger] }, 'evil:1': OTHER };
    expect((await inputsOf(images)).gaps).toContain(code);
  });
});
