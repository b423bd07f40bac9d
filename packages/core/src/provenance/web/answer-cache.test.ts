import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AnswerCache, type KeptAnswer } from './answer-cache.ts';

const KEY = 'https://api.example/x';

let directory: string;
let problems: Error[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-answers-'));
  problems = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (options: { readonly maxBytes?: number; readonly secret?: string } = {}) =>
  new AnswerCache({ directory, onProblem: (problem) => problems.push(problem), ...options });

const answer = (body: string | Uint8Array, extra: Partial<KeptAnswer> = {}): KeptAnswer => ({
  ...{ status: 200, headers: { etag: '"1"' }, url: KEY, storedAt: '2026-01-01T00:00:00.000Z' },
  body: Buffer.from(body as Uint8Array),
  ...extra,
});

/** Every file that is kept. */
const files = () =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describe('AnswerCache', () => {
  it('gives back what it was given, in this process and the next', async () => {
    await open().put(KEY, answer('hello'));
    expect(await open().get(KEY)).toEqual(answer('hello'));
    expect(await open().get('https://api.example/y')).toBeUndefined();
    await open().put(KEY, answer('', { status: 404 }));
    expect(await open().get(KEY)).toEqual(answer('', { status: 404 }));
    await open().remove(KEY);
    expect(await open().get(KEY)).toBeUndefined();
    expect(problems).toEqual([]);
    expect(files()).toEqual([]);
  });

  it('keeps what is its owner’s to itself', async () => {
    await open().put(KEY, answer('private'));
    expect(files().map((path) => statSync(path).mode & 0o077)).toEqual([0]);
  });

  it('refuses a file of which any byte is another, is missing or was added', async () => {
    const cache = open();
    await cache.put(KEY, answer('what the commit has'));
    const [path = ''] = files();
    const sound = readFileSync(path);
    await fc.assert(
      fc.asyncProperty(fc.nat(sound.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = Buffer.from(sound);
        changed[at] = changed[at]! ^ flip;
        for (const bytes of [
          changed,
          sound.subarray(0, at),
          Buffer.concat([sound, changed.subarray(0, flip)]),
        ]) {
          writeFileSync(path, bytes);
          expect(await cache.get(KEY)).toBeUndefined();
          expect(await cache.stream(KEY)).toBeUndefined();
        }
      }),
      { numRuns: 60 },
    );
    expect(problems.every(({ message }) => message.includes('damaged'))).toBe(true);
    expect(problems.length).toBeGreaterThan(100);
    writeFileSync(path, sound);
    expect(await cache.get(KEY)).toEqual(answer('what the commit has'));
  });

  it('refuses the answer to another question in its place', async () => {
    await open().put(KEY, answer('one'));
    const [one = ''] = files();
    const bytes = readFileSync(one);
    rmSync(one);
    await open().put(`${KEY}/other`, answer('other'));
    writeFileSync(files()[0]!, bytes);
    expect(await open().get(`${KEY}/other`)).toBeUndefined();
  });

  it('refuses what somebody wrote who does not know its secret, checksum and all', async () => {
    await open({ secret: 'theirs' }).put(KEY, answer('forged'));
    expect(await open({ secret: 'ours' }).get(KEY)).toBeUndefined();
    await open().put(KEY, answer('forged'));
    expect(await open({ secret: 'ours' }).get(KEY)).toBeUndefined();
    await open({ secret: 'ours' }).put(KEY, answer('true'));
    expect(await open({ secret: 'ours' }).get(KEY)).toEqual(answer('true'));
  });

  it('keeps a body that was passed on whole, and none that broke off or was left', async () => {
    const cache = open();
    const { body: _, ...described } = answer('');
    async function* chunks(fail: boolean) {
      yield Buffer.from('one ');
      yield Buffer.from('two');
      if (fail) throw new Error('lost');
    }
    const pass = async (fail: boolean, stopAt: number) => {
      let count = 0;
      for await (const _chunk of cache.pass(KEY, described, chunks(fail))) if (++count === stopAt) break;
    };
    await expect(pass(true, 9)).rejects.toThrow('lost');
    expect([await cache.get(KEY), files()]).toEqual([undefined, []]);
    await pass(false, 1);
    expect([await cache.get(KEY), files()]).toEqual([undefined, []]);
    await pass(false, 9);
    const kept = await cache.stream(KEY);
    const read: Uint8Array[] = [];
    for await (const chunk of kept!.body) read.push(chunk);
    expect(Buffer.concat(read).toString()).toBe('one two');
  });

  it('holds no more than its limit; what was used last stays', async () => {
    const cache = open({ maxBytes: 200_000 });
    const body = Buffer.alloc(30_000);
    const put = async (index: number) => {
      await cache.put(`${KEY}/${index}`, answer(body));
      // What is on disk decides, not what this process remembers.
      for (const path of files()) {
        const { mtimeMs } = statSync(path);
        utimesSync(path, new Date(), new Date(mtimeMs - 10_000));
      }
      await cache.get(`${KEY}/0`);
    };
    for (let index = 0; index < 30; index += 1) await put(index);
    const bytes = files().reduce((sum, path) => sum + statSync(path).size, 0);
    expect(bytes).toBeLessThanOrEqual(200_000 + 31_000);
    expect(await cache.get(`${KEY}/0`)).toBeDefined();
    expect(await cache.get(`${KEY}/29`)).toBeDefined();
    expect(await cache.get(`${KEY}/1`)).toBeUndefined();
  });

  it('does not keep what is too large for it, and passes it on all the same', async () => {
    const cache = open({ maxBytes: 10_000 });
    const { body: _, ...described } = answer('');
    let passed = 0;
    for await (const chunk of cache.pass(KEY, described, [Buffer.alloc(4000), Buffer.alloc(4000)]))
      passed += chunk.byteLength;
    expect([passed, await cache.get(KEY), files()]).toEqual([8000, undefined, []]);
    expect(problems[0]?.message).toMatch(/too large/);
  });

  it('fails nobody when it cannot write', async () => {
    writeFileSync(join(directory, 'new'), 'a file where a folder should be');
    await open().put(KEY, answer('x'));
    expect(problems.length).toBeGreaterThan(0);
    expect(await open().get(KEY)).toBeUndefined();
  });

  it('has whole answers only, though those who write are killed at any time', async () => {
    const program = `
      import { AnswerCache } from ${JSON.stringify(join(import.meta.dirname, 'answer-cache.ts'))};
      const cache = new AnswerCache({ directory: ${JSON.stringify(directory)} });
      const body = Buffer.alloc(3_000_000, 'x');
      for (let index = 0; ; index = (index + 1) % 4) {
        await cache.put('key ' + index, { status: 200, headers: {}, url: 'x', storedAt: 'x', body });
        console.log('kept');
      }
    `;
    for (let round = 0; round < 4; round += 1) {
      const child = spawn(process.execPath, [
        '--conditions=@imagevet/source',
        '--input-type=module',
        '-e',
        program,
      ]);
      // It is in the middle of the next one by then.
      await once(child.stdout, 'data');
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    }
    const cache = open();
    const kept = await Promise.all([0, 1, 2, 3].map((index) => cache.get(`key ${index}`)));
    expect(kept.filter((one) => one !== undefined).length).toBeGreaterThan(0);
    expect(kept.every((one) => one === undefined || one.body.equals(Buffer.alloc(3_000_000, 'x')))).toBe(
      true,
    );
    expect(problems).toEqual([]);
    // What was being written is removed once nobody can be writing it any more.
    for (const path of files()) if (path.includes('/new/')) utimesSync(path, new Date(0), new Date(0));
    await cache.put('last', answer('last'));
    expect(files().filter((path) => path.includes('/new/'))).toEqual([]);
  }, 60_000);
});
