import type { OperationOptions } from '@imagevet/registry';
import { TrustError, type TrustErrorCode } from '../errors.ts';
import { formatGoTime } from '../json/go-time.ts';
import { tufKeyId } from '../keys/public-key.ts';
import { parentRole } from '../metadata/names.ts';
import type { BaseRole, MetadataFile, PublicKey, RootMetadata, TargetsMetadata } from '../metadata/types.ts';
import { authorityOf, type RoleAuthority, SIGNATURE_FAILURES } from '../verify/signatures.ts';
import type { VerifiedCollection } from '../verify/verified-collection.ts';

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

  /** Whether a role is drafted, or published under signatures that count as the collection is published now. */
  async isBelieved(role: string): Promise<boolean> {
    if (this.#roles.has(role)) return true;
    try {
      return (await this.#base?.role(role, this.#options)) !== undefined;
    } catch (error) {
      if (TrustError.is(error) && SIGNATURE_FAILURES.includes(error.code)) return false;
      throw error;
    }
  }

  get root(): RootMetadata {
    return this.#root;
  }

  /** Takes roles over as they were prepared, version and expiry included. */
  async adopt(roles: ReadonlyMap<string, RootMetadata | TargetsMetadata>): Promise<void> {
    this.#dirty.clear();
    for (const [role, signed] of roles) {
      const version = role === 'root' ? this.#root.version : (await this.roleOrEmpty(role)).version;
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
        role === 'root' ? this.#next(this.#root, 'root') : this.#next(await this.role(role), 'targets');
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
      result.push({ role, signed, authorities: await this.authorities(role) });
    }
    return result;
  }

  /** The first targets and roots are version 1; every later one counts up from what is published. */
  #next<T extends RootMetadata | TargetsMetadata>(signed: T, lifetime: 'root' | 'targets'): T {
    const expires = formatGoTime(new Date(this.#now.getTime() + LIFETIME_DAYS[lifetime] * DAY_MS));
    return { ...signed, expires, version: signed.version + 1 };
  }

  /** Who must sign a role: its own keys, and for a root those of its predecessor too. */
  async authorities(role: string): Promise<RoleAuthority[]> {
    const own = (root: RootMetadata, name: BaseRole): RoleAuthority =>
      authorityOf(root.roles[name], root.keys);
    if (role === 'targets') return [own(this.#root, 'targets')];
    if (role === 'root') {
      const previous = this.#previousRoot;
      return [own(this.#root, 'root'), ...(previous === undefined ? [] : [own(previous.signed, 'root')])];
    }
    const { delegations } = await this.role(parentRole(role));
    return [
      authorityOf(
        delegations.roles?.find(({ name }) => name === role),
        delegations.keys,
      ),
    ];
  }

  /** Changes a role; `unverified` takes what it says also when its signatures no longer count. */
  async update(
    role: string,
    change: (signed: TargetsMetadata) => TargetsMetadata,
    unverified = false,
  ): Promise<void> {
    const signed = unverified ? await this.#unverified(role) : await this.roleOrEmpty(role);
    this.#roles.set(role, change(signed));
    this.#dirty.add(role);
  }

  /** Empties a role. */
  async reset(role: string): Promise<void> {
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

  /** A role as drafted or published. @throws {@link TrustError} `INVALID_OPTIONS` when it is neither */
  async role(role: string): Promise<TargetsMetadata> {
    const drafted = this.#roles.get(role) ?? (await this.#published(role));
    if (drafted !== undefined) return drafted;
    throw new TrustError('INVALID_OPTIONS', `${role} is not a published role of the collection`);
  }

  /** A role as drafted or published, or one that holds nothing yet. */
  async roleOrEmpty(role: string): Promise<TargetsMetadata> {
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

  /** Puts other keys in charge of a role of the root. */
  setRoleKeys(role: BaseRole, keys: readonly PublicKey[], threshold: number): void {
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
