import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { digestOf } from '@imagevet/registry';
import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createMemoryRotationJournal, rotateKey } from '../collection/rotation.ts';
import { TrustedCollection } from '../collection/trusted-collection.ts';
import { TrustError } from '../errors.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import { signTag, signTags } from '../sign.ts';
import { type RunningNotary, startNotary } from '../testing/notary.ts';
import { listTrusted, resolveTrusted } from '../verify.ts';
import { createMemoryTrustState, createTrustState, type TrustState } from './state.ts';

const collection = 'registry.example.com/app';
const temporary = mkdtempSync(join(tmpdir(), 'imagevet-state-'));
afterAll(() => rmSync(temporary, { recursive: true }));
const target = (tag: string, content = tag) => ({ tag, digest: digestOf(content), size: content.length });

describe('createTrustState()', () => {
  let notary: RunningNotary;
  let directory: string;
  let rootKeyIds: readonly string[];
  const keys = createKeyStore();
  const filesOf = () =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name));
  // Each time another process would: nothing is shared but the directory.
  const resolve = (tag = '1') =>
    resolveTrusted(
      { collection, tag },
      { server: notary.server, root: { keyIds: rootKeyIds }, state: createTrustState(directory) },
    );

  beforeEach(async () => {
    notary = await startNotary();
    directory = mkdtempSync(join(temporary, 's-'));
    const targets = ['1', '2', '3'].map((tag) => target(tag));
    ({ rootKeyIds } = await signTags({ collection, server: notary.server, keys, targets }));
  });
  afterEach(() => notary.close());

  /** Serves what was served before, whatever is published since. */
  function replayFrom(past: ReadonlyMap<string, Buffer>): void {
    notary.intercept = (request, reply) => {
      const body = past.get(request.path);
      return body === undefined ? reply : { ...reply, status: 200, body };
    };
  }

  async function recorded(read: () => Promise<unknown>): Promise<Map<string, Buffer>> {
    const past = new Map<string, Buffer>();
    notary.intercept = (request, reply) => {
      if (request.method === 'GET' && reply.status === 200) past.set(request.path, Buffer.from(reply.body));
      return reply;
    };
    await read();
    notary.intercept = undefined;
    return past;
  }

  test('many verifications at once, of one directory, all get their answer and leave one whole file', async () => {
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, index) => resolve(String(1 + (index % 3)))),
    );
    expect(answers.map(({ digest }) => digest)).toEqual(
      answers.map((_, index) => digestOf(String(1 + (index % 3)))),
    );
    expect(filesOf()).toHaveLength(1);
    expect(JSON.parse(readFileSync(filesOf()[0] ?? '', 'utf8'))).toMatchObject({ collection });
  });

  test('whoever writes last does not take back what is newer', async () => {
    const past = await recorded(() => resolve());
    const [older = ''] = filesOf();
    const state = (await createTrustState(directory).load(collection)) as TrustState;
    await signTag(target('1', 'new'), { collection, server: notary.server, keys });
    await resolve();
    expect(filesOf()).not.toContain(older);
    // Somebody who had begun before, and was slow.
    await createTrustState(directory).save(collection, state);
    replayFrom(past);
    await expect(resolve()).rejects.toMatchObject({ code: 'ROLLBACK' });
    notary.intercept = undefined;
    expect((await resolve()).digest).toBe(digestOf('new'));
  });

  test.each(['timestamp', 'root'])(
    'a verification that was overtaken remembers nothing over a newer %s',
    async (what) => {
      const store = createMemoryTrustState();
      const options = { server: notary.server, root: { keyIds: rootKeyIds } };
      const past = await recorded(() => resolve());
      const own = { server: notary.server, keys };
      if (what === 'timestamp') await signTag(target('1', 'new'), { collection, ...own });
      else await rotateKey(collection, 'timestamp', { ...own, journal: createMemoryRotationJournal() });
      await resolveTrusted({ collection, tag: '1' }, { ...options, state: store });
      const newest = await store.load(collection);
      replayFrom(past);
      let loads = 0;
      const overtaken = {
        load: async () => (loads++ === 0 ? undefined : store.load(collection)),
        save: store.save,
      };
      expect((await resolveTrusted({ collection, tag: '1' }, { ...options, state: overtaken })).digest).toBe(
        digestOf('1'),
      );
      expect(loads).toBe(2);
      expect(await store.load(collection)).toBe(newest);
    },
  );

  test('a state of one file, as it was kept before there were folders, is no first contact', async () => {
    const past = await recorded(() => resolve());
    await signTag(target('1', 'new'), { collection, server: notary.server, keys });
    await resolve();
    const [newest = ''] = filesOf();
    const former = `${dirname(newest)}.json`;
    renameSync(newest, former);
    rmdirSync(dirname(newest));
    replayFrom(past);
    await expect(resolve()).rejects.toMatchObject({ code: 'ROLLBACK' });
    const other = {
      server: notary.server,
      root: { firstUse: true },
      state: createTrustState(directory),
    } as const;
    await expect(resolveTrusted({ collection, tag: '1' }, other)).rejects.toMatchObject({ code: 'ROLLBACK' });
    const whole = readFileSync(former, 'utf8');
    writeFileSync(former, whole.slice(1));
    await expect(resolve()).rejects.toMatchObject({ code: 'MALFORMED' });
    writeFileSync(former, whole);
    notary.intercept = undefined;
    await signTag(target('1', 'newer'), { collection, server: notary.server, keys });
    expect((await resolve()).digest).toBe(digestOf('newer'));
    expect(filesOf()).toHaveLength(2);
    // What is newer counts, though the former file stays.
    expect((await createTrustState(directory).load(collection))?.files.timestamp).toContain('"version":3');
  });

  test.each(['directory', 'memory'])(
    'a state in a %s only moves forward, by the root and then by the timestamp',
    async (where) => {
      const store = where === 'memory' ? createMemoryTrustState() : createTrustState(directory);
      const seen: TrustState[] = [];
      const see = async () => {
        const state = createMemoryTrustState();
        const options = { server: notary.server, root: { keyIds: rootKeyIds }, state };
        await resolveTrusted({ collection, tag: '1' }, options);
        seen.push((await state.load(collection)) as TrustState);
      };
      const own = { server: notary.server, keys };
      await see();
      await signTag(target('1', 'new'), { collection, ...own });
      await see();
      await rotateKey(collection, 'timestamp', { ...own, journal: createMemoryRotationJournal() });
      await see();
      const [first, second, rotated] = seen as [TrustState, TrustState, TrustState];
      // The new key's timestamps may start anew: their number says nothing against the root's.
      const { timestamp: _, ...anew } = rotated.files;
      for (const [state, expected] of [
        [second, second],
        [first, second],
        [{ ...rotated, files: anew }, anew],
        [second, anew],
        [rotated, rotated],
        [first, rotated],
      ] as const) {
        await store.save(collection, state);
        const files = 'files' in expected ? expected.files : expected;
        expect((await store.load(collection))?.files).toEqual(files);
      }
    },
  );

  test('a root that is remembered late takes nothing back that was seen meanwhile', async () => {
    const store = createMemoryTrustState();
    const options = { server: notary.server, root: { keyIds: rootKeyIds }, state: store };
    const own = { server: notary.server, keys };
    await resolveTrusted({ collection, tag: '1' }, options);
    const slow = (await store.load(collection)) as TrustState;
    await rotateKey(collection, 'targets', { ...own, journal: createMemoryRotationJournal() });
    await signTag(target('1', 'new'), { collection, ...own });
    await resolveTrusted({ collection, tag: '1' }, options);
    const newest = await store.load(collection);
    // It loaded before the rotation; what it finds below the new root is held back.
    notary.intercept = (request, reply) =>
      /\/targets\./.test(request.path) ? { ...reply, status: 404, body: Buffer.from('{}') } : reply;
    const late = { load: async () => slow, save: store.save };
    await expect(resolveTrusted({ collection, tag: '1' }, { ...options, state: late })).rejects.toMatchObject(
      { code: 'MISSING_METADATA' },
    );
    expect(await store.load(collection)).toBe(newest);
  });

  test('keeps the releases another verification of the same snapshot looked at', async () => {
    const alice = await keys.generate({ role: 'alice' });
    const draft = () => new TrustedCollection(collection, { server: notary.server, keys });
    await draft().addSigner('alice', [alice.publicKey]).publish();
    await signTag(target('9'), { collection, server: notary.server, keys });
    const store = createTrustState(directory);
    const options = { server: notary.server, root: { keyIds: rootKeyIds }, state: store };
    // This one saw the state before the other had looked at the releases, and saves after it.
    const early = { load: async () => undefined, save: store.save };
    await listTrusted({ collection }, options);
    const before = await store.load(collection);
    expect(Object.keys(before?.files ?? {})).toContain('targets/releases');
    let loads = 0;
    const racing = { ...early, load: async () => (loads++ === 0 ? undefined : store.load(collection)) };
    await resolveTrusted({ collection, tag: '1' }, { ...options, state: racing, roles: ['targets'] });
    expect((await store.load(collection))?.files).toEqual(before?.files);
  });

  test.each([
    ['emptied', () => ''],
    ['cut off', (text: string) => text.slice(0, -10)],
    [
      'of another collection',
      (text: string) => text.replace('registry.example.com/app', 'registry.example.com/b'),
    ],
    ['with a file that is no text', (text: string) => text.replace(/"root":"/, '"root":1,"x":"')],
    ['with a file that is no metadata', (text: string) => text.replace(/"root":"/, '"root":"x')],
  ])('a file that is %s is told, and never taken for a first contact', async (_, damage) => {
    await resolve();
    const [path = ''] = filesOf();
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, damage(text));
    await expect(resolve()).rejects.toMatchObject({ code: 'MALFORMED' });
    writeFileSync(path, text);
    expect((await resolve()).digest).toBe(digestOf('1'));
  });

  test('answers any text in its file with a state or MALFORMED', async () => {
    await resolve();
    const [path = ''] = filesOf();
    const whole = readFileSync(path, 'utf8');
    const altered = fc
      .tuple(fc.nat(whole.length - 1), fc.string({ maxLength: 3 }))
      .map(([at, text]) => `${whole.slice(0, at)}${text}${whole.slice(at + 1)}`);
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.json(), altered), async (text) => {
        writeFileSync(path, text);
        const outcome = await createTrustState(directory)
          .load(collection)
          .catch((error: unknown) => error);
        if (outcome instanceof TrustError) expect(outcome.code).toBe('MALFORMED');
        else
          expect(
            Object.values((outcome as TrustState).files).every((value) => typeof value === 'string'),
          ).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
