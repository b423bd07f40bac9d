// The nineteen named faults of Notary's own fault generator, each on every role it can hit, with the parents' hashes left
// as they were or mended, against a first contact and against a client that knows everything.
import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TrustedCollection } from '../collection/trusted-collection.ts';
import { createKeyStore, type KeyStore } from '../keys/key-store.ts';
import { signTag } from '../sign.ts';
import { createMemoryTrustState, type TrustStateStore } from '../verify/state.ts';
import { resolveTrusted } from '../verify.ts';
import { EvilNotary } from './evil-notary.ts';
import { type RunningNotary, startNotary } from './notary.ts';

const collection = 'evil.example.com/app';
const roles = ['root', 'targets', 'targets/releases', 'snapshot', 'timestamp'] as const;
type Role = (typeof roles)[number];

/** What a fault may be told as: with parents as they were, and with their hashes mended and signed. */
interface Row {
  readonly fault: string;
  readonly on: readonly Role[];
  spoil(evil: EvilNotary, role: Role): void | Promise<void>;
  readonly mended: readonly string[];
}

const rows: readonly Row[] = [
  {
    fault: 'SetInvalidJSON',
    on: roles,
    spoil: (evil, role) => evil.setInvalidJson(role),
    mended: ['MALFORMED'],
  },
  {
    fault: 'AddExtraSpace',
    on: roles,
    spoil: (evil, role) => evil.addExtraSpace(role),
    mended: ['MALFORMED'],
  },
  {
    fault: 'SetInvalidSigned',
    on: roles,
    spoil: (evil, role) => evil.setInvalidSigned(role),
    mended: ['MALFORMED'],
  },
  {
    fault: 'SetInvalidSignedMeta',
    on: roles,
    spoil: (evil, role) => evil.setInvalidSignedMeta(role),
    mended: ['MALFORMED'],
  },
  {
    fault: 'SetInvalidMetadataType',
    on: roles,
    spoil: (evil, role) => evil.setInvalidMetadataType(role),
    mended: ['MALFORMED'],
  },
  {
    fault: 'InvalidateMetadataSignatures',
    on: roles,
    spoil: (evil, role) => evil.invalidateSignatures(role),
    mended: ['INVALID_SIGNATURE'],
  },
  {
    fault: 'RemoveMetadata',
    on: ['root', 'targets', 'targets/releases', 'snapshot', 'timestamp'],
    spoil: (evil, role) => evil.removeMetadata(role),
    mended: ['NOT_SIGNED', 'MISSING_METADATA', 'MALFORMED', 'TAG_NOT_SIGNED'],
  },
  {
    fault: 'SignMetadataWithInvalidKey',
    on: roles,
    spoil: (evil, role) => evil.signWithInvalidKey(role),
    mended: ['WRONG_KEY'],
  },
  {
    fault: 'OffsetMetadataVersion',
    on: ['targets', 'targets/releases', 'snapshot', 'timestamp'],
    spoil: (evil, role) => evil.offsetVersion(role, -1),
    mended: ['ROLLBACK', 'MALFORMED'],
  },
  {
    fault: 'ExpireMetadata',
    on: roles,
    spoil: (evil, role) => evil.expire(role),
    mended: ['EXPIRED', 'FREEZE'],
  },
  {
    fault: 'SetThreshold',
    on: ['root', 'targets', 'snapshot', 'timestamp'],
    spoil: (evil, role) => evil.setThreshold(role, 2),
    mended: ['THRESHOLD', 'ROOT_CHAIN'],
  },
  {
    fault: 'RotateKey',
    on: ['targets', 'snapshot', 'timestamp'],
    spoil: (evil, role) => evil.rotateKey(role),
    mended: ['WRONG_KEY'],
  },
  {
    fault: 'ChangeRootKey',
    on: ['root'],
    spoil: (evil) => evil.changeRootKey(),
    mended: ['ROOT_CHAIN', 'ROOT_MISMATCH'],
  },
];

describe('EvilNotary', () => {
  let notary: RunningNotary;
  let keys: KeyStore;
  let evil: EvilNotary;
  let warm: TrustStateStore;
  let honest: ReadonlyMap<string, readonly Uint8Array[]>;
  let rootKeyIds: readonly string[];

  beforeAll(async () => {
    notary = await startNotary();
    keys = createKeyStore();
    const signer = await keys.generate({ role: 'releases' });
    const { server } = notary;
    const sign = (tag: string) =>
      signTag({ tag, digest: digestOf(tag), size: 1 }, { collection, server, keys });
    ({ rootKeyIds } = await sign('0'));
    await new TrustedCollection(collection, { server, keys })
      .addSigner('alice', [signer.publicKey])
      .publish();
    await sign('1');
    await sign('1');
    honest = new Map(
      notary.store
        .roles(collection)
        .map((role) => [role, notary.store.versions(collection, role).map(({ bytes }) => bytes)]),
    );
  });
  afterAll(() => notary.close());

  beforeEach(async () => {
    notary.intercept = undefined;
    for (const [role, files] of honest) {
      while (notary.store.pop(collection, role) !== undefined);
      for (const bytes of files) {
        const version = JSON.parse(Buffer.from(bytes).toString()).signed.version as number;
        notary.store.put(collection, role, bytes, version, new Date());
      }
    }
    evil = new EvilNotary(notary, collection, keys);
    warm = createMemoryTrustState();
    expect((await resolve(warm)).role).toBe('targets/releases');
  });

  const resolve = (state: TrustStateStore) =>
    resolveTrusted({ collection, tag: '1' }, { server: notary.server, state, root: { keyIds: rootKeyIds } });

  const codeOf = async (state: TrustStateStore): Promise<string> => {
    const before = await state.load(collection);
    try {
      const { digest } = await resolve(state);
      return `accepted ${digest}`;
    } catch (error) {
      expect(error).toMatchObject({ name: 'TrustError' });
      expect(await state.load(collection)).toEqual(before);
      return (error as { code: string }).code;
    }
  };

  const cases = rows.flatMap((row) => row.on.map((role) => ({ ...row, role })));

  test.each(cases.filter(({ fault }) => fault !== 'RemoveMetadata'))(
    '$fault on $role, its parents mended',
    async ({ spoil, role, mended, fault }) => {
      const touched = fault === 'SetThreshold' || fault === 'RotateKey' ? 'root' : role;
      await spoil(evil, role);
      // UpdateSnapshotHashes and UpdateTimestampHash, in versions that are new.
      if (touched !== 'snapshot' && touched !== 'timestamp') {
        await evil.updateSnapshotHashes();
        await evil.offsetVersion('snapshot', 1);
      }
      if (touched !== 'timestamp') {
        await evil.updateTimestampHash();
        await evil.offsetVersion('timestamp', 1);
      }
      serveAsItIs('timestamp');
      const again = await codeOf(warm);
      if (touched === 'root') {
        // A client that knows a root accepts its successor only; another one of the same version it does not look at.
        expect([...mended, 'MIX_AND_MATCH']).toContain(again);
      } else {
        // What has the version of a file seen before, and says something else, is refused as that.
        expect(fault === 'ExpireMetadata' ? ['ROLLBACK'] : mended).toContain(again);
      }
      // Only who saw the newer version can tell a rollback.
      if (!mended.includes('ROLLBACK')) expect(mended).toContain(await codeOf(createMemoryTrustState()));
    },
  );

  test.each(cases.filter(({ role }) => role !== 'timestamp'))(
    '$fault on $role, its parents as they were',
    async ({ spoil, role, fault }) => {
      await spoil(evil, role);
      const first = await codeOf(createMemoryTrustState());
      const again = await codeOf(warm);
      const accepted = `accepted ${digestOf('1')}`;
      if (fault === 'ChangeRootKey') {
        // Nothing refers to the forged root, and the pin leads past it to the one that is referred to.
        expect(first).toBe(accepted);
      } else if (role === 'root' || fault === 'SetThreshold' || fault === 'RotateKey') {
        // A changed root is met before any hash of it.
        expect(first).not.toBe(accepted);
      } else {
        expect(['MIX_AND_MATCH', 'MISSING_METADATA', 'LIMIT_EXCEEDED']).toContain(first);
      }
      // Who knows everything needs none of the files whose hashes did not change.
      expect(again).toBe(accepted);
    },
  );

  test('RemoveMetadata on timestamp', async () => {
    evil.removeMetadata('timestamp');
    expect(await codeOf(createMemoryTrustState())).toBe('NOT_SIGNED');
    expect(await codeOf(warm)).toBe('NOT_SIGNED');
  });

  test.each(['root', 'timestamp', 'snapshot', 'targets'] as const)(
    'Mutate%s: what is signed and hashed right is believed',
    async (role) => {
      await evil.mutate(role, (signed) => ({ ...signed, expires: '2035-01-01T00:00:00Z' }));
      if (role === 'root') await evil.updateSnapshotHashes();
      if (role === 'targets') await evil.updateSnapshotHashes();
      if (role !== 'timestamp') await evil.updateTimestampHash();
      expect(await codeOf(createMemoryTrustState())).toBe(`accepted ${digestOf('1')}`);
      // The same version with other content is none a client believes who saw the first.
      expect(await codeOf(warm)).toMatch(/ROLLBACK|MIX_AND_MATCH/);
    },
  );

  // An honest server would renew a timestamp that expired, and trip over one that is no JSON.
  function serveAsItIs(role: Role): void {
    const body = evil.bytes(role);
    notary.intercept = (request, reply) =>
      request.path.endsWith(`/${role}.json`) ? { ...reply, status: 200, body } : reply;
  }
});
