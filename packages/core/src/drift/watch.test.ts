import type { Resolver } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CoreError } from '../errors.ts';
import type { Lineage } from '../lineage/types.ts';
import { type Family, startFamily } from './__fixtures__/family.ts';
import { type DriftNotice, type WatchOptions, watch } from './watch.ts';

let family: Family;
let down: boolean;
let stop: AbortController;

beforeEach(async () => {
  down = false;
  stop = new AbortController();
  family = await startFamily({
    intercept: (_request, response) => {
      if (down) response.destroy();
      return down;
    },
  });
});

afterEach(() => family.registry.close());

const id = (name: string) => `${family.text(name)} linux/amd64`;
const start = (lineages: readonly Lineage[], options: Partial<WatchOptions> = {}) =>
  watch(lineages, { source: family.client, intervalMs: 10, signal: stop.signal, ...options });
const next = async (notices: AsyncGenerator<DriftNotice, never, void>): Promise<DriftNotice> =>
  (await notices.next()).value;

/** Counts the looks, so that a test can wait for some of them. */
function looks(name: string): { readonly source: Resolver; after(count: number): Promise<void> } {
  let seen = 0;
  let waiting: { readonly until: number; readonly done: () => void } | undefined;
  return {
    source: {
      resolve: (reference, options) =>
        family.client.resolve(reference, options).finally(() => {
          if (reference.repository === name) seen += 1;
          if (waiting !== undefined && seen >= waiting.until) waiting.done();
        }),
    },
    after: (count) =>
      new Promise((done) => {
        waiting = { until: seen + count, done };
      }),
  };
}

describe('watch()', () => {
  test('yields a move once, with the lineage before and now, and goes on from there', async () => {
    await family.push('base:1');
    await family.push('app:1', { base: 'base:1' });
    const lineage = await family.lineage('app:1');
    const asked: string[] = [];
    const notices = start([lineage], {
      resolve: async (reference, { platform, signal }) => {
        asked.push(`${reference} ${platform.architecture}`);
        expect(signal).toBe(stop.signal);
        return family.lineage('app:1');
      },
    });
    await family.push('base:1', { content: 'new' });
    const [first, second] = [await next(notices), await next(notices)];
    expect(first.event).toMatchObject({ type: 'tag-moved', reference: family.text('base:1') });
    expect(second.event).toMatchObject({ type: 'base-moved', child: id('app:1') });
    expect(asked).toEqual([`${family.text('app:1')} amd64`]);
    const [drifted] = first.lineages;
    expect(drifted?.lineage).toBe(lineage);
    expect(drifted?.now?.nodes[1]?.image?.index?.digest).toBe((first.event as { now?: string }).now);
    expect(second.lineages).toEqual(first.lineages);

    await family.push('app:1', { base: 'base:1', content: 'built again' });
    const third = await next(notices);
    expect(third.event).toMatchObject({ type: 'tag-moved', reference: family.text('app:1') });
    expect(third.lineages[0]?.lineage).toBe(drifted?.now);
    expect(Number.isNaN(Date.parse(third.seenAt))).toBe(false);
  });

  test('does not repeat an event while it lasts, without resolve too', async () => {
    await family.push('app:1');
    const { source, after } = looks('app');
    const notices = start([await family.lineage('app:1')], { source });
    await family.push('app:1', { content: 'new' });
    const first = await next(notices);
    expect(first.lineages[0]).not.toHaveProperty('now');
    const second = next(notices);
    await after(3);
    await family.push('app:1', { content: 'newer' });
    expect((await second).event).toMatchObject({
      type: 'tag-moved',
      was: (first.event as { was?: string }).was,
    });
  });

  test('survives an outage: one event while it lasts, no old move again, and the new one after it', async () => {
    await family.push('base:1');
    await family.push('app:1', { base: 'base:1' });
    const { source, after } = looks('base');
    const notices = start([await family.lineage('app:1')], { source });
    await family.push('base:1', { content: 'new' });
    const before = [await next(notices), await next(notices)];
    expect(before.map(({ event }) => event.type)).toEqual(['tag-moved', 'base-moved']);

    down = true;
    const outage = [await next(notices), await next(notices)];
    expect(outage.map(({ event }) => event)).toMatchObject([
      { type: 'unreachable', reference: family.text('app:1') },
      { type: 'unreachable', reference: family.text('base:1'), error: { code: 'UNREACHABLE' } },
    ]);
    const recovered = next(notices);
    await after(3);
    down = false;
    await after(3);
    await family.push('app:1', { base: 'base:1', content: 'built again' });
    expect((await recovered).event).toMatchObject({ type: 'tag-moved', reference: family.text('app:1') });

    down = true;
    expect((await next(notices)).event.type).toBe('unreachable');
  });

  test('keeps the old lineage where it cannot be resolved again, and says why', async () => {
    await family.push('app:1');
    const lineage = await family.lineage('app:1');
    const notices = start([lineage], {
      resolve: async () => {
        throw new CoreError('SOURCE_UNREACHABLE', 'nobody answers', { hint: 'Try again.' });
      },
    });
    await family.push('app:1', { content: 'new' });
    const { lineages } = await next(notices);
    const failure = { code: 'SOURCE_UNREACHABLE', message: 'nobody answers', hint: 'Try again.' };
    expect(lineages).toEqual([{ lineage, failure }]);
  });

  test('takes what a name shows at first for what it was, when no lineage says what it was', async () => {
    const { manifest } = await family.push('base:1');
    family.claim('app:1', { base: { reference: family.text('base:1'), digest: manifest.digest } });
    await family.push('app:1', { base: 'base:1' });
    const { source, after } = looks('base');
    const notices = start([await family.lineage('app:1')], { source });
    const was = (await family.client.resolve(family.name('base:1'))).digest;
    const first = next(notices);
    await after(2);
    await family.push('base:1', { content: 'new' });
    expect((await first).event).toMatchObject({ type: 'tag-moved', was });
  });

  test('ends with the reason of an abort, between two looks', async () => {
    await family.push('app:1');
    const { source, after } = looks('app');
    const reason = new Error('enough');
    const notice = next(start([await family.lineage('app:1')], { source, intervalMs: 2 ** 31 - 1 }));
    await after(1);
    stop.abort(reason);
    await expect(notice).rejects.toBe(reason);
  });

  test('ends with the reason of an abort while it resolves again', async () => {
    await family.push('app:1');
    const reason = new Error('enough');
    const notices = start([await family.lineage('app:1')], {
      resolve: async () => {
        stop.abort(reason);
        throw new CoreError('SOURCE_UNREACHABLE', 'nobody answers');
      },
    });
    await family.push('app:1', { content: 'new' });
    await expect(next(notices)).rejects.toBe(reason);
  });

  test('resolves no more lineages at a time than it may', async () => {
    await family.push('base:1');
    const names = Array.from({ length: 9 }, (_, index) => `app:${index}`);
    for (const name of names) await family.push(name, { base: 'base:1' });
    const lineages = await Promise.all(names.map((name) => family.lineage(name)));
    await family.push('base:1', { content: 'new' });
    let running = 0;
    let most = 0;
    const notices = start([...lineages, ...lineages], {
      concurrency: 3,
      resolve: async (reference) => {
        running += 1;
        most = Math.max(most, running);
        return family.lineage(reference.slice(reference.lastIndexOf('/') + 1)).finally(() => {
          running -= 1;
        });
      },
    });
    const { event, lineages: drifted } = await next(notices);
    expect(event.type).toBe('tag-moved');
    expect(drifted).toHaveLength(9);
    expect(most).toBe(3);
  });

  test.each([0, 0.5, 2 ** 31])('refuses an interval of %s', async (intervalMs) => {
    await expect(start([], { intervalMs }).next()).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
  });
});
