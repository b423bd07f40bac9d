import { TrustError } from '../errors.ts';
import { canonicalKeyId } from '../keys/public-key.ts';
import { parentRole, RELEASES_ROLE } from '../metadata/names.ts';
import { authorityOf } from '../verify/signatures.ts';
import type { Change } from './changes.ts';
import { addSigner, removeDelegation, removeSigner, setDelegation } from './delegations.ts';
import type { Draft } from './draft.ts';

/**
 * Applies changes to a draft, in order.
 *
 * @param keys - Canonical ids of the keys that can sign: they decide which roles a tag goes to.
 * @throws {@link TrustError} `KEY_NOT_FOUND`, `TAG_NOT_SIGNED`, `INVALID_OPTIONS`
 */
export async function applyChanges(
  draft: Draft,
  changes: readonly Change[],
  keys: ReadonlySet<string>,
): Promise<void> {
  for (const change of changes) await applyChange(draft, change, keys);
}

async function applyChange(draft: Draft, change: Change, keys: ReadonlySet<string>): Promise<void> {
  switch (change.type) {
    case 'target-set':
      for (const role of change.roles ?? (await signingRoles(draft, change.name, keys))) {
        await checkMaySign(draft, role, change.name);
        await draft.update(role, (signed) => ({
          ...signed,
          targets: { ...signed.targets, [change.name]: change.target },
        }));
      }
      return;
    case 'target-remove':
      return removeTarget(draft, change.name, change.roles ?? (await rolesOf(draft, change.name, keys)));
    case 'delegation-set':
      return draft.update(parentRole(change.delegation.name), (signed) =>
        setDelegation(signed, change.delegation),
      );
    case 'delegation-remove':
      return draft.update(parentRole(change.name), (signed) => removeDelegation(signed, change.name));
    case 'signer-add':
      return draft.update('targets', (signed) => addSigner(signed, change.name, change.keys));
    case 'signer-remove':
      return takeSignerAway(draft, change.name, change.resign, keys);
    case 'witness':
      return draft.update(change.role, (signed) => signed, true);
    case 'reset':
      return draft.reset(change.role);
    case 'role-keys':
      draft.setRoleKeys(change.role, change.keys, change.threshold);
      return;
  }
}

// Docker's choice: without delegations `targets`, else every top-level delegation we hold a key of.
async function signingRoles(draft: Draft, name: string, keys: ReadonlySet<string>): Promise<string[]> {
  const { delegations } = await draft.role('targets');
  if ((delegations.roles ?? []).length === 0) return ['targets'];
  const roles = (delegations.roles ?? [])
    .filter(({ paths }) => paths?.some((prefix) => name.startsWith(prefix)))
    .filter((role) =>
      [...authorityOf(role, delegations.keys).keys.values()].some((key) => keys.has(canonicalKeyId(key))),
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
async function rolesOf(draft: Draft, name: string, keys: ReadonlySet<string>): Promise<string[]> {
  const { delegations } = await draft.role('targets');
  const roles: string[] = [];
  for (const role of ['targets', ...(delegations.roles ?? []).map((delegation) => delegation.name)]) {
    const present = Object.hasOwn((await draft.roleOrEmpty(role)).targets ?? {}, name);
    const [authority] = await draft.authorities(role);
    const ours = [...(authority?.keys.values() ?? [])].some((key) => keys.has(canonicalKeyId(key)));
    if (present && ours) roles.push(role);
  }
  return roles;
}

async function removeTarget(draft: Draft, name: string, roles: readonly string[]): Promise<void> {
  let removed = false;
  for (const role of roles) {
    if (!Object.hasOwn((await draft.roleOrEmpty(role)).targets ?? {}, name)) continue;
    removed = true;
    await draft.update(role, (signed) => ({ ...signed, targets: without(signed.targets ?? {}, name) }));
  }
  if (!removed) {
    throw new TrustError('TAG_NOT_SIGNED', `remove ${name}: no role that we can sign holds it`, {
      details: { roles },
    });
  }
}

async function checkMaySign(draft: Draft, role: string, name: string): Promise<void> {
  if (role === 'targets') return;
  const { delegations } = await draft.role(parentRole(role));
  const delegation = delegations.roles?.find((candidate) => candidate.name === role);
  if (delegation === undefined) {
    throw new TrustError('INVALID_OPTIONS', `sign ${name}: ${role} is not a role of the collection`);
  }
  if (!delegation.paths?.some((prefix) => name.startsWith(prefix))) {
    throw new TrustError('INVALID_OPTIONS', `sign ${name}: ${role} may not sign this name`);
  }
}

// The signer's keys leave the releases too; what was released is signed again by whoever stays, or is no longer believed.
async function takeSignerAway(
  draft: Draft,
  name: string,
  resign: boolean,
  keys: ReadonlySet<string>,
): Promise<void> {
  await draft.update('targets', (signed) => removeSigner(signed, name));
  const { delegations } = await draft.role('targets');
  const releases = delegations.roles?.find((role) => role.name === RELEASES_ROLE);
  const ours = [...authorityOf(releases, delegations.keys).keys.values()].some((key) =>
    keys.has(canonicalKeyId(key)),
  );
  // Only what was believed until now: whoever holds the snapshot key, mostly the server, can name any bytes there.
  if (resign && ours && (await draft.isBelieved(RELEASES_ROLE)))
    await draft.update(RELEASES_ROLE, (signed) => signed);
}

function without<T>(record: Readonly<Record<string, T>>, name: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => key !== name));
}
