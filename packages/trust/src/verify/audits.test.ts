// What audits of Notary and of its successor found, each finding a test here or said not to apply in
// docs/decisions/0016-content-trust-limits.md: NCC Group 2015, Cure53 2018, Ada Logics 2023 (Notation).
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { archiveCollection } from '../archive/archive-collection.ts';
import { preflight } from '../collection/preflight.ts';
import { createRotationJournal, rotateKey } from '../collection/rotation.ts';
import { TrustedCollection } from '../collection/trusted-collection.ts';
import { canonicalJson } from '../json/canonical-json.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { generateKeypair } from '../keys/keypair.ts';
import { parseMetadata } from '../metadata/parse.ts';
import { NotaryClient } from '../notary/client.ts';
import { signTag } from '../sign.ts';
import { EvilNotary, type RawMetadata } from '../testing/evil-notary.ts';
import { type RunningNotary, startNotary } from '../testing/notary.ts';
import { resolveTrusted, type VerifyOptions } from '../verify.ts';
import { createMemoryTrustState, createTrustState, type TrustStateStore } from './state.ts';

const collection = 'audited.example.com/app';
const LOCKOUT = 2147483647;
const target = (tag: string) => ({ tag, digest: digestOf(tag), size: tag.length });

describe('a finding of an audit', () => {
  let notary: RunningNotary;
  let keys: KeyStore;
  let evil: EvilNotary;
  let state: TrustStateStore;
  let rootKeyIds: readonly string[];
  let directory: string;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'imagevet-audit-'));
    notary = await startNotary();
    keys = createKeyStore();
    evil = new EvilNotary(notary, collection, keys);
    state = createMemoryTrustState();
    ({ rootKeyIds } = await signTag(target('1'), { collection, server: notary.server, keys }));
  });
  afterEach(async () => {
    await notary.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const draft = () => new TrustedCollection(collection, { server: notary.server, keys });
  const resolve = (options: VerifyOptions = {}) =>
    resolveTrusted(
      { collection, tag: '1' },
      { server: notary.server, state, root: { keyIds: rootKeyIds }, ...options },
    );
  const refused = async (code: string, options: VerifyOptions = {}) =>
    expect(resolve(options)).rejects.toMatchObject({ name: 'TrustError', code });
  const relink = async (): Promise<void> => {
    await evil.updateSnapshotHashes();
    await evil.updateTimestampHash();
  };

  test('NCC-1: the key decides how it is verified, not the method a signature claims', async () => {
    for (const role of ['root', 'targets']) {
      const [signature] = evil.signatures(role);
      const honest = evil.bytes(role);
      evil.write(role, evil.read(role), [{ ...signature!, method: 'rsapkcs1v15' }]);
      await relink();
      await refused('ALGORITHM_MISMATCH');
      notary.store.replace(collection, role, honest);
      await relink();
    }
    expect((await resolve()).tag).toBe('1');
  });

  test('NCC-2: an expired root is not used, though it is remembered and everything below is valid', async () => {
    const HOUR_MS = 3_600_000;
    const expires = `${new Date(Date.now() + HOUR_MS).toISOString().slice(0, 19)}Z`;
    await evil.mutate('root', (signed) => ({ ...signed, expires }));
    await relink();
    expect((await resolve()).expires.slice(0, 19)).toBe(expires.slice(0, 19));
    const now = () => new Date(Date.now() + 2 * HOUR_MS);
    await refused('EXPIRED', { now });
    await refused('EXPIRED', { now, state: createMemoryTrustState() });
  });

  test('NCC-3: a huge version is neither believed nor remembered, in any file a server can sign', async () => {
    await resolve();
    for (const role of ['snapshot', 'timestamp']) {
      const honest = ['snapshot', 'timestamp'].map((name) => [name, evil.bytes(name)] as const);
      await evil.mutate(role, (signed) => ({ ...signed, version: LOCKOUT }));
      if (role === 'snapshot') {
        await evil.updateTimestampHash();
        await evil.offsetVersion('timestamp', 1);
      }
      await refused('FAST_FORWARD');
      for (const [name, bytes] of honest) notary.store.replace(collection, name, bytes);
      expect((await resolve()).tag).toBe('1');
    }
  });

  test('NCC-7: what is written to disk can be read by its owner only', async () => {
    const folders = {
      keys: join(directory, 'trust'),
      state: join(directory, 'state'),
      journal: join(directory, 'journal'),
    };
    const stored = createKeyStore({ directory: folders.keys, passphrase: 'open sesame' });
    const own = { server: notary.server, keys: stored };
    const signed = await signTag(target('1'), { collection: 'audited.example.com/disk', ...own });
    await resolveTrusted(
      { collection: 'audited.example.com/disk', tag: '1' },
      { server: notary.server, root: { keyIds: signed.rootKeyIds }, state: createTrustState(folders.state) },
    );
    notary.intercept = (request, reply) =>
      request.method === 'POST' ? { status: 503, body: Buffer.from('{}') } : reply;
    const journal = createRotationJournal(folders.journal);
    await expect(rotateKey('audited.example.com/disk', 'targets', { ...own, journal })).rejects.toMatchObject(
      {
        code: 'UNREACHABLE',
      },
    );
    for (const folder of [join(folders.keys, 'private'), folders.state, folders.journal]) {
      expect([folder, statSync(folder).mode & 0o777]).toEqual([folder, 0o700]);
      const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
      expect(names.length).toBeGreaterThan(0);
      for (const name of names) {
        const found = statSync(join(folder, name));
        expect([name, found.mode & 0o777]).toEqual([name, found.isDirectory() ? 0o700 : 0o600]);
      }
    }
  });

  test('NCC-8: a certificate that cannot be read is an error, never a connection without TLS checks', async () => {
    const secure = await startNotary({ tls: true });
    const { url, server } = secure;
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    await refused('UNREACHABLE', { server: { url, ca: broken } });
    await refused('UNREACHABLE', { server: { url, ca: '' } });
    await refused('UNREACHABLE', {
      server: { ...server, clientCertificate: { cert: 'not a certificate', key: 'not a key' } },
    });
    // The same server with its own certificate answers: what failed above was the certificate.
    await refused('NOT_SIGNED', { server });
    await secure.close();
  });

  test('Cure53-1: an unsigned member is refused when read, and never published', async () => {
    await resolve();
    const clean = evil.bytes('targets');
    const [before, after] = Buffer.from(clean).toString().split('],"');
    expect(after).toBeUndefined();
    const spoilt = Buffer.from(`${before!.slice(0, -1)},"extra":{}}`);
    notary.store.replace(collection, 'targets', spoilt);
    await relink();
    await refused('MALFORMED', { state: createMemoryTrustState() });
    expect(() => preflight({ role: 'targets', bytes: spoilt }, [])).toThrow(
      expect.objectContaining({ code: 'MALFORMED' }),
    );
    // A member inside the signed part that the server would drop.
    const signed = { ...evil.read('root'), extra: 1 };
    const bytes = Buffer.from(`{"signed":${canonicalJson(signed)},"signatures":[]}`);
    expect(() => preflight({ role: 'root', bytes }, [])).toThrow();
    notary.store.replace(collection, 'targets', clean);
    await relink();
    expect((await resolve({ state: createMemoryTrustState() })).tag).toBe('1');
  });

  test('Cure53-2: version 2147483647 locks nobody out: a rotated key starts anew', async () => {
    await evil.mutate('timestamp', (signed) => ({ ...signed, version: LOCKOUT }));
    await resolve({ maxVersionStep: Number.MAX_SAFE_INTEGER });
    await evil.mutate('timestamp', (signed) => ({ ...signed, version: 1 }));
    await refused('ROLLBACK');
    const key = notary.store.createKey(collection, 'timestamp').publicKey;
    await draft()
      .stage({ type: 'role-keys', role: 'timestamp', keys: [key], threshold: 1 })
      .publish();
    expect((await resolve()).versions.timestamp).toBeLessThan(LOCKOUT);
  });

  test('Cure53-3: a server with all keys of its own forges no tag, and takes none back from who saw it', async () => {
    const old = new Map(['targets', 'snapshot'].map((role) => [role, evil.bytes(role)]));
    await signTag(target('2'), { collection, server: notary.server, keys });
    await resolve();
    const honest = evil.bytes('targets');
    // A tag of its own, under its own signature and under its own hashes.
    const intruder = generateKeypair();
    const forged = { ...evil.read('targets'), version: 9 };
    evil.write('targets', forged, [await evil.signature(forged, intruder)]);
    await relink();
    await evil.offsetVersion('snapshot', 1);
    await evil.updateTimestampHash();
    await evil.offsetVersion('timestamp', 1);
    await refused('WRONG_KEY');
    await refused('WRONG_KEY', { state: createMemoryTrustState() });
    // The owner's older file under a newer snapshot and timestamp.
    notary.store.replace(collection, 'targets', old.get('targets')!);
    await evil.updateSnapshotHashes();
    await evil.updateTimestampHash();
    await refused('ROLLBACK');
    // The limit: who never saw the newer one believes it. Whoever must not, holds the snapshot key.
    expect((await resolve({ state: createMemoryTrustState() })).versions.targets).toBe(1);
    notary.store.replace(collection, 'targets', honest);
  });

  test('Cure53-3: with the snapshot key at its owner a server cannot put an older file under a new snapshot', async () => {
    const own = 'audited.example.com/client-snapshot';
    const options = { server: notary.server, keys, snapshotKey: 'client' as const };
    const first = await new TrustedCollection(own, options).setTarget(target('1')).publish();
    const thief = new EvilNotary(notary, own, keys);
    const old = thief.bytes('targets');
    await new TrustedCollection(own, options).setTarget(target('2')).publish();
    notary.store.replace(own, 'targets', old);
    const snapshot = thief.read('snapshot') as RawMetadata;
    const serverKey = notary.store.createKey(own, 'snapshot');
    thief.write('snapshot', snapshot, [await thief.signature(snapshot, serverKey)]);
    await thief.updateTimestampHash();
    const trust = { server: notary.server, root: { keyIds: first.rootKeyIds } };
    await expect(resolveTrusted({ collection: own, tag: '1' }, trust)).rejects.toMatchObject({
      code: 'WRONG_KEY',
    });
  });

  test.each(['../../etc/cron.d/x', 'a/../../b', '..', '/etc/passwd', 'a/b/..'])(
    'Cure53-4: a collection named %j is asked of nobody and written nowhere',
    async (name) => {
      const before = notary.requests.length;
      const folder = join(directory, 'deep', 'er');
      const stored = createKeyStore({ directory: join(folder, 'trust'), passphrase: 'open sesame' });
      const root = { firstUse: true } as const;
      const attempts = [
        resolveTrusted(
          { collection: name, tag: '1' },
          { server: notary.server, root, state: createTrustState(join(folder, 'state')) },
        ),
        archiveCollection(name, { server: notary.server, root, directory: join(folder, 'archive') }),
        (async () => signTag(target('1'), { collection: name, server: notary.server, keys: stored }))(),
        new NotaryClient(notary.server).fetchMetadata(name, 'root'),
      ];
      for (const attempt of attempts) await expect(attempt).rejects.toMatchObject({ code: 'INVALID_NAME' });
      expect(notary.requests.length).toBe(before);
      expect(readdirSync(directory)).toEqual([]);
    },
  );

  test('Ada-1 (CVE-2023-33957): signatures without end are counted before any is verified', async () => {
    const [signature] = evil.signatures('targets');
    evil.write(
      'targets',
      evil.read('targets'),
      Array.from({ length: 129 }, () => signature!),
    );
    await relink();
    await refused('LIMIT_EXCEEDED');
    expect(() => parseMetadata('targets', evil.bytes('targets'))).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    );
  });

  test('Ada-2 (CVE-2023-33958): data without end is cut off at what the parent file says', async () => {
    await resolve();
    const long = Buffer.alloc(2 * 1024 * 1024, '{');
    for (const path of [/\/timestamp\.json$/, /\/snapshot\./, /\/targets\./]) {
      notary.intercept = (request, reply) => (path.test(request.path) ? { status: 200, body: long } : reply);
      await refused('LIMIT_EXCEEDED', { state: createMemoryTrustState() });
    }
  });

  test('Ada-3 (CVE-2023-33959): what a file promises is compared with what came, before it is parsed', async () => {
    notary.intercept = (request, reply) =>
      /\/targets\./.test(request.path)
        ? { ...reply, body: Buffer.alloc(reply.body.byteLength, ' ').fill('{', 0, 1) }
        : reply;
    await refused('MIX_AND_MATCH');
    notary.intercept = undefined;
    // And the digest handed out is the signed one, or none.
    await evil.mutate('targets', (signed) => ({
      ...signed,
      targets: { '1': { hashes: { sha256: Buffer.from('short').toString('base64') }, length: 1 } },
    }));
    await relink();
    await refused('MALFORMED');
  });
});
