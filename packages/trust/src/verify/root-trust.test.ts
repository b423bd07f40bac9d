// What makes a root trusted, on roots written by somebody who holds none of its owner's keys.
import { digestOf } from '@imagevet/registry';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonValue } from '../json/canonical-json.ts';
import { createKeyStore, type KeyStore } from '../keys/key-store.ts';
import { generateKeypair, type Keypair } from '../keys/keypair.ts';
import { canonicalKeyId, tufKeyId } from '../keys/public-key.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { PublicKey } from '../metadata/types.ts';
import { signTag } from '../sign.ts';
import { EvilNotary, type RawMetadata } from '../testing/evil-notary.ts';
import { type RunningNotary, startNotary } from '../testing/notary.ts';
import { resolveTrusted, type VerifyOptions } from '../verify.ts';
import { isTrustedRoot } from './root-trust.ts';

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
});
