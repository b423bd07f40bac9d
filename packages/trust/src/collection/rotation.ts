import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { algorithmFor, type Keypair } from '../keys/keypair.ts';
import { canonicalKeyId, tufKeyId } from '../keys/public-key.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import type { BaseRole, PublicKey } from '../metadata/types.ts';
import { withNotaryClient } from '../notary/server.ts';
import { readIfPresent, writeDurably } from '../storage/durable-file.ts';
import type { SnapshotKeyHolder } from './initial-root.ts';
import type { PublishResult } from './publish.ts';
import type { TrustedCollectionOptions } from './published-collection.ts';
import { TrustedCollection } from './trusted-collection.ts';

/** A rotation that was begun. */
export interface PendingRotation {
  readonly collection: string;
  readonly role: BaseRole;
  /** The key that takes over; its private half is in the key store already. */
  readonly newKey: PublicKey;
  /** Canonical ids of the keys it replaces. */
  readonly oldKeyIds: readonly string[];
}

/** Remembers rotations that were begun, so that one that was interrupted is finished with the same key. */
export interface RotationJournal {
  load(collection: string, role: BaseRole): Promise<PendingRotation | undefined>;
  save(rotation: PendingRotation): Promise<void>;
  clear(collection: string, role: BaseRole): Promise<void>;
}

/** How to rotate a key. */
export interface RotateKeyOptions extends TrustedCollectionOptions, OperationOptions {
  readonly journal: RotationJournal;
  /** Who holds the new snapshot key. @defaultValue `server` */
  readonly holder?: SnapshotKeyHolder;
  /** Keeps the root key and issues it a new certificate, before the old one expires. @defaultValue false */
  readonly renewCertificate?: boolean;
  /**
   * The key that takes over, such as a new one of a token; for `root`, `targets` and a snapshot key of the publisher. It is
   * added to `keys` unless they have it. @defaultValue one that `keys` makes
   */
  readonly newKey?: Keypair;
}

/** What a rotation did. */
export interface RotateKeyResult {
  /** TUF id of the key in charge now. */
  readonly newKeyId: string;
  /** Canonical ids of the keys it replaced; their private halves stay in the key store. */
  readonly oldKeyIds: readonly string[];
  /** Whether an interrupted rotation was finished. */
  readonly resumed: boolean;
  /** What was published; absent when the interrupted rotation had been published already. */
  readonly published?: PublishResult;
}

/**
 * Replaces the key of a role. The new key is stored before anything is published and the old one is never deleted, so an
 * interruption at any moment leaves a collection that can be signed; calling it again finishes the rotation.
 *
 * A root key is replaced by one new key; the old key signs the new root too, so that every client follows.
 *
 * @throws {@link TrustError} `NOT_SIGNED`, `INVALID_OPTIONS` for a root of several keys, and what
 *   {@link TrustedCollection.publish} throws
 */
export async function rotateKey(
  collection: string,
  role: BaseRole,
  options: RotateKeyOptions,
): Promise<RotateKeyResult> {
  const { journal, signal } = options;
  const own = signal === undefined ? {} : { signal };
  return withNotaryClient(options.server, async (client) => {
    const draft = new TrustedCollection(collection, { ...options, server: client });
    const current = (await draft.refresh(own))?.root.signed;
    if (current === undefined)
      throw new TrustError('NOT_SIGNED', `rotate ${role} key of ${collection}: no trust data`);
    const { keyids, threshold } = current.roles[role];
    if (threshold !== 1) {
      throw new TrustError(
        'INVALID_OPTIONS',
        `rotate ${role} key of ${collection}: ${threshold} keys must sign`,
        {
          hint: "Stage { type: 'role-keys' } with all keys of the role and collect signatures with prepare().",
        },
      );
    }
    const begun = await journal.load(collection, role);
    const rotation = begun ?? (await begin());
    const newKeyId = tufKeyId(rotation.newKey);
    const { oldKeyIds } = rotation;
    if (keyids?.includes(newKeyId)) {
      await journal.clear(collection, role);
      return { newKeyId, oldKeyIds, resumed: true };
    }
    const published = await draft
      .stage({ type: 'role-keys', role, keys: [rotation.newKey], threshold: 1 })
      .publish(own);
    await journal.clear(collection, role);
    return { newKeyId, oldKeyIds, resumed: begun !== undefined, published };

    async function begin(): Promise<PendingRotation> {
      const oldKeys = (keyids ?? []).flatMap((id) => current?.keys[id] ?? []);
      const newKey = await newKeyOf(oldKeys);
      const started = { collection, role, newKey, oldKeyIds: oldKeys.map(canonicalKeyId) };
      await journal.save(started);
      return started;
    }

    async function newKeyOf(oldKeys: readonly PublicKey[]): Promise<PublicKey> {
      const { holder = 'server', now } = options;
      if (role === 'timestamp' || (role === 'snapshot' && holder === 'server')) {
        if (options.newKey === undefined) return client.createServerKey(collection, role, own);
        throw new TrustError(
          'INVALID_OPTIONS',
          `rotate ${role} key of ${collection}: the server makes its keys itself`,
          { hint: "Leave newKey out, or take over the snapshot with holder: 'client'." },
        );
      }
      const keypair = await newKeypairOf(oldKeys);
      if (role !== 'root') return keypair.publicKey;
      return issueRootCertificate(keypair, collection, { ...own, ...(now === undefined ? {} : { now }) });
    }

    async function newKeypairOf([oldKey]: readonly PublicKey[]): Promise<Keypair> {
      const { keys, keyAlgorithm, newKey, renewCertificate = false } = options;
      const use = { role, ...(role === 'root' ? {} : { gun: collection }) };
      if (newKey !== undefined) {
        const known = await keys.open(newKey.keyId, own).catch(() => undefined);
        if (known === undefined) await keys.add(newKey, use, own);
        return newKey;
      }
      if (role === 'root' && renewCertificate && oldKey !== undefined) {
        return keys.open(canonicalKeyId(oldKey), own);
      }
      return keys.generate({ ...use, algorithm: algorithmFor(role, keyAlgorithm) }, own);
    }
  });
}

/** Keeps the journal in memory: a crash of this process forgets which new key was meant, and loses none. */
export function createMemoryRotationJournal(): RotationJournal {
  const pending = new Map<string, PendingRotation>();
  return {
    load: async (collection, role) => pending.get(`${role} ${collection}`),
    save: async (rotation) => {
      pending.set(`${rotation.role} ${rotation.collection}`, rotation);
    },
    clear: async (collection, role) => {
      pending.delete(`${role} ${collection}`);
    },
  };
}

/** Keeps the journal in a directory, one file per rotation. */
export function createRotationJournal(directory: string): RotationJournal {
  const pathOf = (collection: string, role: BaseRole): string =>
    join(directory, `rotation-${role}-${createHash('sha256').update(collection).digest('hex')}.json`);
  return {
    load: async (collection, role) => {
      const path = pathOf(collection, role);
      const text = await readIfPresent(path);
      return text === undefined ? undefined : readPending(text, collection, role, path);
    },
    save: (rotation) => writeDurably(pathOf(rotation.collection, rotation.role), JSON.stringify(rotation)),
    clear: (collection, role) => rm(pathOf(collection, role), { force: true }),
  };
}

function readPending(text: string, collection: string, role: BaseRole, path: string): PendingRotation {
  try {
    const value = JSON.parse(text) as PendingRotation;
    if (
      value.collection === collection &&
      value.role === role &&
      typeof tufKeyId(value.newKey) === 'string'
    ) {
      return value;
    }
  } catch {
    // Told below.
  }
  throw new TrustError('MALFORMED', `rotate ${role} key of ${collection}: the journal is damaged`, {
    details: { path },
    hint: 'The new key is in the key store; delete the journal to begin again with another one.',
  });
}
