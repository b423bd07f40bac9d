// Random valid collections through a real server: nothing that publishes may break, and what comes back is what went in.
// IMAGEVET_RANDOM_COLLECTIONS says how many.
import { digestOf } from '@imagevet/registry';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { notaryServers, type ServerUnderTest } from '../../test/servers.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { NotaryClient } from '../notary/client.ts';
import type { PublishPart } from '../notary/multipart.ts';
import { createMemoryTrustState } from '../verify/state.ts';
import { listTrusted } from '../verify.ts';
import { TrustedCollection } from './trusted-collection.ts';

const runs = Number(process.env.IMAGEVET_RANDOM_COLLECTIONS ?? 40);

// What the format can carry: no control characters; in custom data neither what Go escapes.
const text = (refused: RegExp, maxLength: number) =>
  fc
    .string({ unit: 'binary', minLength: 1, maxLength })
    .filter((value) => value.isWellFormed() && !refused.test(value));
// biome-ignore lint/suspicious/noControlCharactersInRegex: these the format cannot hold
const name = text(/[\u0000-\u001f\u007f]/, 40);
// biome-ignore lint/suspicious/noControlCharactersInRegex: these the format cannot hold
const safe = text(/[\u0000-\u001f<>&\u2028\u2029]/, 20);
const custom = fc.letrec((tie) => ({
  object: fc.dictionary(safe, tie('value'), { maxKeys: 3 }),
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger(),
    safe,
    fc.array(tie('value'), { maxLength: 3 }),
    tie('object'),
  ),
})).object;
const target = fc.record(
  { tag: name, content: fc.string(), size: fc.nat(), custom },
  { requiredKeys: ['tag', 'content', 'size'] },
);
const collections = fc.record({
  targets: fc.uniqueArray(target, { minLength: 1, maxLength: 6, selector: ({ tag }) => tag }),
  signers: fc.uniqueArray(fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,8}$/), { maxLength: 3 }),
  paths: fc.array(safe, { maxLength: 2 }),
  threshold: fc.integer({ min: 1, max: 3 }),
  snapshotKey: fc.constantFrom('server' as const, 'client' as const),
});

/** Remembers what was sent last. */
class RecordingClient extends NotaryClient {
  sent: readonly PublishPart[] = [];

  override async publish(...args: Parameters<NotaryClient['publish']>): Promise<void> {
    [, this.sent] = args;
    await super.publish(...args);
  }
}

/** The server has every file as it was sent, byte for byte, by its role and by its hash. */
async function expectKept(client: RecordingClient, collection: string): Promise<void> {
  expect(client.sent.length).toBeGreaterThan(0);
  for (const { role, bytes } of client.sent) {
    const sha256 = digestOf(bytes).slice('sha256:'.length);
    for (const selector of [{}, { sha256 }]) {
      const kept = await client.fetchMetadata(collection, role, selector);
      expect([role, Buffer.from(kept ?? []).toString()]).toEqual([role, Buffer.from(bytes).toString()]);
    }
  }
}

describe.each(notaryServers)('against $name', ({ start }) => {
  let running: ServerUnderTest;
  let team: KeyStore;
  beforeAll(async () => {
    running = await start();
    team = createKeyStore();
    for (const algorithm of ['ecdsa-p256', 'ecdsa-p384', 'ed25519'] as const) {
      await team.generate({ role: 'team', algorithm });
    }
  });
  afterAll(() => running.close());

  test(
    `publish() of ${runs} random collections breaks none of them`,
    async () => {
      const { server } = running;
      const client = new RecordingClient(server);
      const root = await team.generate({ role: 'root' });
      const keys: string[] = [];
      for await (const { keyId, role } of team.list()) if (role === 'team') keys.push(keyId);
      const publicKeys = await Promise.all(keys.map(async (keyId) => (await team.open(keyId)).publicKey));
      let count = 0;
      await fc.assert(
        fc.asyncProperty(collections, async ({ targets, signers, paths, threshold, snapshotKey }) => {
          count += 1;
          // A name no other starts with: the memory store of notary-server deletes and lists by prefix.
          const collection = `random.example.com/${count}/app`;
          const state = createMemoryTrustState();
          const draft = new TrustedCollection(collection, { server: client, keys: team, snapshotKey, state });
          for (const { tag, content, ...rest } of targets) {
            draft.setTarget({ tag, digest: digestOf(content), ...rest }, { roles: ['targets'] });
          }
          for (const signer of signers) {
            draft.setDelegation({ name: `targets/${signer}`, keys: publicKeys, threshold, paths });
          }
          const first = await draft.publish();
          await expectKept(client, collection);
          await draft.witness('targets').publish();
          await expectKept(client, collection);
          const listed = await listTrusted({ collection }, { server, root: { keyIds: first.rootKeyIds } });
          const expected = targets.map(({ tag, content, size, custom: data }) => ({
            tag,
            digest: digestOf(content),
            length: size,
            ...(data === undefined ? {} : { custom: JSON.parse(JSON.stringify(data)) }),
          }));
          expect(
            listed.map(({ tag, digest, length, custom: data }) => ({
              tag,
              digest,
              length,
              ...(data === undefined ? {} : { custom: data }),
            })),
          ).toEqual(expected.sort((left, right) => (left.tag < right.tag ? -1 : 1)));
        }),
        { numRuns: runs, endOnFailure: true },
      );
      await client.close();
      expect(count).toBe(runs);
      expect(root.keyId).toMatch(/^[0-9a-f]{64}$/);
    },
    Math.max(600_000, runs * 1000),
  );
});
