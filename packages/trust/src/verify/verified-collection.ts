import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { checkTargetsRole, isDelegationName, parentRole } from '../metadata/names.ts';
import type { MetadataOf } from '../metadata/parse.ts';
import type {
  DelegationRole,
  FileMeta,
  MetadataFile,
  RootMetadata,
  SnapshotMetadata,
  TargetMeta,
  TargetsMetadata,
  TimestampMetadata,
} from '../metadata/types.ts';
import type { MetadataSource } from '../notary/metadata-source.ts';
import { checkExpiry, checkVersion, fetchByMeta, matchesMeta, type UpdateRules } from './file-checks.ts';
import { authorityOf, type VerifiedKey, verifySignatures } from './signatures.ts';

/** Roles looked at for one name: whoever may sign a role can delegate on, as often as a file holds. */
const MAX_ROLES = 4096;

/** A verified targets or delegation file. */
export interface VerifiedTargets {
  readonly file: MetadataFile<TargetsMetadata>;
  readonly signedBy: readonly VerifiedKey[];
  /** The delegation that names the role; absent for `targets`. */
  readonly delegation?: DelegationRole;
}

/** A tag found in a role. */
export interface FoundTarget extends VerifiedTargets {
  readonly role: string;
  readonly target: TargetMeta;
}

/** Everything a {@link VerifiedCollection} is made of. */
export interface VerifiedParts {
  readonly collection: string;
  readonly source: MetadataSource;
  readonly rules: UpdateRules;
  readonly root: MetadataFile<RootMetadata>;
  readonly rootKeys: readonly VerifiedKey[];
  readonly timestamp: MetadataFile<TimestampMetadata>;
  readonly snapshot: MetadataFile<SnapshotMetadata>;
  /** Files verified before, by role. */
  readonly known: ReadonlyMap<string, MetadataFile>;
}

/**
 * A collection whose root, timestamp and snapshot are verified; targets and delegations are fetched and verified when they
 * are asked for.
 */
export class VerifiedCollection {
  readonly collection: string;
  readonly root: MetadataFile<RootMetadata>;
  /** Keys that signed the root. */
  readonly rootKeys: readonly VerifiedKey[];
  readonly timestamp: MetadataFile<TimestampMetadata>;
  readonly snapshot: MetadataFile<SnapshotMetadata>;
  readonly #parts: VerifiedParts;
  readonly #loaded = new Map<string, Promise<VerifiedTargets | undefined>>();

  constructor(parts: VerifiedParts) {
    this.#parts = parts;
    this.collection = parts.collection;
    this.root = parts.root;
    this.rootKeys = parts.rootKeys;
    this.timestamp = parts.timestamp;
    this.snapshot = parts.snapshot;
  }

  /**
   * The verified file of `targets` or of a delegation; `undefined` when the role is not delegated or never published.
   *
   * A role that exists but does not verify throws: falling back to another role would give a removed signer's old tags
   * back.
   *
   * @throws {@link TrustError} `INVALID_NAME` for a role that holds no targets, such as `root`, and why the file is refused
   */
  async role(role: string, options: OperationOptions = {}): Promise<VerifiedTargets | undefined> {
    checkTargetsRole(role);
    const loaded = this.#loaded.get(role) ?? this.#load(role, options);
    this.#loaded.set(role, loaded);
    loaded.catch(() => this.#loaded.delete(role));
    return loaded;
  }

  /** The rules of the update that verified this collection. */
  get rules(): UpdateRules {
    return this.#parts.rules;
  }

  /**
   * The file the snapshot names for a role, without looking at its signatures: for a publisher who is about to sign it
   * again. `undefined` when the role was never published.
   */
  async unverifiedRole(
    role: string,
    options: OperationOptions = {},
  ): Promise<MetadataFile<TargetsMetadata> | undefined> {
    const { meta } = this.snapshot.signed;
    const expected = Object.hasOwn(meta, role) ? meta[role] : undefined;
    return expected === undefined ? undefined : this.#fetch(role, expected, options.signal);
  }

  /** The roles loaded so far. */
  async loaded(): Promise<VerifiedTargets[]> {
    const all = await Promise.all([...this.#loaded.values()].map((loaded) => loaded.catch(() => undefined)));
    return all.filter((verified) => verified !== undefined);
  }

  /** The delegations of a role, in order; none when the role does not exist. */
  async delegations(role: string, options: OperationOptions = {}): Promise<readonly DelegationRole[]> {
    return (await this.role(role, options))?.file.signed.delegations.roles ?? [];
  }

  /** Tells whether the role's parent, and its parents in turn, delegate to a role now. */
  async isDelegated(role: string, options: OperationOptions = {}): Promise<boolean> {
    if (!isDelegationName(role)) return role === 'targets';
    const parent = parentRole(role);
    return (
      (await this.isDelegated(parent, options)) &&
      (await this.delegations(parent, options)).some(({ name }) => name === role)
    );
  }

  /**
   * Looks a target up in one role, then breadth-first in the roles below it that may sign the name.
   *
   * `skip` names roles whose subtrees are left out.
   * @see TUF specification 5.6.7
   */
  async find(
    name: string,
    role: string,
    options: OperationOptions & { readonly skip?: readonly string[] } = {},
  ): Promise<FoundTarget | undefined> {
    const queue = [role];
    for (const visited = new Set<string>(); queue.length > 0; ) {
      const current = queue.shift() ?? role;
      if (visited.has(current) || options.skip?.includes(current)) continue;
      visited.add(current);
      const verified = await this.role(current, options);
      if (verified === undefined || !(await this.#maySign(current, name, options))) continue;
      const { targets, delegations } = verified.file.signed;
      const target = targets !== null && Object.hasOwn(targets, name) ? targets[name] : undefined;
      if (target !== undefined) return { role: current, target, ...verified };
      for (const delegation of delegations.roles ?? []) queue.push(delegation.name);
      if (queue.length + visited.size > MAX_ROLES) {
        throw new TrustError(
          'LIMIT_EXCEEDED',
          `verify ${this.collection}: more than ${MAX_ROLES} delegations`,
        );
      }
    }
    return undefined;
  }

  /** Texts of all verified files, and of known ones that are still current, for the {@link TrustState}. */
  async files(): Promise<Record<string, string>> {
    const files = new Map<string, MetadataFile>();
    for (const [role, file] of this.#parts.known) {
      if (Object.hasOwn(this.snapshot.signed.meta, role)) files.set(role, file);
    }
    for (const [role, loaded] of this.#loaded) {
      const verified = await loaded.catch(() => undefined);
      if (verified !== undefined) files.set(role, verified.file);
    }
    for (const file of [this.root, this.timestamp, this.snapshot]) files.set(file.role, file);
    return Object.fromEntries(
      [...files].map(([role, { bytes }]) => [role, Buffer.from(bytes).toString('utf8')]),
    );
  }

  // Every role on the way down must be allowed to sign the name.
  async #maySign(role: string, name: string, options: OperationOptions): Promise<boolean> {
    for (let current = role; current !== 'targets'; current = parentRole(current)) {
      const delegation = (await this.role(current, options))?.delegation;
      if (!(delegation?.paths ?? []).some((prefix) => name.startsWith(prefix))) return false;
    }
    return true;
  }

  async #load(role: string, { signal }: OperationOptions): Promise<VerifiedTargets | undefined> {
    const { root, snapshot } = this;
    const { rules, known } = this.#parts;
    let authority = authorityOf(root.signed.roles.targets, root.signed.keys);
    let delegation: DelegationRole | undefined;
    if (role !== 'targets') {
      const parent = await this.role(parentRole(role), { ...(signal === undefined ? {} : { signal }) });
      delegation = parent?.file.signed.delegations.roles?.find(({ name }) => name === role);
      if (parent === undefined || delegation === undefined) return undefined;
      authority = authorityOf(delegation, parent.file.signed.delegations.keys);
    }
    const meta = Object.hasOwn(snapshot.signed.meta, role) ? snapshot.signed.meta[role] : undefined;
    if (meta === undefined) return undefined;
    // TUF 5.6.1 to 5.6.5
    const file = await this.#fetch(role, meta, signal);
    const signedBy = verifySignatures(file, authority);
    checkVersion(file, known.get(role), rules);
    checkExpiry(file, rules, 'EXPIRED');
    return { file, signedBy, ...(delegation === undefined ? {} : { delegation }) };
  }

  async #fetch(
    role: string,
    meta: FileMeta,
    signal: AbortSignal | undefined,
  ): Promise<MetadataFile<MetadataOf<string>>> {
    const { known, collection, source, rules } = this.#parts;
    const cached = known.get(role);
    if (cached !== undefined && matchesMeta(cached.bytes, meta))
      return cached as MetadataFile<TargetsMetadata>;
    return fetchByMeta(source, collection, role, meta, rules, signal);
  }
}
