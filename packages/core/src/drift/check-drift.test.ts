import { formatReference, type Resolver } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Family, startFamily } from './__fixtures__/family.ts';
import { checkDrift } from './check-drift.ts';

let family: Family;

beforeEach(async () => {
  family = await startFamily();
});

afterEach(() => family.registry.close());

const id = (name: string) => `${family.text(name)} linux/amd64`;
const digestOf = async (name: string) => (await family.client.resolve(family.name(name))).digest;
const check = async (...names: readonly string[]) => {
  const lineages = await Promise.all(names.map((name) => family.lineage(name)));
  return (options: Partial<Parameters<typeof checkDrift>[1]> = {}) =>
    checkDrift(lineages, { source: family.client, ...options });
};

describe('checkDrift()', () => {
  test('says nothing of what is as it was, by one HEAD for each reference and no GET', async () => {
    await family.push('base:1');
    await family.push('app:1', { base: 'base:1' });
    const look = await check('app:1');
    const from = family.registry.requests.length;
    const report = await look();
    const asked = [...family.asked(from)].sort();
    expect(asked).toEqual(['HEAD /v2/app/manifests/1', 'HEAD /v2/base/manifests/1']);
    expect(report.events).toEqual([]);
    expect(report.references).toEqual([
      { reference: family.text('app:1'), state: 'unchanged', now: await digestOf('app:1') },
      { reference: family.text('base:1'), state: 'unchanged', now: await digestOf('base:1') },
    ]);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  test('reports a tag that moved, with index digests and all that is built on it', async () => {
    await family.push('base:1');
    await family.push('app:1', { base: 'base:1' });
    const was = await digestOf('app:1');
    const look = await check('app:1');
    await family.push('app:1', { base: 'base:1', content: 'new' });
    const now = await digestOf('app:1');
    const { events } = await look();
    expect(events).toEqual([
      { type: 'tag-moved', reference: family.text('app:1'), was, now, affects: [id('app:1')] },
    ]);
  });

  test('reports a base that moved under a child that did not', async () => {
    await family.push('base:1');
    await family.push('app:1', { base: 'base:1' });
    const was = await digestOf('base:1');
    const look = await check('app:1');
    await family.push('base:1', { content: 'new' });
    const now = await digestOf('base:1');
    const { events } = await look();
    const base = family.text('base:1');
    expect(events).toEqual([
      { type: 'tag-moved', reference: base, was, now, affects: [id('app:1'), id('base:1')] },
      { type: 'base-moved', child: id('app:1'), base, was, now },
    ]);
  });

  test('reports no moved base under a child that was built again', async () => {
    await family.push('base:1');
    await family.push('app:1', { base: 'base:1' });
    const look = await check('app:1');
    await family.push('base:1', { content: 'new' });
    await family.push('app:1', { base: 'base:1', content: 'new' });
    expect((await look()).events.map(({ type }) => type)).toEqual(['tag-moved', 'tag-moved']);
  });

  test('asks a shared ancestor once, and reports it once with everything above it', async () => {
    await family.push('base:1');
    for (const middle of ['left:1', 'right:1']) {
      await family.push(middle, { base: 'base:1' });
      await family.push(`${middle.slice(0, -2)}-app:1`, { base: middle });
    }
    const look = await check('left-app:1', 'right-app:1', 'left:1');
    await family.push('base:1', { content: 'new' });
    const from = family.registry.requests.length;
    const { events } = await look();
    const heads = family.asked(from);
    expect(heads.filter((request) => request === 'HEAD /v2/base/manifests/1')).toHaveLength(1);
    expect(heads).toHaveLength(5);
    const moved = events.filter(({ type }) => type === 'tag-moved');
    expect(moved).toMatchObject([
      { affects: ['left-app:1', 'left:1', 'base:1', 'right-app:1', 'right:1'].map(id) },
    ]);
    const bases = events.flatMap((event) => (event.type === 'base-moved' ? [event.child] : []));
    expect(bases).toEqual([id('left:1'), id('right:1')]);
  });

  test('tells lineages apart that were resolved before and after a move', async () => {
    await family.push('app:1');
    const before = await family.lineage('app:1');
    const was = await digestOf('app:1');
    await family.push('app:1', { content: 'new' });
    const after = await family.lineage('app:1');
    const { events } = await checkDrift([before, after], { source: family.client });
    expect(events).toMatchObject([{ type: 'tag-moved', was, now: await digestOf('app:1') }]);
    expect((await checkDrift([after], { source: family.client })).events).toEqual([]);
  });

  test('reports a tag that named a manifest and now names an index', async () => {
    const { manifest } = await family.push('app:1', { bare: true });
    const look = await check('app:1');
    await family.push('app:1');
    expect((await look()).events).toMatchObject([{ type: 'tag-moved', was: manifest.digest }]);
  });

  test("does not hold a platform's manifest against an index", async () => {
    const { manifest } = await family.push('base:1');
    await family.push('app:1', { base: 'base:1' });
    const reference = formatReference(family.name('base:1'));
    family.claim('app:1', { base: { reference, digest: manifest.digest } });
    const { events, references } = await (await check('app:1'))();
    expect(events).toEqual([]);
    expect(references).toMatchObject([{ state: 'unchanged' }, { reference, state: 'unknown' }]);
  });

  test('attack row 24: a tag, a pinned digest and a whole repository that are gone are gone, not moved', async () => {
    await family.push('pinned:1');
    const digest = await digestOf('pinned:1');
    family.claim('app:1', { base: { reference: `${family.text('pinned:1')}@${digest}` } });
    await family.push('app:1');
    await family.push('other:1');
    const look = await check('app:1', 'other:1');
    const was = await digestOf('other:1');
    await family.client.deleteManifest({ ...family.name('other:1'), digest: was });
    await family.client.deleteManifest({ ...family.name('pinned:1'), digest });
    const { events, references } = await look();
    const pinned = `${family.text('pinned:1')}@${digest}`;
    const affects = [id('app:1'), `${pinned} linux/amd64`];
    expect(events).toEqual([
      { type: 'upstream-gone', reference: family.text('pinned:1'), was: digest, affects },
      { type: 'upstream-gone', reference: pinned.replace(':1@', '@'), was: digest, affects },
      { type: 'upstream-gone', reference: family.text('other:1'), was, affects: [id('other:1')] },
    ]);
    expect(references.map(({ state }) => state)).toEqual(['unchanged', 'gone', 'gone', 'gone']);
  });

  test('reports what could not be asked, never as unchanged', async () => {
    await family.push('base:1');
    await family.push('app:1', { base: 'base:1' });
    const look = await check('app:1');
    const source: Resolver = {
      resolve: (reference, options) =>
        family.client.resolve({ ...reference, registry: '127.0.0.1:1' }, options),
    };
    const { events, references } = await look({ source });
    expect(events).toMatchObject([
      { type: 'unreachable', reference: family.text('app:1'), error: { code: 'UNREACHABLE' } },
      { type: 'unreachable', reference: family.text('base:1'), affects: [id('app:1'), id('base:1')] },
    ]);
    expect(references.map(({ state }) => state)).toEqual(['unreachable', 'unreachable']);
  });

  test('asks 1000 references, no more at a time than it may', async () => {
    await family.push('app:1');
    const lineage = await family.lineage('app:1');
    const [node] = lineage.nodes;
    const lineages = Array.from({ length: 1000 }, (_, index) => {
      const reference = family.name(`many:${index}`);
      return { ...lineage, nodes: [{ ...node!, reference }] };
    });
    let running = 0;
    let most = 0;
    const source: Resolver = {
      async resolve(reference, options) {
        running += 1;
        most = Math.max(most, running);
        return family.client.resolve(reference, options).finally(() => {
          running -= 1;
        });
      },
    };
    const from = family.registry.requests.length;
    const { events } = await checkDrift(lineages, { source, concurrency: 16 });
    expect(family.asked(from)).toHaveLength(1000);
    expect(family.asked(from).every((request) => request.startsWith('HEAD '))).toBe(true);
    expect(events.filter(({ type }) => type === 'upstream-gone')).toHaveLength(1000);
    expect(most).toBe(16);
  });

  test('rejects with the reason of an abort, and asks no more', async () => {
    await family.push('base:1');
    await family.push('app:1', { base: 'base:1' });
    const look = await check('app:1');
    const stop = new AbortController();
    const reason = new Error('enough');
    const from = family.registry.requests.length;
    const source: Resolver = {
      resolve: (reference, options) => {
        const answer = family.client.resolve(reference, options);
        stop.abort(reason);
        return answer;
      },
    };
    await expect(look({ source, concurrency: 1, signal: stop.signal })).rejects.toBe(reason);
    expect(family.asked(from).length).toBeLessThan(2);
  });

  test.each([0, 1.5, Number.NaN])('refuses a concurrency of %s', async (concurrency) => {
    await expect(checkDrift([], { source: family.client, concurrency })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
    });
  });
});
