// Which root a reader believes who remembers one: the honest branch, however old the pin is that the caller still passes.
import { digestOf } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createMemoryRotationJournal, rotateKey } from '../collection/rotation.ts';
import { TrustedCollection } from '../collection/trusted-collection.ts';
import type { JsonValue } from '../json/canonical-json.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { canonicalKeyId } from '../keys/public-key.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { PublicKey, RootMetadata } from '../metadata/types.ts';
import { signTag } from '../sign.ts';
import { EvilNotary, type RawMetadata } from '../testing/evil-notary.ts';
import { type RunningNotary, startNotary } from '../testing/notary.ts';
import { resolveTrusted, type VerifyOptions } from '../verify.ts';
import { RootChain } from './root-chain.ts';
import { createMemoryTrustState, type TrustStateStore } from './state.ts';

const collection = 'rotated.example.com/app';
const target = (content: string) => ({ tag: '1', digest: digestOf(content), size: content.length });

describe('resolveTrusted() with a remembered root', () => {
  let notary: RunningNotary;
  let keys: KeyStore;
  let evil: EvilNotary;
  let state: TrustStateStore;
  let pin: string;

  beforeEach(async () => {
    notary = await startNotary();
    keys = createKeyStore();
    evil = new EvilNotary(notary, collection, keys);
    state = createMemoryTrustState();
    const signed = await signTag(target('good'), { collection, server: notary.server, keys });
    pin = signed.rootKeyIds[0] ?? '';
  });
  afterEach(() => notary.close());

  const resolve = (options: VerifyOptions = {}) =>
    resolveTrusted(
      { collection, tag: '1' },
      { server: notary.server, state, root: { keyIds: [pin] }, ...options },
    );
  const rotateRoot = async (): Promise<readonly string[]> => {
    const journal = createMemoryRotationJournal();
    await rotateKey(collection, 'root', { server: notary.server, keys, journal });
    return (evil.read('root') as unknown as RootMetadata).roles.root.keyids ?? [];
  };
  const rememberedVersion = async (): Promise<number> =>
    JSON.parse((await state.load(collection))?.files.root ?? '').signed.version;
  const refused = async (code: string, options: VerifyOptions = {}) => {
    const before = await state.load(collection);
    await expect(resolve(options)).rejects.toMatchObject({ name: 'TrustError', code });
    expect(await state.load(collection)).toEqual(before);
  };

  /** A server of whoever stole the key of root 1: a second root of its own, signed by that key only, and all else newer. */
  async function startThief(): Promise<RunningNotary> {
    const [first] = notary.store.versions(collection, 'root');
    const root = JSON.parse(Buffer.from(first?.bytes ?? []).toString()).signed as RawMetadata;
    const certificate = (root.keys as unknown as Record<string, PublicKey>)[pin];
    if (certificate === undefined || first === undefined) throw new Error('no first root');
    const stolen = await keys.open(canonicalKeyId(certificate));
    const own = createKeyStore();
    await own.add(stolen, { role: 'root' });
    const server = await startNotary();
    await new TrustedCollection(collection, { server: server.server, keys: own })
      .setTarget(target('evil'))
      .publish();
    const thief = new EvilNotary(server, collection, own);
    const forged = thief.read('root');
    const next = {
      ...forged,
      version: 2,
      keys: { ...(forged.keys as RawMetadata), [pin]: certificate as unknown as JsonValue },
      roles: { ...(forged.roles as RawMetadata), root: { keyids: [pin], threshold: 1 } },
    };
    server.store.replace(collection, 'root', first.bytes);
    server.store.put(collection, 'root', Buffer.from('{}'), 2, new Date());
    thief.write('root', next, [await thief.signature(next, stolen, certificate)]);
    await thief.offsetVersion('targets', 50);
    await thief.updateSnapshotHashes();
    await thief.offsetVersion('snapshot', 50);
    await thief.updateTimestampHash();
    await thief.offsetVersion('timestamp', 50);
    return server;
  }

  test('row 5: a branch that starts at the pinned root, which its rotated and stolen key signed', async () => {
    await rotateRoot();
    expect((await resolve()).versions.root).toBe(2);
    const thief = await startThief();
    // Who never saw the second root can not tell: that is what remembering is for.
    const firstContact = await resolve({ server: thief.server, state: createMemoryTrustState() });
    expect(firstContact.digest).toBe(digestOf('evil'));
    const { server } = thief;
    for (const root of [{ keyIds: [pin] }, { firstUse: true }] as const)
      await refused('WRONG_KEY', { server, root });
    await expect(resolveTrusted({ collection, tag: '1' }, { server, state })).rejects.toMatchObject({
      code: 'WRONG_KEY',
    });
    expect(await rememberedVersion()).toBe(2);
    await thief.close();
    expect((await resolve()).digest).toBe(digestOf('good'));
  });

  test('row 5: an older root of the honest chain, once a newer one was seen', async () => {
    const old = ['root', 'snapshot', 'timestamp'].map((role) => [role, evil.bytes(role)] as const);
    await rotateRoot();
    await resolve();
    for (const [role, bytes] of old) {
      while (notary.store.pop(collection, role) !== undefined);
      notary.store.put(collection, role, bytes, 1, new Date());
    }
    await evil.offsetVersion('snapshot', 50);
    await evil.updateTimestampHash();
    await evil.offsetVersion('timestamp', 50);
    await refused('MIX_AND_MATCH', { root: { firstUse: true } });
    await refused('MIX_AND_MATCH');
    expect(await rememberedVersion()).toBe(2);
  });

  test('believes the pin of any root the remembered one follows from', async () => {
    const pins = [pin];
    for (let count = 0; count < 2; count += 1) pins.push(...(await rotateRoot()));
    for (const keyId of pins) {
      expect((await resolve({ root: { keyIds: [keyId] } })).versions.root).toBe(3);
    }
    expect(await rememberedVersion()).toBe(3);
  });

  test('believes the pin of a root that follows from the remembered one', async () => {
    await resolve();
    const rootKeyIds = await rotateRoot();
    const before = notary.requests.length;
    expect((await resolve({ root: { keyIds: rootKeyIds } })).versions.root).toBe(2);
    expect(notary.requests.slice(before).some((request) => request.includes('/2.root.json'))).toBe(true);
  });

  test('refuses a pin that vouches for no root of the remembered chain', async () => {
    await rotateRoot();
    await resolve();
    await refused('ROOT_MISMATCH', { root: { keyIds: ['0'.repeat(64)] } });
    // Nor does another collection of the same name, whose root the caller pins by now, replace the remembered one.
    const other = await startNotary();
    const { rootKeyIds } = await signTag(target('other'), {
      collection,
      server: other.server,
      keys: createKeyStore(),
    });
    await refused('ROOT_MISMATCH', { server: other.server, root: { keyIds: rootKeyIds } });
    const fresh = { server: other.server, root: { keyIds: rootKeyIds }, state: createMemoryTrustState() };
    expect((await resolve(fresh)).digest).toBe(digestOf('other'));
    await other.close();
  });

  test('leaves a root that expired since for the one that follows from it', async () => {
    let now = new Date('2026-06-01T00:00:00Z');
    const clock = { now: () => now };
    const own = await startNotary(clock);
    const mine = { server: own.server, keys, ...clock };
    const [key = ''] = (await signTag(target('good'), { collection, ...mine })).rootKeyIds;
    const remembering = { server: own.server, root: { keyIds: [key] }, ...clock };
    await resolve(remembering);
    now = new Date('2036-04-01T00:00:00Z');
    await rotateKey(collection, 'root', { ...mine, journal: createMemoryRotationJournal() });
    await signTag(target('newer'), { collection, ...mine });
    now = new Date('2036-12-01T00:00:00Z');
    // Somebody who never saw it, and somebody who remembers the root that expired in May.
    for (const options of [{ ...remembering, state: createMemoryTrustState() }, remembering])
      expect(await resolve(options)).toMatchObject({ digest: digestOf('newer'), versions: { root: 2 } });
    await own.close();
  });

  test('row 5: a root between that its own key did not sign', async () => {
    await resolve();
    await rotateRoot();
    await rotateRoot();
    notary.intercept = (request, reply) => {
      if (!request.path.endsWith('/2.root.json')) return reply;
      const file = JSON.parse(Buffer.from(reply.body).toString());
      const signatures = file.signatures.filter(({ keyid }: { keyid: string }) => keyid === pin);
      expect([file.signatures.length, signatures.length]).toEqual([2, 1]);
      return { ...reply, body: Buffer.from(JSON.stringify({ ...file, signatures })) };
    };
    await refused('WRONG_KEY');
    notary.intercept = undefined;
    expect((await resolve()).versions.root).toBe(3);
  });

  test('row 10: roots without end', async () => {
    const first = parseMetadata('root', evil.bytes('root'));
    let asked = 0;
    const source = {
      fetchMetadata: async (_: string, __: string, { version = 0 }: { readonly version?: number } = {}) => {
        asked += 1;
        await evil.mutate('root', (signed) => ({ ...signed, version }));
        return evil.bytes('root');
      },
    };
    const chain = new RootChain(collection, { source, now: undefined });
    await expect(chain.follow(first)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    expect(asked).toBe(1024);
  });
});
