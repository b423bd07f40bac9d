import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { checkCollectionName } from '../metadata/names.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { MetadataFile, RootMetadata, SnapshotMetadata, TimestampMetadata } from '../metadata/types.ts';
import type { MetadataSource } from '../notary/metadata-source.ts';
import { checkExpiry, checkVersion, fetchByMeta, matchesMeta, type UpdateRules } from './file-checks.ts';
import { RootChain } from './root-chain.ts';
import type { RootTrust } from './root-trust.ts';
import { authorityOf, verifySignatures } from './signatures.ts';
import { checkStaleness, type StalenessOptions } from './staleness.ts';
import type { TrustState, TrustStateStore } from './state.ts';
import { VerifiedCollection } from './verified-collection.ts';

/** What an update needs. */
export interface UpdateOptions extends OperationOptions, StalenessOptions {
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
}

/** Longest metadata file read, and published. */
export const MAX_METADATA_BYTES: number = 32 * 1024 * 1024;
const DEFAULTS = { maxVersionStep: 1_000_000, maxMetadataBytes: MAX_METADATA_BYTES };
const MAX_TIMESTAMP_BYTES = 1024 * 1024;
/** How often an update begins again below a newer root. */
const MAX_ATTEMPTS = 16;

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
 * Brings a collection up to date and verifies it from its root down. Nothing is remembered until {@link saveUpdate}, but a
 * newer root that the remembered one leads to: whatever fails below it, what it replaced is not trusted again.
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
  // What another verification of the same snapshot looked at meanwhile stays remembered.
  const files = { ...stillNamed(stored, verified), ...(await verified.files()) };
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

function stillNamed(
  stored: Readonly<Record<string, string>>,
  { snapshot }: VerifiedCollection,
): Record<string, string> {
  const { meta } = snapshot.signed;
  return Object.fromEntries(
    Object.entries(stored).filter(([role, text]) => {
      const named = Object.hasOwn(meta, role) ? meta[role] : undefined;
      return named !== undefined && matchesMeta(Buffer.from(text), named);
    }),
  );
}

/** Files parsed from a state that is still in memory, beside the texts they were parsed from. */
const parsed = new WeakMap<TrustState, Map<string, { readonly text: string; readonly file: MetadataFile }>>();

/** Reads the files of a state; what was verified once may have expired since. */
export function readState(state: TrustState | undefined): Map<string, MetadataFile> {
  const files = new Map<string, MetadataFile>();
  if (state === undefined) return files;
  const known = parsed.get(state) ?? new Map();
  parsed.set(state, known);
  for (const [role, text] of Object.entries(state.files)) {
    const entry = known.get(role);
    const file = entry?.text === text ? entry.file : parseMetadata(role, Buffer.from(text));
    known.set(role, { text, file });
    files.set(role, file);
  }
  return files;
}

class CollectionUpdate {
  readonly #collection: string;
  readonly #options: UpdateOptions;
  readonly #rules: UpdateRules;
  #known = new Map<string, MetadataFile>();
  readonly #roots: RootChain;

  constructor(collection: string, options: UpdateOptions, rules: UpdateRules) {
    this.#collection = collection;
    this.#options = options;
    this.#rules = rules;
    this.#roots = new RootChain(collection, { ...options, now: rules.allowExpired ? undefined : rules.now });
  }

  async run(state: TrustState | undefined): Promise<VerifiedCollection> {
    this.#known = readState(state);
    const remembered = this.#known.get('root') as MetadataFile<RootMetadata> | undefined;
    let root = this.#newestOf(await this.#roots.trusted(remembered));
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#verify(root);
      } catch (error) {
        if (!TrustError.is(error) || !ROOT_MAY_EXPLAIN.includes(error.code)) throw error;
        const newest = this.#newestOf(await this.#roots.follow(root));
        // Somebody may rotate keys just now: as long as roots come, what is below is read again.
        if (newest === root || attempt >= MAX_ATTEMPTS) throw error;
        root = newest;
        // TUF 5.3.8: the root is kept as soon as it is verified.
        if (state !== undefined) await this.#remember(state, root);
      }
    }
  }

  async #remember(state: TrustState, root: MetadataFile<RootMetadata>): Promise<void> {
    const files = [...this.#known.values(), root].map(({ role, bytes }) => [
      role,
      Buffer.from(bytes).toString('utf8'),
    ]);
    await this.#options.state.save(this.#collection, { ...state, files: Object.fromEntries(files) });
  }

  #newestOf([first, ...successors]: Awaited<ReturnType<RootChain['follow']>>): MetadataFile<RootMetadata> {
    let newest = first;
    for (const root of successors) {
      this.#forgetRotated(newest, root);
      newest = root;
    }
    return newest;
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
    const rootKeys = this.#roots.verify(root, rules.allowExpired ? undefined : rules.now);
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
    await this.#checkNothingHidden(seen, verified);
    return verified;
  }

  // TUF 5.5.5: no file seen before may be missing, unless the snapshot key was rotated. Notary's own client takes a role out
  // of the snapshot together with its delegation; whoever holds the snapshot key cannot take the delegation out of targets.
  async #checkNothingHidden(
    seen: MetadataFile<SnapshotMetadata> | undefined,
    verified: VerifiedCollection,
  ): Promise<void> {
    for (const role of Object.keys(seen?.signed.meta ?? {})) {
      if (Object.hasOwn(verified.snapshot.signed.meta, role)) continue;
      if (!(await verified.isDelegated(role, this.#options))) continue;
      throw new TrustError(
        'ROLLBACK',
        `verify ${role}: the snapshot of version ${verified.snapshot.signed.version} lacks a file seen before`,
        {
          details: { seen: seen?.signed.version, received: verified.snapshot.signed.version },
          hint: 'Somebody hides what the role signed, or it was set up anew: once it signs again, it is read again.',
        },
      );
    }
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
}
