import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { parseGoTime } from '../json/go-time.ts';
import { checkCollectionName } from '../metadata/names.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { MetadataFile, RootMetadata, SnapshotMetadata, TimestampMetadata } from '../metadata/types.ts';
import type { MetadataSource } from '../notary/metadata-source.ts';
import { isTrustedRoot, type RootTrust, verifyRootItself, verifyRootSuccession } from './root-trust.ts';
import { authorityOf, type VerifiedKey, verifySignatures } from './signatures.ts';
import type { TrustState, TrustStateStore } from './state.ts';
import {
  checkExpiry,
  checkVersion,
  fetchByMeta,
  matchesMeta,
  type UpdateRules,
  VerifiedCollection,
} from './verified-collection.ts';

/** What an update needs. */
export interface UpdateOptions extends OperationOptions {
  readonly source: MetadataSource;
  /** Why the root is trusted; may be left out when the state already holds a root. */
  readonly root?: RootTrust | undefined;
  readonly state: TrustStateStore;
  readonly now?: (() => Date) | undefined;
  /** Reads expired metadata, in order to renew it. @defaultValue false */
  readonly allowExpired?: boolean;
  /** How far a version may be ahead of the last one seen. @defaultValue 1 000 000 */
  readonly maxVersionStep?: number | undefined;
  /** Longest metadata file accepted, whatever its parent says. @defaultValue 32 MiB */
  readonly maxMetadataBytes?: number | undefined;
  /** Longest time since the timestamp was signed. @defaultValue no limit but its expiry */
  readonly maxStalenessMs?: number | undefined;
  /** How long a timestamp is valid when it is signed. @defaultValue 14 days */
  readonly timestampLifetimeMs?: number | undefined;
}

const DEFAULTS = {
  maxVersionStep: 1_000_000,
  maxMetadataBytes: 32 * 1024 * 1024,
  // notary-server's constant; it has no setting for it.
  timestampLifetimeMs: 14 * 86_400_000,
};
const MAX_TIMESTAMP_BYTES = 1024 * 1024;
const MAX_ROOT_BYTES = 4 * 1024 * 1024;
/** Rotations followed in one update. */
const MAX_ROOT_STEPS = 1024;

/** Failures a newer root can explain: its keys or the snapshot's idea of the root changed. */
const ROOT_MAY_EXPLAIN: readonly string[] = [
  'WRONG_KEY',
  'INVALID_SIGNATURE',
  'THRESHOLD',
  'ALGORITHM_MISMATCH',
  'MIX_AND_MATCH',
  'EXPIRED',
];

/**
 * Brings a collection up to date and verifies it from its root down. Nothing is remembered until {@link saveUpdate}.
 *
 * Unlike docker and notary, a server that does not answer is an error: metadata from an earlier run is never taken for
 * current.
 *
 * @see TUF specification 5 (detailed client workflow), with Notary's order: the timestamp first, the root when it changed
 */
export async function updateCollection(
  collection: string,
  options: UpdateOptions,
): Promise<VerifiedCollection> {
  checkCollectionName(collection);
  // TUF 5.1: one start time for the whole update.
  const rules: UpdateRules = {
    now: options.now?.() ?? new Date(),
    allowExpired: options.allowExpired ?? false,
    maxVersionStep: options.maxVersionStep ?? DEFAULTS.maxVersionStep,
    maxMetadataBytes: options.maxMetadataBytes ?? DEFAULTS.maxMetadataBytes,
  };
  const update = new CollectionUpdate(collection, options, rules);
  return update.run(await options.state.load(collection));
}

/** Remembers a verified collection, unless this or a newer one is remembered already. */
export async function saveUpdate(
  verified: VerifiedCollection,
  state: TrustStateStore,
  checkedAt: Date = new Date(),
): Promise<void> {
  const stored = (await state.load(verified.collection))?.files ?? {};
  const files = await verified.files();
  const roles = Object.keys(files);
  if (
    roles.length === Object.keys(stored).length &&
    roles.every((role) => Object.hasOwn(stored, role) && stored[role] === files[role])
  )
    return;
  const newer = (role: 'root' | 'timestamp'): number => {
    const text = Object.hasOwn(stored, role) ? stored[role] : undefined;
    const version = text === undefined ? 0 : parseMetadata(role, Buffer.from(text)).signed.version;
    return version - verified[role].signed.version;
  };
  // A newer root may have started the timestamps anew; an equal one has not.
  if (newer('root') > 0 || (newer('root') === 0 && newer('timestamp') > 0)) return;
  await state.save(verified.collection, { files, checkedAt: checkedAt.getTime() });
}

/** Reads the files of a state; what was verified once may have expired since. */
export function readState(state: TrustState | undefined): Map<string, MetadataFile> {
  return new Map(
    Object.entries(state?.files ?? {}).map(([role, text]) => [role, parseMetadata(role, Buffer.from(text))]),
  );
}

/** How far the server's clock may be ahead of ours. */
const CLOCK_SKEW_MS = 5 * 60_000;

// A timestamp that is valid for longer than any the server signs would hide its age.
function checkStaleness(
  timestamp: MetadataFile<TimestampMetadata>,
  options: Pick<UpdateOptions, 'maxStalenessMs' | 'timestampLifetimeMs'>,
  now: Date,
): void {
  const { maxStalenessMs, timestampLifetimeMs = DEFAULTS.timestampLifetimeMs } = options;
  if (maxStalenessMs === undefined) return;
  if (!(maxStalenessMs >= 0) || !(timestampLifetimeMs > 0)) {
    throw new TrustError(
      'INVALID_OPTIONS',
      'verify: maxStalenessMs and timestampLifetimeMs must be times in milliseconds',
    );
  }
  const { expires } = timestamp.signed;
  const ageMs = now.getTime() - (parseGoTime(expires) - timestampLifetimeMs);
  if (ageMs >= -CLOCK_SKEW_MS && ageMs <= maxStalenessMs) return;
  const told = ageMs < 0 ? `expires only ${expires}` : `signed ${Math.round(ageMs / 1000)} s ago`;
  throw new TrustError(
    'STALE',
    `verify timestamp: ${told}, at most ${maxStalenessMs / 1000} s are accepted`,
    {
      details: { expires, ageMs, maxStalenessMs, timestampLifetimeMs },
      hint:
        ageMs < 0
          ? 'The server signs timestamps for longer than timestampLifetimeMs says, so their age is unknown.'
          : 'Either an old answer is replayed, or nobody published: a publish makes the server sign a new timestamp.',
    },
  );
}

class CollectionUpdate {
  readonly #collection: string;
  readonly #options: UpdateOptions;
  readonly #rules: UpdateRules;
  #known = new Map<string, MetadataFile>();
  /** Whose signatures hold on roots this update looked at. */
  readonly #rootSigners = new Map<MetadataFile, readonly VerifiedKey[]>();

  constructor(collection: string, options: UpdateOptions, rules: UpdateRules) {
    this.#collection = collection;
    this.#options = options;
    this.#rules = rules;
  }

  async run(state: TrustState | undefined): Promise<VerifiedCollection> {
    this.#known = readState(state);
    const root = this.#rememberedRoot() ?? (await this.#firstRoot());
    try {
      return await this.#verify(root);
    } catch (error) {
      if (!TrustError.is(error) || !ROOT_MAY_EXPLAIN.includes(error.code)) throw error;
      const newest = await this.#followRoot(root);
      if (newest === root) throw error;
      return this.#verify(newest);
    }
  }

  // The remembered root is the pin, unless the caller pins another.
  #rememberedRoot(): MetadataFile<RootMetadata> | undefined {
    const root = this.#known.get('root') as MetadataFile<RootMetadata> | undefined;
    const { root: trust } = this.#options;
    if (root === undefined) return undefined;
    return trust === undefined || this.#isTrusted(root, trust) ? root : undefined;
  }

  // One that its own keys did not sign is trusted by nobody.
  #isTrusted(root: MetadataFile<RootMetadata>, trust: RootTrust): boolean {
    try {
      return isTrustedRoot(root, this.#collection, trust, this.#verifyRoot(root, undefined));
    } catch (error) {
      if (TrustError.is(error)) return false;
      throw error;
    }
  }

  #verifyRoot(root: MetadataFile<RootMetadata>, now: Date | undefined): readonly VerifiedKey[] {
    const signers = verifyRootItself(root, this.#collection, now, this.#rootSigners.get(root));
    if (!this.#rootSigners.has(root)) this.#rootSigners.set(root, signers);
    return signers;
  }

  // TUF 5.2: the trusted root comes from the caller's pin.
  async #firstRoot(): Promise<MetadataFile<RootMetadata>> {
    const { root: trust } = this.#options;
    if (trust === undefined) {
      throw new TrustError(
        'ROOT_NOT_PINNED',
        `verify ${this.#collection}: nothing says which root is trusted`,
        {
          hint: 'Give the id of the root key, a CA, or { firstUse: true } when the first contact may be trusted.',
        },
      );
    }
    const newest = await this.#fetchRoot();
    if (newest === undefined) {
      throw new TrustError('NOT_SIGNED', `verify ${this.#collection}: the server has no trust data for it`);
    }
    this.#verifyRoot(newest, undefined);
    // The pinned key may have been rotated: go back to the root it signed, then follow the chain from there.
    for (let root = newest, steps = 0; ; steps += 1) {
      if (this.#isTrusted(root, trust)) return root;
      const previous =
        steps < MAX_ROOT_STEPS && root.signed.version > 1 ? root.signed.version - 1 : undefined;
      const older = previous === undefined ? undefined : await this.#fetchRoot(previous);
      if (older === undefined) throw this.#mismatch(newest);
      root = older;
    }
  }

  #mismatch(root: MetadataFile<RootMetadata>): TrustError {
    return new TrustError('ROOT_MISMATCH', `verify ${this.#collection}: its root is not the pinned one`, {
      details: { received: root.signed.roles.root.keyids ?? [], threshold: root.signed.roles.root.threshold },
      hint: 'Either the pin is wrong or somebody else set up the collection. Compare the key ids over another channel.',
    });
  }

  // TUF 5.3: one version after the other, until the server has no next one.
  async #followRoot(start: MetadataFile<RootMetadata>): Promise<MetadataFile<RootMetadata>> {
    let root = start;
    for (let steps = 0; steps < MAX_ROOT_STEPS; steps += 1) {
      const next = await this.#fetchRoot(root.signed.version + 1);
      if (next === undefined) return root;
      // TUF 5.3.4, 5.3.5; 5.3.7: expiry of those in between does not matter.
      verifyRootSuccession(root, next, this.#collection);
      this.#verifyRoot(next, undefined);
      this.#forgetRotated(root, next);
      root = next;
    }
    throw new TrustError(
      'LIMIT_EXCEEDED',
      `verify ${this.#collection}: more than ${MAX_ROOT_STEPS} root rotations`,
    );
  }

  // TUF 5.3.11: a rotated key recovers from a version nobody can exceed.
  #forgetRotated(before: MetadataFile<RootMetadata>, after: MetadataFile<RootMetadata>): void {
    for (const role of ['timestamp', 'snapshot'] as const) {
      const ids = (root: MetadataFile<RootMetadata>): string => (root.signed.roles[role].keyids ?? []).join();
      if (ids(before) === ids(after)) continue;
      this.#known.delete('timestamp');
      this.#known.delete('snapshot');
    }
  }

  async #verify(root: MetadataFile<RootMetadata>): Promise<VerifiedCollection> {
    const { source, signal } = this.#options;
    const collection = this.#collection;
    const rules = this.#rules;
    // TUF 5.3.10: the newest root must not be expired, nor its certificates.
    const rootKeys = this.#verifyRoot(root, rules.allowExpired ? undefined : rules.now);
    checkExpiry(root, rules, 'EXPIRED');

    // TUF 5.4: timestamp, always from the server.
    const timestamp = await this.#fetchTimestamp();
    verifySignatures(timestamp, authorityOf(root.signed.roles.timestamp, root.signed.keys));
    checkVersion(timestamp, this.#known.get('timestamp'), rules);
    checkExpiry(timestamp, rules, 'FREEZE');
    checkStaleness(timestamp, this.#options, rules.now);

    // TUF 5.5: snapshot, by the hash the timestamp names.
    const seen = this.#known.get('snapshot') as MetadataFile<SnapshotMetadata> | undefined;
    const snapshotMeta = timestamp.signed.meta.snapshot;
    if (snapshotMeta === undefined)
      throw new TrustError('MALFORMED', `verify ${collection}: timestamp names no snapshot`);
    const snapshot =
      seen !== undefined && matchesMeta(seen.bytes, snapshotMeta)
        ? seen
        : await fetchByMeta(source, collection, 'snapshot', snapshotMeta, rules, signal);
    verifySignatures(snapshot, authorityOf(root.signed.roles.snapshot, root.signed.keys));
    checkVersion(snapshot, seen, rules);
    checkExpiry(snapshot, rules, 'EXPIRED');

    const rootMeta = snapshot.signed.meta.root;
    if (rootMeta === undefined || !matchesMeta(root.bytes, rootMeta)) {
      throw new TrustError('MIX_AND_MATCH', `verify ${collection}: the snapshot names another root`, {
        details: { rootVersion: root.signed.version },
      });
    }
    const verified = new VerifiedCollection({
      collection,
      source,
      rules,
      root,
      rootKeys,
      timestamp,
      snapshot,
      known: this.#known,
    });
    // TUF 5.6: targets; delegations follow when they are asked for.
    const targets = await verified.role('targets', this.#options);
    if (targets === undefined)
      throw new TrustError('MALFORMED', `verify ${collection}: snapshot names no targets`);
    return verified;
  }

  async #fetchTimestamp(): Promise<MetadataFile<TimestampMetadata>> {
    const { source, signal } = this.#options;
    const bytes = await source.fetchMetadata(this.#collection, 'timestamp', {
      maxBytes: MAX_TIMESTAMP_BYTES,
      ...(signal === undefined ? {} : { signal }),
    });
    if (bytes === undefined) {
      const known = this.#known.has('timestamp');
      throw new TrustError('NOT_SIGNED', `verify ${this.#collection}: the server has no timestamp for it`, {
        ...(known ? { hint: 'It was signed before: the server lost its data, or somebody hides it.' } : {}),
      });
    }
    return parseMetadata('timestamp', bytes);
  }

  async #fetchRoot(version?: number): Promise<MetadataFile<RootMetadata> | undefined> {
    const { source, signal } = this.#options;
    const bytes = await source.fetchMetadata(this.#collection, 'root', {
      maxBytes: MAX_ROOT_BYTES,
      ...(version === undefined ? {} : { version }),
      ...(signal === undefined ? {} : { signal }),
    });
    return bytes === undefined ? undefined : parseMetadata('root', bytes);
  }
}
