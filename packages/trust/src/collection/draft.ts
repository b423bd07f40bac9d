import type { OperationOptions } from '@imagevet/registry';
import { TrustError, type TrustErrorCode } from '../errors.ts';
import { formatGoTime } from '../json/go-time.ts';
import { canonicalKeyId, tufKeyId } from '../keys/public-key.ts';
import { parentRole, RELEASES_ROLE } from '../metadata/names.ts';
import type { BaseRole, MetadataFile, PublicKey, RootMetadata, TargetsMetadata } from '../metadata/types.ts';
import { authorityOf, type RoleAuthority } from '../verify/signatures.ts';
import type { VerifiedCollection } from '../verify/verified-collection.ts';
import type { Change } from './changes.ts';
import { addSigner, removeDelegation, removeSigner, setDelegation } from './delegations.ts';

const DAY_MS = 86_400_000;
/** How long new metadata is valid, in days: what docker and notary write. */
const LIFETIME_DAYS = { root: 3650, targets: 1095, snapshot: 1095 };

/** A role that is ready to be signed. */
export interface UnsignedRole {
  readonly role: string;
  readonly signed: RootMetadata | TargetsMetadata;
  /** Keys that must sign; a new root must satisfy its predecessor as well as itself. */
  readonly authorities: readonly RoleAuthority[];
}

/** The next state of a collection: what is published plus changes, not signed yet. */
export class Draft {
  readonly #base: VerifiedCollection | undefined;
  readonly #previousRoot: MetadataFile<RootMetadata> | undefined;
  readonly #now: Date;
  readonly #options: OperationOptions;
  readonly #roles = new Map<string, TargetsMetadata>();
  readonly #dirty = new Set<string>();
  readonly #adopted = new Map<string, RootMetadata | TargetsMetadata>();
  #root: RootMetadata;

  /**
   * @param root - The root of a new collection, or the current one.
   * @param base - What is published; absent for a new collection.
   */
  constructor(
    root: RootMetadata,
    base: VerifiedCollection | undefined,
    options: OperationOptions & { readonly now: Date },
  ) {
    this.#root = root;
    this.#base = base;
    this.#previousRoot = base?.root;
    this.#now = options.now;
    this.#options = options.signal === undefined ? {} : { signal: options.signal };
    if (base === undefined) {
      this.#dirty.add('root').add('targets');
      this.#roles.set('targets', emptyTargets());
    }
  }

  get root(): RootMetadata {
    return this.#root;
  }

  /** Applies changes in order. */
  async apply(changes: readonly Change[], availableKeys: ReadonlySet<string>): Promise<void> {
    for (const change of changes) await this.#apply(change, availableKeys);
  }

  /** Takes roles over as they were prepared, version and expiry included. */
  async adopt(roles: ReadonlyMap<string, RootMetadata | TargetsMetadata>): Promise<void> {
    this.#dirty.clear();
    for (const [role, signed] of roles) {
      const version = role === 'root' ? this.#root.version : (await this.#roleOrEmpty(role)).version;
      if (signed._type === 'Root') this.#root = { ...signed, version };
      else this.#roles.set(role, { ...signed, version });
      this.#adopted.set(role, signed);
      this.#dirty.add(role);
    }
  }

  /** The changed roles with their next versions and expiry, parents before children. */
  async unsigned(): Promise<UnsignedRole[]> {
    const result: UnsignedRole[] = [];
    for (const role of [...this.#dirty].sort((left, right) => left.length - right.length)) {
      const next =
        role === 'root' ? this.#next(this.#root, 'root') : this.#next(await this.#role(role), 'targets');
      const signed = this.#adopted.get(role) ?? next;
      if (signed.version !== next.version) {
        throw new TrustError(
          'VERSION_CONFLICT',
          `publish ${role}: version ${next.version} is next, not ${signed.version}`,
          {
            hint: 'The collection changed since this version was prepared; prepare it again.',
          },
        );
      }
      result.push({ role, signed, authorities: await this.#authorities(role) });
    }
    return result;
  }

  /** The first targets and roots are version 1; every later one counts up from what is published. */
  #next<T extends RootMetadata | TargetsMetadata>(signed: T, lifetime: 'root' | 'targets'): T {
    const expires = formatGoTime(new Date(this.#now.getTime() + LIFETIME_DAYS[lifetime] * DAY_MS));
    return { ...signed, expires, version: signed.version + 1 };
  }

  async #authorities(role: string): Promise<RoleAuthority[]> {
    const own = (root: RootMetadata, name: BaseRole): RoleAuthority =>
      authorityOf(root.roles[name], root.keys);
    if (role === 'targets') return [own(this.#root, 'targets')];
    if (role === 'root') {
      const previous = this.#previousRoot;
      return [own(this.#root, 'root'), ...(previous === undefined ? [] : [own(previous.signed, 'root')])];
    }
    const { delegations } = await this.#role(parentRole(role));
    return [
      authorityOf(
        delegations.roles?.find(({ name }) => name === role),
        delegations.keys,
      ),
    ];
  }

  async #apply(change: Change, availableKeys: ReadonlySet<string>): Promise<void> {
    switch (change.type) {
      case 'target-set':
        for (const role of change.roles ?? (await this.#signingRoles(change.name, availableKeys))) {
          await this.#checkMaySign(role, change.name);
          await this.#update(role, (signed) => ({
            ...signed,
            targets: { ...signed.targets, [change.name]: change.target },
          }));
        }
        return;
      case 'target-remove':
        return this.#removeTarget(
          change.name,
          change.roles ?? (await this.#rolesOf(change.name, availableKeys)),
        );
      case 'delegation-set':
        return this.#update(parentRole(change.delegation.name), (signed) =>
          setDelegation(signed, change.delegation),
        );
      case 'delegation-remove':
        return this.#update(parentRole(change.name), (signed) => removeDelegation(signed, change.name));
      case 'signer-add':
        return this.#update('targets', (signed) => addSigner(signed, change.name, change.keys));
      case 'signer-remove':
        return this.#removeSigner(change.name, change.resign, availableKeys);
      case 'witness':
        return this.#update(change.role, (signed) => signed, true);
      case 'reset':
        return this.#reset(change.role);
      case 'role-keys':
        this.#setRoleKeys(change.role, change.keys, change.threshold);
        return;
    }
  }

  // Docker's choice: without delegations `targets`, else every top-level delegation we hold a key of.
  async #signingRoles(name: string, availableKeys: ReadonlySet<string>): Promise<string[]> {
    const { delegations } = await this.#role('targets');
    if ((delegations.roles ?? []).length === 0) return ['targets'];
    const roles = (delegations.roles ?? [])
      .filter(({ paths }) => paths?.some((prefix) => name.startsWith(prefix)))
      .filter((role) =>
        [...authorityOf(role, delegations.keys).keys.values()].some((key) =>
          availableKeys.has(canonicalKeyId(key)),
        ),
      )
      .map((role) => role.name);
    if (roles.length > 0) return roles;
    throw new TrustError(
      'KEY_NOT_FOUND',
      `sign ${name}: no key of a delegation that may sign it is in the key store`,
      {
        details: { delegations: (delegations.roles ?? []).map((role) => role.name) },
        hint: 'The collection has delegations, so tags are signed by them and not by targets.',
      },
    );
  }

  /** Roles that hold a name and that we can sign. */
  async #rolesOf(name: string, availableKeys: ReadonlySet<string>): Promise<string[]> {
    const { delegations } = await this.#role('targets');
    const roles: string[] = [];
    for (const role of ['targets', ...(delegations.roles ?? []).map((delegation) => delegation.name)]) {
      const present = Object.hasOwn((await this.#roleOrEmpty(role)).targets ?? {}, name);
      const [authority] = await this.#authorities(role);
      const ours = [...(authority?.keys.values() ?? [])].some((key) =>
        availableKeys.has(canonicalKeyId(key)),
      );
      if (present && ours) roles.push(role);
    }
    return roles;
  }

  async #removeTarget(name: string, roles: readonly string[]): Promise<void> {
    let removed = false;
    for (const role of roles) {
      if (!Object.hasOwn((await this.#roleOrEmpty(role)).targets ?? {}, name)) continue;
      removed = true;
      await this.#update(role, (signed) => ({ ...signed, targets: without(signed.targets ?? {}, name) }));
    }
    if (!removed) {
      throw new TrustError('TAG_NOT_SIGNED', `remove ${name}: no role that we can sign holds it`, {
        details: { roles },
      });
    }
  }

  async #checkMaySign(role: string, name: string): Promise<void> {
    if (role === 'targets') return;
    const { delegations } = await this.#role(parentRole(role));
    const delegation = delegations.roles?.find((candidate) => candidate.name === role);
    if (delegation === undefined) {
      throw new TrustError('INVALID_OPTIONS', `sign ${name}: ${role} is not a role of the collection`);
    }
    if (!delegation.paths?.some((prefix) => name.startsWith(prefix))) {
      throw new TrustError('INVALID_OPTIONS', `sign ${name}: ${role} may not sign this name`);
    }
  }

  async #update(
    role: string,
    change: (signed: TargetsMetadata) => TargetsMetadata,
    unverified = false,
  ): Promise<void> {
    const signed = unverified ? await this.#unverified(role) : await this.#roleOrEmpty(role);
    this.#roles.set(role, change(signed));
    this.#dirty.add(role);
  }

  async #reset(role: string): Promise<void> {
    const former = await this.#base?.unverifiedRole(role, this.#options);
    this.#roles.set(role, { ...emptyTargets(), version: former?.signed.version ?? 0 });
    this.#dirty.add(role);
  }

  async #published(role: string): Promise<TargetsMetadata | undefined> {
    try {
      return (await this.#base?.role(role, this.#options))?.file.signed;
    } catch (cause) {
      if (!TrustError.is(cause)) throw cause;
      throw new TrustError(cause.code as TrustErrorCode, cause.message, {
        cause,
        hint: `What ${role} says is not signed by its keys any more: witness() it to vouch for all of it, or reset() it.`,
      });
    }
  }

  async #role(role: string): Promise<TargetsMetadata> {
    const drafted = this.#roles.get(role) ?? (await this.#published(role));
    if (drafted !== undefined) return drafted;
    throw new TrustError('INVALID_OPTIONS', `${role} is not a published role of the collection`);
  }

  async #roleOrEmpty(role: string): Promise<TargetsMetadata> {
    const drafted = this.#roles.get(role) ?? (await this.#published(role));
    if (drafted !== undefined) return drafted;
    // A role that was removed and comes back counts on from the versions the server keeps.
    const former = await this.#base?.unverifiedRole(role, this.#options);
    return { ...emptyTargets(), version: former?.signed.version ?? 0 };
  }

  // Whoever re-signs a role vouches for what it says, also when its old signatures no longer count.
  async #unverified(role: string): Promise<TargetsMetadata> {
    const signed = this.#roles.get(role) ?? (await this.#base?.unverifiedRole(role, this.#options))?.signed;
    if (signed !== undefined) return signed;
    throw new TrustError('INVALID_OPTIONS', `witness ${role}: it was never published`);
  }

  // The signer's keys leave the releases too; what was released is signed again by whoever stays, or is no longer believed.
  async #removeSigner(name: string, resign: boolean, availableKeys: ReadonlySet<string>): Promise<void> {
    await this.#update('targets', (signed) => removeSigner(signed, name));
    const { delegations } = await this.#role('targets');
    const releases = delegations.roles?.find((role) => role.name === RELEASES_ROLE);
    const published = this.#base?.snapshot.signed.meta[RELEASES_ROLE] !== undefined;
    const ours = [...authorityOf(releases, delegations.keys).keys.values()].some((key) =>
      availableKeys.has(canonicalKeyId(key)),
    );
    if (resign && published && ours) await this.#update(RELEASES_ROLE, (signed) => signed, true);
  }

  #setRoleKeys(role: BaseRole, keys: readonly PublicKey[], threshold: number): void {
    const root = this.#root;
    const ids = keys.map(tufKeyId);
    const roles = { ...root.roles, [role]: { keyids: ids, threshold } };
    const named = new Set(Object.values(roles).flatMap(({ keyids }) => keyids ?? []));
    // Earlier root certificates stay listed, as Notary leaves them; other keys go with their role.
    const formerRoots = new Set(root.roles.root.keyids ?? []);
    const kept = Object.entries(root.keys).filter(([id]) => named.has(id) || formerRoots.has(id));
    const added = keys.map((key, index): [string, PublicKey] => [ids[index] ?? '', key]);
    this.#root = { ...root, keys: Object.fromEntries([...kept, ...added]), roles };
    this.#dirty.add('root');
    // What the old targets key signed no longer verifies.
    if (role === 'targets') this.#dirty.add('targets');
  }
}

/** A targets file of a role that was never published. */
function emptyTargets(): TargetsMetadata {
  return { _type: 'Targets', delegations: { keys: {}, roles: [] }, expires: '', targets: {}, version: 0 };
}

function without<T>(record: Readonly<Record<string, T>>, name: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => key !== name));
}
