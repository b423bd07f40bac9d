// The nineteen named faults of Notary's own fault generator, each on every role it can hit, with the parents' hashes left
// as they were or mended, against a first contact and against a client that knows everything.
import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TrustedCollection } from '../collection/trusted-collection.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { signTag } from '../sign.ts';
import { createMemoryTrustState, type TrustStateStore } from '../verify/state.ts';
import { resolveTrusted } from '../verify.ts';
import { EvilNotary } from './evil-notary.ts';
import { type RunningNotary, startNotary } from './notary.ts';

const collection = 'evil.example.com/app';
const roles = ['root', 'targets', 'targets/releases', 'snapshot', 'timestamp'] as const;
type Role = (typeof roles)[number];

/** A fault, and what a first contact tells it as once the hashes above it are mended and signed. */
interface Row {
  readonly fault: string;
  readonly on: readonly Role[];
  spoil(evil: EvilNotary, role: Role): void | Promise<void>;
  readonly code: string;
}

const ACCEPTED = `accepted ${digestOf('1')}`;

const rows: readonly Row[] = [
  {
    fault: 'SetInvalidJSON',
    on: roles,
    spoil: (evil, role) => evil.setInvalidJson(role),
    code: 'MALFORMED',
  },
  {
    fault: 'AddExtraSpace',
    on: roles,
    spoil: (evil, role) => evil.addExtraSpace(role),
    code: 'MALFORMED',
  },
  {
    fault: 'SetInvalidSigned',
    on: roles,
    spoil: (evil, role) => evil.setInvalidSigned(role),
    code: 'MALFORMED',
  },
  {
    fault: 'SetInvalidSignedMeta',
    on: roles,
    spoil: (evil, role) => evil.setInvalidSignedMeta(role),
    code: 'MALFORMED',
  },
  {
    fault: 'SetInvalidMetadataType',
    on: roles,
    spoil: (evil, role) => evil.setInvalidMetadataType(role),
    code: 'MALFORMED',
  },
  {
    fault: 'InvalidateMetadataSignatures',
    on: roles,
    spoil: (evil, role) => evil.invalidateSignatures(role),
    code: 'INVALID_SIGNATURE',
  },
  {
    fault: 'RemoveMetadata',
    on: ['root', 'targets', 'targets/releases', 'snapshot', 'timestamp'],
    spoil: (evil, role) => evil.removeMetadata(role),
    code: 'MISSING_METADATA',
  },
  {
    fault: 'SignMetadataWithInvalidKey',
    on: roles,
    spoil: (evil, role) => evil.signWithInvalidKey(role),
    code: 'WRONG_KEY',
  },
  {
    fault: 'OffsetMetadataVersion',
    on: ['targets', 'targets/releases', 'snapshot', 'timestamp'],
    spoil: (evil, role) => evil.offsetVersion(role, -1),
    code: ACCEPTED,
  },
  {
    fault: 'ExpireMetadata',
    on: roles,
    spoil: (evil, role) => evil.expire(role),
    code: 'EXPIRED',
  },
  {
    fault: 'SetThreshold',
    on: ['root', 'targets', 'snapshot', 'timestamp'],
    spoil: (evil, role) => evil.setThreshold(role, 2),
    code: 'THRESHOLD',
  },
  {
    fault: 'RotateKey',
    on: ['targets', 'snapshot', 'timestamp'],
    spoil: (evil, role) => evil.rotateKey(role),
    code: 'WRONG_KEY',
  },
  {
    fault: 'ChangeRootKey',
    on: ['root'],
    spoil: (evil) => evil.changeRootKey(),
    code: 'ROOT_CHAIN',
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
    async ({ spoil, role, code, fault }) => {
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
      const isFrozen = fault === 'ExpireMetadata' && role === 'timestamp';
      expect(await codeOf(createMemoryTrustState())).toBe(isFrozen ? 'FREEZE' : code);
      expect(await codeOf(warm)).toBe(warmCode(fault, touched, code));
    },
  );

  /** What somebody tells a fault as who knows the honest files. */
  function warmCode(fault: string, touched: Role, code: string): string {
    // A client that knows a root accepts its successor only; another one of the same version it does not look at.
    if (touched === 'root') return fault === 'ChangeRootKey' ? code : 'MIX_AND_MATCH';
    // What has the version of a file seen before, and says something else, or a version before, is refused as that.
    return fault === 'ExpireMetadata' || fault === 'OffsetMetadataVersion' ? 'ROLLBACK' : code;
  }

  test.each(cases.filter(({ role }) => role !== 'timestamp'))(
    '$fault on $role, its parents as they were',
    async ({ spoil, role, fault, code }) => {
      await spoil(evil, role);
      expect(await codeOf(createMemoryTrustState())).toBe(bareCode(fault, role, code));
      // Who knows everything needs none of the files whose hashes did not change.
      expect(await codeOf(warm)).toBe(ACCEPTED);
    },
  );

  /** What a first contact tells a fault as that no parent covers. */
  function bareCode(fault: string, role: Role, code: string): string {
    // Nothing refers to the forged root, and the pin leads past it to the one that is referred to.
    if (fault === 'ChangeRootKey') return ACCEPTED;
    // These are faults of the root. It is met first, but for targets: the snapshot names another root before they are read.
    if (fault === 'SetThreshold' || fault === 'RotateKey') return role === 'targets' ? 'MIX_AND_MATCH' : code;
    if (role === 'root') return fault === 'RemoveMetadata' ? 'NOT_SIGNED' : code;
    return 'MISSING_METADATA';
  }

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
