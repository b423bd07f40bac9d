// What makes a root trusted, on roots written by somebody who holds none of its owner's keys.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { digestOf } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { available } from '../../../../test/services.ts';
import { createMemoryRotationJournal, rotateKey } from '../collection/rotation.ts';
import type { JsonValue } from '../json/canonical-json.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { generateKeypair, type Keypair } from '../keys/keypair.ts';
import { canonicalKeyId, certificatesOf, tufKeyId } from '../keys/public-key.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { PublicKey } from '../metadata/types.ts';
import { signTag } from '../sign.ts';
import { EvilNotary, type RawMetadata } from '../testing/evil-notary.ts';
import { type RunningNotary, startNotary } from '../testing/notary.ts';
import { resolveTrusted, type VerifyOptions } from '../verify.ts';
import { isTrustedRoot, type RootTrust } from './root-trust.ts';

const collection = 'rooted.example.com/app';

describe('resolveTrusted()', () => {
  let notary: RunningNotary;
  let keys: KeyStore;
  let evil: EvilNotary;
  let pin: string;

  beforeEach(async () => {
    notary = await startNotary();
    keys = createKeyStore();
    evil = new EvilNotary(notary, collection, keys);
    const target = { tag: '1', digest: digestOf('1'), size: 1 };
    const signed = await signTag(target, { collection, server: notary.server, keys });
    pin = signed.rootKeyIds[0] ?? '';
  });
  afterEach(() => notary.close());

  const resolve = (options: VerifyOptions = {}) =>
    resolveTrusted({ collection, tag: '1' }, { server: notary.server, root: { keyIds: [pin] }, ...options });
  const relink = async (): Promise<void> => {
    await evil.updateSnapshotHashes();
    await evil.updateTimestampHash();
  };
  const listed = (signed: RawMetadata) => signed.keys as RawMetadata;
  const json = (key: PublicKey) => key as unknown as JsonValue;

  test("row 6: refuses an intruder's certificate listed under the pinned id", async () => {
    const intruder = generateKeypair();
    const certificate = await issueRootCertificate(intruder, collection);
    const root = evil.read('root');
    const forged = { ...root, keys: { ...listed(root), [pin]: json(certificate) } };
    evil.write('root', forged, [{ ...(await evil.signature(forged, intruder)), keyid: pin }]);
    await relink();
    await expect(resolve()).rejects.toMatchObject({ name: 'TrustError', code: 'WRONG_KEY' });
    const file = parseMetadata('root', evil.bytes('root'));
    const signers = [{ tufId: pin, keyId: canonicalKeyId(certificate) }];
    // Even if such a signature had counted.
    expect(isTrustedRoot(file, collection, { keyIds: [pin] }, signers)).toBe(false);
    expect(isTrustedRoot(file, collection, { keyIds: [tufKeyId(certificate)] }, signers)).toBe(true);
  });

  const spkiOf = (key: PublicKey) =>
    createHash('sha256')
      .update(certificatesOf(key)[0]?.publicKey.export({ format: 'der', type: 'spki' }) ?? '')
      .digest('base64');
  const rootKey = () => listed(evil.read('root'))[pin] as unknown as PublicKey;

  test('believes the SPKI hash of the root key, of that key alone, and of its renewed certificate', async () => {
    const spkiSha256 = [spkiOf(rootKey())];
    expect((await resolve({ root: { spkiSha256 } })).rootKeyIds).toEqual([pin]);
    const other = await issueRootCertificate(generateKeypair(), collection);
    await expect(resolve({ root: { spkiSha256: [spkiOf(other)] } })).rejects.toMatchObject({
      code: 'ROOT_MISMATCH',
    });
    const own = { server: notary.server, keys, journal: createMemoryRotationJournal() };
    const { newKeyId } = await rotateKey(collection, 'root', { ...own, renewCertificate: true });
    expect((await resolve({ root: { spkiSha256 } })).rootKeyIds).toEqual([newKeyId]);
  });

  test.skipIf(!available('openssl'))('openssl prints that hash', async () => {
    const pem = certificatesOf(rootKey())[0]?.toString();
    const pipe = (args: string[], input: string | Buffer | undefined) =>
      execFileSync('openssl', args, { ...(input === undefined ? {} : { input }) });
    const der = pipe(['pkey', '-pubin', '-outform', 'der'], pipe(['x509', '-noout', '-pubkey'], pem));
    const printed = pipe(['dgst', '-sha256', '-binary'], der).toString('base64');
    expect((await resolve({ root: { spkiSha256: [printed] } })).rootKeyIds).toEqual([pin]);
  });

  test.each<[string, unknown]>([
    ['two reasons', { keyIds: ['0'.repeat(64)], firstUse: true }],
    ['a reason that is taken back', { keyIds: ['0'.repeat(64)], firstUse: false }],
    ['none', {}],
    ['no first use', { firstUse: false }],
    ['an SPKI hash in hexadecimal', { spkiSha256: ['0'.repeat(64)] }],
    ['one id instead of a list', { keyIds: '0'.repeat(64) }],
  ])('refuses a pin that says %s, and asks nobody', async (_, root) => {
    const before = notary.requests.length;
    await expect(resolve({ root: root as RootTrust })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
    expect(notary.requests.length).toBe(before);
  });

  /** A root that names one more root key, signed by some of both. */
  async function withSecondKey(
    certificate: PublicKey,
    threshold: number,
    signers: readonly (readonly [Keypair, PublicKey])[],
  ): Promise<void> {
    const root = evil.read('root');
    const keyids = [pin, tufKeyId(certificate)];
    const roles = { ...(root.roles as RawMetadata), root: { keyids, threshold } };
    const changed = { ...root, keys: { ...listed(root), [tufKeyId(certificate)]: json(certificate) }, roles };
    const signatures = signers.map(([keypair, key]) => evil.signature(changed, keypair, key));
    evil.write('root', changed, await Promise.all(signatures));
    await relink();
  }

  test('counts no certificate of another collection beside one of this', async () => {
    const second = generateKeypair();
    const foreign = await issueRootCertificate(second, 'rooted.example.com/other');
    await withSecondKey(foreign, 1, [[second, foreign]]);
    await expect(resolve({ root: { keyIds: [tufKeyId(foreign)] } })).rejects.toMatchObject({
      code: 'WRONG_KEY',
    });
    const own = await issueRootCertificate(second, collection);
    await withSecondKey(own, 1, [[second, own]]);
    expect((await resolve({ root: { keyIds: [tufKeyId(own)] } })).rootKeyIds).toEqual([tufKeyId(own)]);
  });

  test('counts no certificate that expired beside one that did not', async () => {
    const first = listed(evil.read('root'))[pin] as unknown as PublicKey;
    const owner = await keys.open(canonicalKeyId(first));
    const second = generateKeypair();
    const brief = await issueRootCertificate(second, collection, { lifetimeDays: 1 });
    await withSecondKey(brief, 2, [
      [owner, first],
      [second, brief],
    ]);
    const both = { root: { keyIds: [pin, tufKeyId(brief)] } };
    expect((await resolve(both)).rootKeyIds.length).toBe(2);
    const now = () => new Date(Date.now() + 2 * 86_400_000);
    await expect(resolve({ ...both, now })).rejects.toMatchObject({ code: 'THRESHOLD' });
  });

  test('wants as many pinned keys among the signers as must sign', async () => {
    const first = rootKey();
    const owner = await keys.open(canonicalKeyId(first));
    const second = generateKeypair();
    const other = await issueRootCertificate(second, collection);
    await withSecondKey(other, 2, [
      [owner, first],
      [second, other],
    ]);
    const pins: RootTrust[] = [
      { keyIds: [pin] },
      { keyIds: [tufKeyId(other)] },
      // The id of a key and the one of its certificate are no two keys.
      { keyIds: [pin, canonicalKeyId(first)] },
      { spkiSha256: [spkiOf(first)] },
    ];
    for (const root of pins) await expect(resolve({ root })).rejects.toMatchObject({ code: 'ROOT_MISMATCH' });
    const all = { spkiSha256: [spkiOf(first), spkiOf(other)] };
    for (const root of [all, { keyIds: [pin, second.keyId] }])
      expect((await resolve({ root })).rootKeyIds).toHaveLength(2);
  });
});
