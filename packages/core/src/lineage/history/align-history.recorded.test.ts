import { readFileSync } from 'node:fs';
import type { ExecutionConfig, HistoryEntry } from '@imagevet/registry';
import { describe, expect, test } from 'vitest';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { SAMPLES } from './__fixtures__/dockerfiles.ts';
import { mutationsOf } from './__fixtures__/mutations.ts';
import { type AlignHistoryOptions, alignHistory } from './align-history.ts';

interface Built {
  readonly layers: number;
  readonly execution: ExecutionConfig;
  readonly history: readonly HistoryEntry[];
}
type Builder = 'classic' | 'buildkit';

const HISTORIES: Readonly<Record<Builder, Readonly<Record<string, Built>>>> = JSON.parse(
  readFileSync(new URL('./__fixtures__/histories.json', import.meta.url), 'utf8'),
);

const cases = (['classic', 'buildkit'] as const).flatMap((builder) =>
  Object.entries(SAMPLES).flatMap(([name, { dockerfile }]) => {
    const built = HISTORIES[builder][name];
    return built === undefined ? [] : [{ builder, name, dockerfile, built }];
  }),
);

/** What is known once the base is proven. */
function optionsOf(builder: Builder, dockerfile: string, { layers }: Built): AlignHistoryOptions {
  const base = parseDockerfile(dockerfile).stages.find((stage) => stage.base.kind === 'image')?.base;
  const parent = HISTORIES[builder][base?.text.replace(':1', '') ?? ''];
  if (parent === undefined) return { parentEntries: 0, layers };
  return { parentEntries: parent.history.length, base: parent.execution, layers };
}

describe('alignHistory() of recorded histories', () => {
  test.each(cases)('finds $name of the $builder builder consistent', ({ builder, dockerfile, built }) => {
    const parsed = parseDockerfile(dockerfile);
    const options = optionsOf(builder, dockerfile, built);
    for (const known of [options, { layers: built.layers }]) {
      const { consistency, inconsistency, instructions } = alignHistory(parsed, built.history, known);
      expect(inconsistency).toBeUndefined();
      expect(consistency).toBe('consistent');
      const entries = instructions.map(({ history }) => history);
      const own = built.history.map((_entry, index) => index);
      expect(entries).toEqual(own.slice(own.length - entries.length));
    }
    const { instructions } = alignHistory(parsed, built.history, options);
    expect(instructions.map(({ history }) => history)[0] ?? built.history.length).toBe(options.parentEntries);
  });

  test.each(cases)(
    'finds where each wrong $name of the $builder builder is wrong',
    ({ builder, dockerfile, built }) => {
      const options = optionsOf(builder, dockerfile, built);
      const missed: string[] = [];
      for (const mutation of mutationsOf(dockerfile, builder)) {
        const { inconsistency } = alignHistory(parseDockerfile(mutation.dockerfile), built.history, options);
        const [first, last] = mutation.lines;
        const line = inconsistency?.line ?? (inconsistency === undefined ? -1 : first);
        if (line < first || line > last) missed.push(`${mutation.name}: ${inconsistency?.message}`);
      }
      expect(missed).toEqual([]);
    },
  );
});
