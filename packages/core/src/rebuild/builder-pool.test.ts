import { setTimeout as delay } from 'node:timers/promises';
import { digestOf } from '@imagevet/registry';
import { describe, expect, test } from 'vitest';
import { CoreError } from '../errors.ts';
import { builderPool } from './builder-pool.ts';
import type { Builder, BuildRequest, BuiltImage } from './types.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const target = { registry: 'registry.internal', repository: 'a', tag: '1' };
const request: BuildRequest = { dockerfile: 'FROM scratch', context: [], platform, target };
const digest = digestOf('x');
const image: BuiltImage = {
  reference: { ...target, digest },
  descriptor: { mediaType: 'm', digest, size: 1 },
  diffIds: [],
  imageId: digest,
};

/** A builder that counts, and does as it is told. */
function counting(build: (signal?: AbortSignal) => Promise<void> = () => delay(20)) {
  const builder = {
    name: 'counting',
    running: 0,
    most: 0,
    built: 0,
    released: 0,
    probe: async () => ({ name: 'counting', version: '1', platform }),
    build: async (_request: BuildRequest, options: { readonly signal?: AbortSignal } = {}) => {
      builder.running += 1;
      builder.built += 1;
      builder.most = Math.max(builder.most, builder.running);
      try {
        await build(options.signal);
        return image;
      } finally {
        builder.running -= 1;
      }
    },
    release: async () => {
      builder.released += 1;
    },
  } satisfies Builder & Record<string, unknown>;
  return builder;
}

describe('builderPool()', () => {
  test('keeps every builder busy, and none with more than it may have', async () => {
    const builders = [counting(), counting(), counting()];
    const pool = builderPool(builders, { each: 2 });
    await Promise.all(Array.from({ length: 24 }, () => pool.build(request)));
    expect(builders.map(({ most }) => most)).toEqual([2, 2, 2]);
    expect(builders.reduce((sum, { built }) => sum + built, 0)).toBe(24);
    for (const { built } of builders) expect(built).toBeGreaterThan(4);
    await pool.release?.();
    expect(builders.map(({ released }) => released)).toEqual([1, 1, 1]);
  });

  test('gives a build to the builder with the least to do, and refuses builders that build differently', async () => {
    const busy = Promise.withResolvers<void>();
    const [one, other] = [counting(() => busy.promise), counting(() => busy.promise)];
    const pool = builderPool([one, other], { each: 3 });
    const builds = Array.from({ length: 4 }, () => pool.build(request));
    await delay(10);
    expect([one.running, other.running]).toEqual([2, 2]);
    busy.resolve();
    await Promise.all(builds);
    expect(() => builderPool([counting(), { ...counting(), variant: 'SOURCE_DATE_EPOCH=1' }])).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    );
  });

  test('leaves a builder alone whose engine went away', async () => {
    const gone = counting(async () => {
      throw new CoreError('ENGINE_LOST', 'gone');
    });
    const there = counting();
    const pool = builderPool([gone, there]);
    await expect(pool.build(request)).rejects.toThrow(expect.objectContaining({ code: 'ENGINE_LOST' }));
    await Promise.all(Array.from({ length: 4 }, () => pool.build(request).catch(() => {})));
    expect(there.built).toBeGreaterThanOrEqual(3);
    expect(there.most).toBe(1);
    const back = builderPool([gone], { restMs: 60_000 });
    for (let time = 0; time < 2; time += 1)
      await expect(back.build(request)).rejects.toThrow(expect.objectContaining({ code: 'ENGINE_LOST' }));
  });

  test('a failing build says nothing against its engine', async () => {
    const failing = counting(async () => {
      throw new CoreError('BUILD_FAILED', 'no');
    });
    const pool = builderPool([failing, counting()]);
    for (let time = 0; time < 2; time += 1)
      await expect(pool.build(request)).rejects.toThrow(expect.objectContaining({ code: 'BUILD_FAILED' }));
    expect(failing.built).toBe(2);
  });

  test('who gives up while waiting leaves the line, and the next goes on', async () => {
    const pool = builderPool([counting(() => delay(50))]);
    const abort = new AbortController();
    const first = pool.build(request);
    const second = pool.build(request, { signal: abort.signal });
    const third = pool.build(request);
    const reason = new CoreError('SOURCE_DENIED', 'enough');
    abort.abort(reason);
    await expect(second).rejects.toBe(reason);
    await expect(Promise.all([first, third])).resolves.toHaveLength(2);
  });

  test('answers while one of its engines does, and refuses when none does', async () => {
    const gone: Builder = {
      ...counting(),
      probe: async () => {
        throw new CoreError('ENGINE_UNREACHABLE', 'no engine');
      },
    };
    expect(await builderPool([gone, counting()]).probe()).toMatchObject({ name: '1 of 2 engines' });
    await expect(builderPool([gone, gone]).probe()).rejects.toThrow(
      expect.objectContaining({ code: 'ENGINE_UNREACHABLE' }),
    );
    expect(() => builderPool([])).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
    expect(() => builderPool([counting()], { each: 0 })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    );
  });
});
