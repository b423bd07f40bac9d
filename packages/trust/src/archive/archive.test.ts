import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '@imagevet/registry';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { notaryServers, type ServerUnderTest } from '../../test/servers.ts';
import { createMemoryRotationJournal, rotateKey } from '../collection/rotation.ts';
import { TrustedCollection } from '../collection/trusted-collection.ts';
import { TrustError } from '../errors.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import { signTag } from '../sign.ts';
import { startNotary } from '../testing/notary.ts';
import { resolveTrusted } from '../verify.ts';
import { archiveCollection } from './archive-collection.ts';
import { parseArchive, type TrustArchive } from './format.ts';
import { type OpenArchiveOptions, openArchive } from './open-archive.ts';

const DAY_MS = 86_400_000;
const target = (tag: string, content = tag) => ({ tag, digest: digestOf(content), size: content.length });
const temporary = mkdtempSync(join(tmpdir(), 'imagevet-archive-'));
const directoryOf = () => mkdtempSync(join(temporary, 'a-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const versionsOf = (archive: TrustArchive, role: string) =>
  archive.files.filter((file) => file.role === role).map(({ version }) => version);

/** Resolves a tag from an archive alone, as of a moment. */
async function resolveAsOf(
  directory: string,
  subject: { collection: string; tag: string },
  rootKeyIds: readonly string[],
  options: OpenArchiveOptions = {},
) {
  const server = await openArchive(directory, options);
  return resolveTrusted(subject, { server, root: { keyIds: rootKeyIds }, now: server.now });
}

describe.each(notaryServers)('an archive of $name', ({ start }) => {
  let running: ServerUnderTest;
  beforeAll(async () => {
    running = await start();
  });
  afterAll(() => running.close());

  test('holds every version of every role, and is verified offline, as of a day', async () => {
    const { server } = running;
    const collection = 'archive.example.com/app';
    const subject = { collection, tag: '1' };
    const [directory, keys] = [directoryOf(), createKeyStore()];
    const { rootKeyIds } = await signTag(target('1', 'old'), { collection, server, keys });
    await sleep(1_100);
    const before = new Date();
    await sleep(1_100);
    await signTag(target('1', 'new'), { collection, server, keys });
    // A root of the same root key is trusted by the same pin, and is not the one of that time.
    await rotateKey(collection, 'targets', { server, keys, journal: createMemoryRotationJournal() });
    await rotateKey(collection, 'root', { server, keys, journal: createMemoryRotationJournal() });
    const archive = await archiveCollection(collection, { server, root: { keyIds: rootKeyIds }, directory });
    expect(versionsOf(archive, 'root')).toEqual([3, 2, 1]);
    expect(versionsOf(archive, 'targets')).toEqual([3, 2, 1]);
    expect(versionsOf(archive, 'snapshot')).toEqual([4, 3, 2, 1]);
    expect(versionsOf(archive, 'timestamp')).toEqual([4, 3, 2, 1]);
    const ask = (options: OpenArchiveOptions = {}) => resolveAsOf(directory, subject, rootKeyIds, options);
    // The pin is of the first root; the chain to the second is in the archive.
    expect(await ask()).toMatchObject({ digest: digestOf('new'), versions: { root: 3 } });
    expect(await ask({ asOf: before })).toMatchObject({ digest: digestOf('old'), versions: { root: 1 } });
    await expect(ask({ asOf: new Date(before.getTime() - DAY_MS) })).rejects.toMatchObject({
      code: 'NOT_SIGNED',
    });
    await expect(ask({ asOf: new Date(Date.now() + 20 * DAY_MS) })).rejects.toMatchObject({ code: 'FREEZE' });
    const path = join(directory, 'metadata/targets/3.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"length":3', '"length":4'));
    await expect(ask()).rejects.toMatchObject({ code: 'MIX_AND_MATCH' });
    expect((await ask({ asOf: before })).digest).toBe(digestOf('old'));
  });

  test('keeps what a delegation signed that was removed', async () => {
    const { server } = running;
    const collection = 'archive-removed.example.com/app';
    const [directory, keys] = [directoryOf(), createKeyStore()];
    const alice = await keys.generate({ role: 'alice' });
    const options = { collection, server, keys };
    const draft = () => new TrustedCollection(collection, { server, keys, snapshotKey: 'client' });
    const { rootKeyIds } = await draft().setTarget(target('0')).publish();
    await draft().addSigner('alice', [alice.publicKey]).publish();
    await signTag(target('1'), options);
    await signTag(target('2'), options);
    await sleep(1_100);
    const before = new Date();
    await sleep(1_100);
    await draft().removeSigner('alice').publish();
    const archive = await archiveCollection(collection, { server, root: { keyIds: rootKeyIds }, directory });
    expect(versionsOf(archive, 'targets/alice')).toEqual([2, 1]);
    const ask = (at?: Date) =>
      resolveAsOf(directory, { collection, tag: '1' }, rootKeyIds, at === undefined ? {} : { asOf: at });
    expect((await ask(before)).role).toBe('targets/releases');
    await expect(ask()).rejects.toMatchObject({ code: 'TAG_NOT_SIGNED' });
  });
});

describe('archiveCollection()', () => {
  const collection = 'archive.example.com/app';

  test('adds what is new to an archive it made, and lets another history alone', async () => {
    const notary = await startNotary();
    const { server } = notary;
    const [directory, keys] = [directoryOf(), createKeyStore()];
    const { rootKeyIds } = await signTag(target('1'), { collection, server, keys });
    const archive = (name = collection) =>
      archiveCollection(name, { server, root: { firstUse: true }, directory });
    await archive();
    await signTag(target('2'), { collection, server, keys });
    expect(versionsOf(await archive(), 'targets').sort()).toEqual([1, 2]);
    const files = () => readFileSync(join(directory, 'metadata/root/1.json'), 'utf8');
    const first = files();
    notary.store.delete(collection);
    await signTag(target('1'), { collection, server, keys: createKeyStore() });
    await signTag(target('1'), { collection: 'archive.example.com/other', server, keys });
    for (const name of [collection, 'archive.example.com/other'])
      await expect(archive(name)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
    expect(files()).toBe(first);
    const subject = { collection, tag: '2' };
    expect((await resolveAsOf(directory, subject, rootKeyIds)).digest).toBe(digestOf('2'));
    await notary.close();
  });

  test('refuses what a server shows that is not what its snapshot names, and archives nothing of it', async () => {
    const notary = await startNotary();
    const { server } = notary;
    const [directory, keys] = [directoryOf(), createKeyStore()];
    const alice = await keys.generate({ role: 'alice' });
    const { rootKeyIds } = await signTag(target('0'), { collection, server, keys });
    await new TrustedCollection(collection, { server, keys }).addSigner('alice', [alice.publicKey]).publish();
    await signTag(target('1'), { collection, server, keys });
    const archive = () => archiveCollection(collection, { server, root: { keyIds: rootKeyIds }, directory });
    notary.intercept = (request, reply) =>
      /alice\.[0-9a-f]{64}/.test(request.path) ? { status: 200, body: Buffer.from('{}') } : reply;
    await expect(archive()).rejects.toMatchObject({ code: 'MIX_AND_MATCH' });
    await expect(openArchive(directory)).rejects.toMatchObject({ code: 'MALFORMED' });
    notary.intercept = (request, reply) =>
      /alice\.[0-9a-f]{64}/.test(request.path) ? { status: 404, body: Buffer.from('{}') } : reply;
    await expect(archive()).rejects.toMatchObject({ code: 'MISSING_METADATA' });
    // A server that stumbles is asked again.
    let stumbles = 2;
    notary.intercept = (_, reply) =>
      stumbles-- > 0 ? { status: 503, body: Buffer.from('<html>busy</html>') } : reply;
    expect(versionsOf(await archive(), 'targets/releases')).toEqual([1]);
    await notary.close();
  });

  test.each(['{}', 'of another version'])(
    'leaves out what a server shows under an old number: %s',
    async (junk) => {
      const notary = await startNotary();
      const { server } = notary;
      const [directory, keys] = [directoryOf(), createKeyStore()];
      const { rootKeyIds } = await signTag(target('1'), { collection, server, keys });
      for (const tag of ['2', '3']) await signTag(target(tag), { collection, server, keys });
      const archive = () =>
        archiveCollection(collection, { server, root: { keyIds: rootKeyIds }, directory });
      const other = Buffer.from(notary.store.versions(collection, 'timestamp').at(-1)?.bytes ?? '');
      notary.intercept = (request, reply) =>
        /\/2\.timestamp\.json$/.test(request.path)
          ? { ...reply, status: 200, body: junk === '{}' ? Buffer.from(junk) : other }
          : reply;
      expect(versionsOf(await archive(), 'timestamp').sort()).toEqual([1, 3]);
      const at = (asOf: Date) => openArchive(directory, { asOf });
      await expect(at(new Date(0))).resolves.toMatchObject({ asOf: new Date(0) });
      notary.intercept = undefined;
      expect(versionsOf(await archive(), 'timestamp').sort()).toEqual([1, 2, 3]);
      await notary.close();
    },
  );

  test.each([
    ['the current targets', 'targets/2.json'],
    ['a former version', 'targets/1.json'],
    ['a former root', 'root/1.json'],
  ])(
    'reads back what it wrote: a directory that loses %s is told, and mended by the next call',
    async (_, lost) => {
      const notary = await startNotary();
      const { server } = notary;
      const [directory, keys] = [directoryOf(), createKeyStore()];
      const { rootKeyIds } = await signTag(target('1'), { collection, server, keys });
      await rotateKey(collection, 'targets', { server, keys, journal: createMemoryRotationJournal() });
      const archive = (now: () => Date) =>
        archiveCollection(collection, { server, root: { keyIds: rootKeyIds }, directory, now });
      const path = join(directory, 'metadata', lost);
      // The time is asked for once more when all files are written.
      const damage = (content: string | undefined) => () => {
        if (existsSync(path)) content === undefined ? rmSync(path) : writeFileSync(path, content);
        return new Date();
      };
      for (const content of [undefined, '', '{}'])
        await expect(archive(damage(content))).rejects.toMatchObject({
          code: 'BROKEN_COLLECTION',
          message: expect.stringContaining('read the archive'),
        });
      await archive(() => new Date());
      const subject = { collection, tag: '1' };
      expect((await resolveAsOf(directory, subject, rootKeyIds)).digest).toBe(digestOf('1'));
      await notary.close();
    },
  );

  test('an opened archive answers for its own collection only, and reads no file longer than is asked for', async () => {
    const notary = await startNotary();
    const [directory, keys] = [directoryOf(), createKeyStore()];
    const { rootKeyIds } = await signTag(target('1'), { collection, server: notary.server, keys });
    const root = { keyIds: rootKeyIds };
    await archiveCollection(collection, { server: notary.server, root, directory });
    await notary.close();
    const opened = await openArchive(directory);
    const bytes = await opened.fetchMetadata(collection, 'root');
    expect(await opened.fetchMetadata('archive.example.com/other', 'root')).toBeUndefined();
    const atMost = (maxBytes: number) => opened.fetchMetadata(collection, 'root', { maxBytes });
    expect(await atMost(bytes?.length ?? 0)).toEqual(bytes);
    await expect(atMost((bytes?.length ?? 0) - 1)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  test('finds its way through months in which nobody asked', async () => {
    let now = new Date('2026-01-01T00:00:00Z');
    const clock = { now: () => now };
    const notary = await startNotary(clock);
    const { server } = notary;
    const [directory, keys] = [directoryOf(), createKeyStore()];
    const { rootKeyIds } = await signTag(target('1', 'old'), { collection, server, keys, ...clock });
    const root = { keyIds: rootKeyIds };
    now = new Date('2026-03-01T00:00:00Z');
    // A reader: the server signs a timestamp over the same snapshot.
    await resolveTrusted({ collection, tag: '1' }, { server, root, ...clock });
    now = new Date('2026-05-01T00:00:00Z');
    await signTag(target('1', 'new'), { collection, server, keys, ...clock });
    await archiveCollection(collection, { server, root, directory, ...clock });
    const at = (day: string) =>
      resolveAsOf(directory, { collection, tag: '1' }, rootKeyIds, {
        asOf: new Date(`${day}T12:00:00Z`),
      }).then(
        ({ digest }) => digest,
        ({ code }: { code: string }) => code,
      );
    expect(await at('2025-12-31')).toBe('NOT_SIGNED');
    expect(await at('2026-01-05')).toBe(digestOf('old'));
    // No timestamp was valid then; one of March names the snapshot of January.
    expect(await at('2026-02-01')).toBe(digestOf('old'));
    // Whoever publishes reads first: the server signed once more over the old snapshot, in May.
    expect(await at('2026-04-01')).toBe(digestOf('old'));
    expect(await at('2026-05-02')).toBe(digestOf('new'));
    expect(await at('2026-06-02')).toBe('FREEZE');
    await notary.close();
  });
});

describe('parseArchive()', () => {
  test('answers any text with an archive or MALFORMED', () => {
    const file = fc.record(
      {
        role: fc.oneof(fc.constantFrom('root', 'targets', '../x'), fc.string()),
        version: fc.oneof(fc.integer(), fc.double(), fc.string()),
        sha256: fc.oneof(fc.constant('a'.repeat(64)), fc.string()),
        current: fc.oneof(fc.boolean(), fc.constant(null)),
      },
      { requiredKeys: [] },
    );
    const archive = fc.record(
      {
        format: fc.constant('imagevet trust archive 1'),
        collection: fc.oneof(fc.constant('a/b'), fc.string()),
        server: fc.constant('https://n'),
        archivedAt: fc.oneof(fc.constant('2026-01-01T00:00:00Z'), fc.string()),
        files: fc.oneof(fc.array(fc.oneof(file, fc.constant(null))), fc.anything()),
      },
      { requiredKeys: ['format'] },
    );
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      archive.map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(text, (value) => {
        try {
          for (const { role, version } of parseArchive(value).files) {
            expect(role).not.toContain('..');
            expect(version).toBeGreaterThan(0);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(TrustError);
          expect(error).toMatchObject({ code: 'MALFORMED' });
        }
      }),
      { numRuns: 300 },
    );
    const whole = {
      ...{ format: 'imagevet trust archive 1', collection: 'a/b', server: 'https://n' },
      archivedAt: '2026-01-01T00:00:00Z',
      files: [{ role: 'root', version: 1, sha256: 'a'.repeat(64), current: true, path: 'x' }],
    };
    expect(parseArchive(JSON.stringify(whole))).toEqual(whole);
  });
});
