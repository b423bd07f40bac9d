// The attack matrix on trust metadata, by row number. Each row is refused with its own code, remembers nothing of what it
// refused, and the honest server is believed again afterwards.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { digestOf } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createMemoryRotationJournal, rotateKey } from '../collection/rotation.ts';
import { TrustedCollection } from '../collection/trusted-collection.ts';
import type { JsonValue } from '../json/canonical-json.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { generateKeypair } from '../keys/keypair.ts';
import { tufKeyId } from '../keys/public-key.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import { signTag } from '../sign.ts';
import { EvilNotary } from '../testing/evil-notary.ts';
import { type RunningNotary, startNotary } from '../testing/notary.ts';
import { resolveTrusted, type VerifyOptions } from '../verify.ts';
import { createMemoryTrustState, type TrustStateStore } from './state.ts';

const collection = 'attacked.example.com/app';
const DAY_MS = 86_400_000;
const target = (tag: string) => ({ tag, digest: digestOf(tag), size: tag.length });

describe('resolveTrusted() under attack', () => {
  let notary: RunningNotary;
  let keys: KeyStore;
  let evil: EvilNotary;
  let state: TrustStateStore;
  let rootKeyIds: readonly string[];

  beforeEach(async () => {
    notary = await startNotary();
    keys = createKeyStore();
    evil = new EvilNotary(notary, collection, keys);
    state = createMemoryTrustState();
    ({ rootKeyIds } = await sign('1'));
  });
  afterEach(() => notary.close());

  const sign = (tag: string) => signTag(target(tag), { collection, server: notary.server, keys });
  const resolve = (tag = '1', options: VerifyOptions = {}) =>
    resolveTrusted(
      { collection, tag },
      { server: notary.server, state, root: { keyIds: rootKeyIds }, ...options },
    );
  const refused = async (code: string, options: VerifyOptions = {}) => {
    const before = await state.load(collection);
    await expect(resolve('1', options)).rejects.toMatchObject({ name: 'TrustError', code });
    expect(await state.load(collection)).toEqual(before);
  };
  const replay = (role: string): void => {
    const body = evil.bytes(role);
    notary.intercept = (request, reply) =>
      request.path.endsWith(`/tuf/${role}.json`) ? { ...reply, status: 200, body } : reply;
  };
  const relink = async (): Promise<void> => {
    await evil.updateSnapshotHashes();
    await evil.updateTimestampHash();
  };

  const advance = async (): Promise<void> => {
    await evil.updateSnapshotHashes();
    await evil.offsetVersion('snapshot', 1);
    await evil.updateTimestampHash();
    await evil.offsetVersion('timestamp', 1);
  };

  test('row 1: a timestamp older than the last one seen', async () => {
    replay('timestamp');
    notary.intercept = undefined;
    const old = evil.bytes('timestamp');
    await sign('2');
    await resolve('2');
    notary.intercept = (request, reply) =>
      request.path.endsWith('/timestamp.json') ? { ...reply, body: old } : reply;
    await refused('ROLLBACK');
    notary.intercept = undefined;
    expect((await resolve()).digest).toBe(digestOf('1'));
  });

  test('row 1: the time before a tag was revoked, once the revocation was seen', async () => {
    await sign('2');
    const before = new Map(['timestamp', 'snapshot', 'targets'].map((role) => [role, evil.bytes(role)]));
    await new TrustedCollection(collection, { server: notary.server, keys }).removeTarget('1').publish();
    await expect(resolve('1')).rejects.toMatchObject({ code: 'TAG_NOT_SIGNED' });
    for (const [role, bytes] of before) notary.store.replace(collection, role, bytes);
    await refused('ROLLBACK');
  });

  test('row 1: older snapshot, targets and root under a newer timestamp', async () => {
    await sign('2');
    await resolve('2');
    for (const role of ['snapshot', 'targets']) {
      const honest = {
        timestamp: evil.bytes('timestamp'),
        snapshot: evil.bytes('snapshot'),
        targets: evil.bytes('targets'),
      };
      await evil.offsetVersion(role, -1);
      if (role === 'targets') {
        await evil.updateSnapshotHashes();
        await evil.offsetVersion('snapshot', 1);
      }
      await evil.updateTimestampHash();
      await evil.offsetVersion('timestamp', 1);
      await refused('ROLLBACK');
      for (const [name, bytes] of Object.entries(honest)) notary.store.replace(collection, name, bytes);
    }
  });

  describe('once the releases were seen', () => {
    const hide = async (...roles: readonly string[]) => {
      await evil.mutate('snapshot', (signed) => {
        const meta = { ...(signed.meta as Record<string, JsonValue>) };
        for (const role of roles) delete meta[role];
        return { ...signed, meta, version: Number(signed.version) + 1 };
      });
      await evil.updateTimestampHash();
      await evil.offsetVersion('timestamp', 1);
    };
    const draft = () => new TrustedCollection(collection, { server: notary.server, keys });

    beforeEach(async () => {
      const alice = await keys.generate({ role: 'alice' });
      await draft().addSigner('alice', [alice.publicKey]).publish();
      await signTag(
        { tag: '1', digest: digestOf('new'), size: 3 },
        { collection, server: notary.server, keys },
      );
      expect(await resolve()).toMatchObject({ role: 'targets/releases', digest: digestOf('new') });
    });

    test('row 1: a snapshot that no longer names them, so that an older tag of targets would count', async () => {
      await hide('targets/releases');
      await refused('ROLLBACK');
      // A role that is asked for nothing is not hidden either: forgetting it would be the first half of the attack.
      await refused('ROLLBACK', { roles: ['targets'] });
    });

    test('row 1: a snapshot that lacks them under a new snapshot key is one of a server that lost its data', async () => {
      await rotateServerKey('snapshot');
      await hide('targets/releases');
      expect((await resolve()).role).toBe('targets');
    });

    test('row 1: their owner may take them away, and the snapshot may forget them then', async () => {
      await draft().removeDelegation('targets/releases').publish();
      await hide('targets/releases');
      expect((await resolve()).role).toBe('targets');
      expect(Object.keys((await state.load(collection))?.files ?? {})).not.toContain('targets/releases');
    });

    test('row 1: a nested role is hidden too, unless the role above it is gone', async () => {
      const carol = await keys.generate({ role: 'carol' });
      const role = { keys: [carol.publicKey], threshold: 1, paths: [''] };
      await draft()
        .setDelegation({ ...role, name: 'targets/carol' })
        .publish();
      await draft()
        .setDelegation({ ...role, name: 'targets/carol/ci' })
        .publish();
      await draft()
        .setTarget(target('9'), { roles: ['targets/carol/ci'] })
        .publish();
      await resolve();
      const honest = ['snapshot', 'timestamp'].map((name) => [name, evil.bytes(name)] as const);
      await hide('targets/carol/ci');
      await refused('ROLLBACK');
      for (const [name, bytes] of honest) notary.store.replace(collection, name, bytes);
      await draft().removeDelegation('targets/carol').publish();
      await hide('targets/carol', 'targets/carol/ci');
      expect((await resolve()).digest).toBe(digestOf('new'));
    });
  });

  test('row 2: an expired timestamp, replayed to freeze the collection', async () => {
    replay('timestamp');
    const later = () => new Date(Date.now() + 15 * DAY_MS);
    await refused('FREEZE', { now: later });
    notary.intercept = undefined;
    await evil.expire('timestamp');
    replay('timestamp');
    await refused('FREEZE');
  });

  test('row 2: a timestamp still valid, but older than the caller accepts', async () => {
    const old = evil.bytes('timestamp');
    const at = (ms: number) => ({ now: () => new Date(Date.now() + ms) });
    const maxStalenessMs = DAY_MS;
    expect((await resolve('1', { maxStalenessMs, ...at(DAY_MS / 2) })).digest).toBe(digestOf('1'));
    await refused('STALE', { maxStalenessMs, ...at(2 * DAY_MS) });
    expect((await resolve('1', at(2 * DAY_MS))).digest).toBe(digestOf('1'));
    // What nobody can forge away: a timestamp signed for ten years does not count as fresh for ten years.
    await evil.mutate('timestamp', (signed) => ({ ...signed, expires: '2099-01-01T00:00:00Z' }));
    await refused('STALE', { maxStalenessMs, state: createMemoryTrustState() });
    notary.store.replace(collection, 'timestamp', old);
    await refused('INVALID_OPTIONS', { maxStalenessMs: Number.NaN });
  });

  test('row 2: a server that signs for another time than notary-server', async () => {
    const brief = await startNotary({ timestampLifetimeMs: DAY_MS });
    const own = { server: brief.server, keys };
    const { rootKeyIds: ids } = await signTag(target('1'), { collection, ...own });
    const ask = (options: VerifyOptions) =>
      resolveTrusted(
        { collection, tag: '1' },
        { ...own, root: { keyIds: ids }, maxStalenessMs: 3_600_000, ...options },
      );
    // Taken for one of notary-server it is thirteen days old; for one that is valid longer than it is, from the future.
    await expect(ask({})).rejects.toMatchObject({ code: 'STALE' });
    await expect(ask({ timestampLifetimeMs: DAY_MS / 2 })).rejects.toMatchObject({ code: 'STALE' });
    expect((await ask({ timestampLifetimeMs: DAY_MS })).digest).toBe(digestOf('1'));
    const later = () => new Date(Date.now() + 7_200_000);
    await expect(ask({ timestampLifetimeMs: DAY_MS, now: later })).rejects.toMatchObject({ code: 'STALE' });
    await brief.close();
  });

  test('row 3: files of different times put together', async () => {
    const old = evil.bytes('targets');
    await sign('2');
    notary.intercept = (request, reply) =>
      /\/targets\./.test(request.path) ? { ...reply, body: old } : reply;
    await refused('MIX_AND_MATCH');
    const oldSnapshot = evil.bytes('snapshot');
    notary.intercept = undefined;
    await sign('3');
    notary.intercept = (request, reply) =>
      /\/snapshot\./.test(request.path) ? { ...reply, body: oldSnapshot } : reply;
    await refused('MIX_AND_MATCH');
  });

  test.each([2147483647, Number.MAX_SAFE_INTEGER])('row 4: version %d locks nobody out', async (version) => {
    await resolve();
    await evil.mutate('timestamp', (signed) => ({ ...signed, version }));
    await refused('FAST_FORWARD');
    await evil.mutate('timestamp', (signed) => ({ ...signed, version: 2 }));
    expect((await resolve()).versions.timestamp).toBe(2);
  });

  test('row 4: a version that was believed is forgotten when the root names a new timestamp key', async () => {
    await evil.mutate('timestamp', (signed) => ({ ...signed, version: 2147483647 }));
    await resolve('1', { maxVersionStep: Number.MAX_SAFE_INTEGER });
    await evil.mutate('timestamp', (signed) => ({ ...signed, version: 1 }));
    await refused('ROLLBACK');
    await rotateServerKey('timestamp');
    expect((await resolve()).versions).toMatchObject({ root: 2, timestamp: 2 });
  });

  test.each(['timestamp', 'snapshot'])(
    'row 1: an older %s under a root that replaced another key',
    async (role) => {
      await sign('2');
      await resolve();
      await rotateKey(collection, 'targets', {
        ...{ server: notary.server, keys, journal: createMemoryRotationJournal() },
      });
      const honest = ['snapshot', 'timestamp'].map((name) => [name, evil.bytes(name)] as const);
      await evil.mutate(role, (signed) => ({ ...signed, version: 1 }));
      if (role === 'snapshot') await evil.updateTimestampHash();
      await expect(resolve()).rejects.toMatchObject({
        code: 'ROLLBACK',
        message: expect.stringContaining(role),
      });
      for (const [name, bytes] of honest) notary.store.replace(collection, name, bytes);
      expect((await resolve()).versions).toMatchObject({ root: 2, snapshot: 3, timestamp: 3 });
    },
  );

  test('row 4: 2^53 is no version', async () => {
    notary.intercept = (request, reply) => {
      if (!request.path.endsWith('/timestamp.json')) return reply;
      const text = Buffer.from(reply.body).toString().replace('"version":1', '"version":9007199254740992');
      return { ...reply, body: Buffer.from(text) };
    };
    await refused('MALFORMED');
  });

  test('row 5: a root that only its own new key signed', async () => {
    await resolve();
    await evil.changeRootKey();
    await advance();
    await refused('ROOT_CHAIN');
  });

  test('row 5: a root that skips a version', async () => {
    await resolve();
    await rotateServerKey('timestamp');
    const second = evil.bytes('root');
    await evil.mutate('root', (signed) => ({ ...signed, version: 3 }));
    const third = evil.bytes('root');
    notary.intercept = (request, reply) =>
      request.path.endsWith('/2.root.json') ? { ...reply, status: 200, body: third } : reply;
    await refused('ROOT_CHAIN');
    notary.intercept = undefined;
    notary.store.replace(collection, 'root', second);
    expect((await resolve()).versions.root).toBe(2);
  });

  test('row 5: a root that was seen is not unseen, whatever failed below it', async () => {
    await resolve();
    const roles = ['root', 'targets', 'snapshot', 'timestamp'];
    const old = new Map(roles.map((role) => [role, evil.bytes(role)]));
    await rotateKey(collection, 'targets', {
      ...{ server: notary.server, keys, journal: createMemoryRotationJournal() },
    });
    // Somebody between lets the new root through and breaks what is below it, then shows the time before.
    notary.intercept = (request, reply) =>
      /\/targets\./.test(request.path) ? { ...reply, status: 404, body: Buffer.from('{}') } : reply;
    await expect(resolve()).rejects.toMatchObject({ code: 'MISSING_METADATA' });
    notary.intercept = (request, reply) => {
      const role = /\/(root|targets|snapshot|timestamp)[.0-9a-f]*\.json$/.exec(request.path)?.[1] ?? '';
      if (/\/2\.root\.json$/.test(request.path)) return { ...reply, status: 404, body: Buffer.from('{}') };
      const body = old.get(role);
      return body === undefined ? reply : { ...reply, status: 200, body };
    };
    await refused('MIX_AND_MATCH');
    notary.intercept = undefined;
    expect((await resolve()).versions).toMatchObject({ root: 2, targets: 2 });
  });

  test('row 6: one key that signs twice, or under two ids, is one key', async () => {
    const alice = generateKeypair();
    const bob = generateKeypair();
    for (const keypair of [alice, bob]) await keys.add(keypair, { role: 'releases' });
    await new TrustedCollection(collection, { server: notary.server, keys })
      .setDelegation({
        name: 'targets/releases',
        keys: [alice.publicKey, bob.publicKey],
        threshold: 2,
        paths: [''],
      })
      .publish();
    await sign('2');
    expect((await resolve('2')).keyIds.length).toBe(2);
    const signed = evil.read('targets/releases');
    const once = await evil.signature(signed, alice);
    const again = await evil.signature(signed, alice);
    evil.write('targets/releases', signed, [once, again]);
    await relink();
    await expect(resolve('2')).rejects.toMatchObject({ code: 'ROLLBACK' });
    const cold = { state: createMemoryTrustState() };
    await expect(resolve('2', cold)).rejects.toMatchObject({ code: 'THRESHOLD' });
    // The same key once more, in a certificate: another TUF id, the same key.
    const certificate = await issueRootCertificate(alice, 'alice');
    const keyids = [tufKeyId(alice.publicKey), tufKeyId(certificate)];
    const named = [alice.publicKey, certificate].map((key, index) => [keyids[index], key]);
    await evil.mutate('targets', (targets) => ({
      ...targets,
      delegations: {
        keys: Object.fromEntries(named) as Record<string, JsonValue>,
        roles: [{ keyids, name: 'targets/releases', paths: [''], threshold: 2 }],
      },
    }));
    evil.write('targets/releases', signed, [once, { ...again, keyid: tufKeyId(certificate) }]);
    await relink();
    await expect(resolve('2', { state: createMemoryTrustState() })).rejects.toMatchObject({
      code: 'THRESHOLD',
    });
  });

  test.each(['rsapss', 'rsapkcs1v15', 'eddsa', 'none', ''])(
    'row 7: signature method %j on an ECDSA key',
    async (method) => {
      const [signature] = evil.signatures('targets');
      if (signature === undefined) throw new Error('no signature');
      evil.write('targets', evil.read('targets'), [{ ...signature, method }]);
      await relink();
      await refused('ALGORITHM_MISMATCH');
    },
  );

  test.each<[string, (text: string) => string]>([
    ['an unsigned member', (text) => `{"extra":1,${text.slice(1)}`],
    ['a member after the signatures', (text) => `${text.slice(0, -1)},"extra":1}`],
    ['a signed part given twice', (text) => `{"signed":{},${text.slice(1)}`],
    ['a member given twice', (text) => text.replace('"version":1', '"version":9,"version":1')],
    ['a member of a signature', (text) => text.replace('{"keyid"', '{"extra":1,"keyid"')],
    ['a space at the end', (text) => `${text} `],
    ['a byte order mark', (text) => `\uFEFF${text}`],
    ['another escape', (text) => text.replace('Timestamp', '\\u0054imestamp')],
    ['a fraction', (text) => text.replace('"version":1', '"version":1.0')],
    ['an empty object', () => '{}'],
  ])('row 8: %s', async (_, change) => {
    notary.intercept = (request, reply) =>
      request.path.endsWith('/timestamp.json')
        ? { ...reply, body: Buffer.from(change(Buffer.from(reply.body).toString())) }
        : reply;
    const error = await resolve().catch((reason: unknown) => reason);
    // A byte order mark is not JSON's first character: such an answer is not taken for metadata at all.
    expect(['MALFORMED', 'UNREACHABLE']).toContain((error as { code: string }).code);
    expect(await state.load(collection)).toBeUndefined();
  });

  test('row 9: an expired root under files that are valid', async () => {
    await evil.expire('root');
    await relink();
    await refused('EXPIRED');
  });

  test('row 9: a root certificate that expired, in a root that did not', async () => {
    await evil.mutate('root', (signed) => ({ ...signed, expires: '2099-01-01T00:00:00Z' }));
    await relink();
    const later = () => new Date(Date.now() + 3651 * DAY_MS);
    await refused('EXPIRED', { now: later });
  });

  // The first are cut off by their number, the others by their bytes already.
  test.each([129, 10_000])('row 10: %d signatures', async (count) => {
    const [signature] = evil.signatures('timestamp');
    const many = Array.from({ length: count }, () => signature as NonNullable<typeof signature>);
    notary.intercept = (request, reply) =>
      request.path.endsWith('/timestamp.json')
        ? {
            ...reply,
            body: Buffer.from(JSON.stringify({ signed: evil.read('timestamp'), signatures: many })),
          }
        : reply;
    await refused('LIMIT_EXCEEDED');
  });

  test('row 10: a file longer than its parent says, and one that says 200 MB', async () => {
    notary.intercept = (request, reply) =>
      /\/targets\./.test(request.path) ? { ...reply, body: Buffer.alloc(1024 * 1024, '{') } : reply;
    await refused('LIMIT_EXCEEDED');
    notary.intercept = undefined;
    await evil.mutate('snapshot', (signed) => {
      const meta = signed.meta as Record<string, { hashes: JsonValue; length: number }>;
      return { ...signed, meta: { ...meta, targets: { ...meta.targets, length: 200_000_000 } } as JsonValue };
    });
    await evil.updateTimestampHash();
    await refused('LIMIT_EXCEEDED');
  });

  test('row 10: an answer that never ends', async () => {
    const slow = createServer((_, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write('{'), 20);
      response.on('close', () => clearInterval(timer));
    });
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(slow.address() as AddressInfo).port}`;
    await refused('TIMEOUT', { server: { url, timeoutMs: 200 } });
    slow.closeAllConnections();
    await new Promise((resolve) => slow.close(resolve));
  });

  test.each([
    '../../etc/passwd',
    'a//b',
    'a/./b',
    'a\0b',
    'a\r\nX: y',
    'a*b',
    'a?b',
    'a#b',
    'a%2e%2e/b',
    '',
    'é',
    'x'.repeat(300),
  ])('row 11: collection %j', async (name) => {
    const before = notary.requests.length;
    const options = { server: notary.server, root: { firstUse: true } } as const;
    await expect(resolveTrusted({ collection: name, tag: '1' }, options)).rejects.toMatchObject({
      code: 'INVALID_NAME',
    });
    expect(notary.requests.length).toBe(before);
  });

  test.each([
    'targets/../root',
    'targets/',
    'targets/A',
    'targets//x',
    'other',
    `targets/${'x'.repeat(300)}`,
  ])('row 11: role %j', async (role) => {
    const draft = new TrustedCollection(collection, { server: notary.server, keys });
    const invalid = expect.objectContaining({ code: 'INVALID_NAME' });
    const delegation = { name: role, keys: [generateKeypair().publicKey], threshold: 1, paths: [''] };
    const changes: (() => unknown)[] = [
      () => draft.setTarget(target('1'), { roles: [role] }),
      () => draft.removeTarget('1', { roles: [role] }),
      () => draft.setDelegation(delegation),
      () => draft.removeDelegation(role),
      () => draft.witness(role),
      () => draft.reset(role),
    ];
    for (const change of changes) expect(change).toThrow(invalid);
    expect(draft.changes).toEqual([]);
  });

  test.each(['root', 'snapshot', 'timestamp', 'releases', ''])(
    'row 11: role %j holds no tags, and is neither read nor written as if it did',
    async (role) => {
      const draft = new TrustedCollection(collection, { server: notary.server, keys });
      const invalid = expect.objectContaining({ code: 'INVALID_NAME' });
      expect(() => draft.setTarget(target('1'), { roles: [role] })).toThrow(invalid);
      expect(() => draft.removeTarget('1', { roles: [role] })).toThrow(invalid);
      expect(() => draft.reset(role)).toThrow(invalid);
      await expect(resolve('1', { roles: [role] })).rejects.toEqual(invalid);
      await expect((await draft.refresh())?.role(role)).rejects.toEqual(invalid);
    },
  );

  test.each<[string, number, string, string]>([
    ['404', 404, '{}', 'NOT_SIGNED'],
    ['500', 500, '{}', 'UNREACHABLE'],
    ['503 page', 503, '<html>', 'UNREACHABLE'],
    ['a redirect', 302, '', 'UNREACHABLE'],
    ['a login page with 200', 200, '<!doctype html><title>Sign in</title>', 'UNREACHABLE'],
    ['401', 401, '{}', 'AUTH_REQUIRED'],
    ['403', 403, '{}', 'DENIED'],
  ])('row 12: %s, first contact and with everything known', async (_, status, body, code) => {
    const lie = () => {
      notary.intercept = () => ({ status, body: Buffer.from(body) });
    };
    lie();
    await refused(code);
    notary.intercept = undefined;
    await resolve();
    lie();
    await refused(code);
  });

  test('row 12: a CA that is no certificate does not turn verification off', async () => {
    const secure = await startNotary({ tls: true });
    await refused('UNREACHABLE', { server: { url: secure.url, ca: 'not a certificate' } });
    await secure.close();
  });

  test('row 12: no server, and one whose certificate nobody vouches for', async () => {
    await resolve();
    const secure = await startNotary({ tls: true });
    await refused('UNREACHABLE', { server: { url: secure.url } });
    await secure.close();
    await refused('UNREACHABLE', { server: secure.server });
  });

  test('row 13: a tag signed under a delegation that was revoked', async () => {
    const alice = generateKeypair();
    await keys.add(alice, { role: 'alice' });
    const draft = () => new TrustedCollection(collection, { server: notary.server, keys });
    const bob = generateKeypair();
    const releases = { name: 'targets/releases', threshold: 1, paths: [''] };
    await draft()
      .setDelegation({ ...releases, keys: [alice.publicKey, bob.publicKey] })
      .publish();
    await sign('2');
    await draft()
      .setDelegation({ ...releases, keys: [bob.publicKey] })
      .publish();
    // Docker would fall back to what targets still says; an old tag could come back that way.
    await expect(resolve('2')).rejects.toMatchObject({ code: 'WRONG_KEY' });
    await expect(resolve('1')).rejects.toMatchObject({ code: 'WRONG_KEY' });
    await draft().removeDelegation('targets/releases').publish();
    await expect(resolve('2')).rejects.toMatchObject({ code: 'TAG_NOT_SIGNED' });
    expect((await resolve('1')).role).toBe('targets');
  });

  test('row 13: a role below one that may not sign the name either', async () => {
    const [alice, bob] = [generateKeypair(), generateKeypair()];
    for (const [name, keypair] of Object.entries({ alice, bob })) await keys.add(keypair, { role: name });
    const draft = () => new TrustedCollection(collection, { server: notary.server, keys });
    const inner = 'targets/releases/bob';
    await draft()
      .setDelegation({ name: 'targets/releases', keys: [alice.publicKey], threshold: 1, paths: ['dev-'] })
      .publish();
    // Bob may sign everything of what Alice may sign, which is not everything.
    await draft()
      .setDelegation({ name: inner, keys: [bob.publicKey], threshold: 1, paths: [''] })
      .setTarget(target('dev-1'), { roles: [inner] })
      .setTarget(target('prod'), { roles: [inner] })
      .publish();
    expect((await resolve('dev-1', { roles: [inner] })).role).toBe(inner);
    await expect(resolve('prod', { roles: [inner] })).rejects.toMatchObject({ code: 'TAG_NOT_SIGNED' });
    await expect(resolve('prod')).rejects.toMatchObject({
      message: expect.stringMatching(/the tag is not signed/),
    });
  });

  test('row 13: the right key on a path it was not given', async () => {
    const alice = generateKeypair();
    await keys.add(alice, { role: 'alice' });
    const draft = new TrustedCollection(collection, { server: notary.server, keys });
    await draft
      .setDelegation({ name: 'targets/releases', keys: [alice.publicKey], threshold: 1, paths: ['dev-'] })
      .publish();
    await sign('dev-1');
    expect((await resolve('dev-1')).role).toBe('targets/releases');
    await expect(sign('prod')).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
    await evil.mutate('targets/releases', (signed) => ({
      ...signed,
      version: 2,
      targets: {
        ...(signed.targets as Record<string, JsonValue>),
        prod: { hashes: { sha256: 'A'.repeat(43).concat('=') }, length: 1 },
      },
    }));
    await advance();
    await expect(resolve('prod')).rejects.toMatchObject({ code: 'TAG_NOT_SIGNED' });
  });

  async function rotateServerKey(role: 'timestamp' | 'snapshot'): Promise<void> {
    const key = notary.store.createKey(collection, role).publicKey;
    await new TrustedCollection(collection, { server: notary.server, keys })
      .stage({ type: 'role-keys', role, keys: [key], threshold: 1 })
      .publish();
  }
});
