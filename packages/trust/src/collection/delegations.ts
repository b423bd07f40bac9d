import { TrustError } from '../errors.ts';
import { canonicalKeyId, tufKeyId } from '../keys/public-key.ts';
import { RELEASES_ROLE } from '../metadata/names.ts';
import type { DelegationRole, PublicKey, TargetsMetadata } from '../metadata/types.ts';
import { authorityOf } from '../verify/signatures.ts';
import type { Delegation } from './changes.ts';

/** Adds a delegation, or replaces the one of its name. */
export function setDelegation(signed: TargetsMetadata, wanted: Delegation): TargetsMetadata {
  const { keys: publicKeys, name, paths, threshold } = wanted;
  const ids = publicKeys.map(tufKeyId);
  const delegation: DelegationRole = {
    keyids: ids,
    name,
    threshold,
    ...(paths.length === 0 ? {} : { paths }),
  };
  const others = (signed.delegations.roles ?? []).filter((role) => role.name !== name);
  const roles = [...others, delegation].sort((left, right) => (left.name < right.name ? -1 : 1));
  const added = Object.fromEntries(publicKeys.map((key, index) => [ids[index] ?? '', key]));
  return withDelegations(signed, roles, { ...signed.delegations.keys, ...added });
}

/**
 * Removes a delegation and keys no other role names.
 *
 * @throws {@link TrustError} `INVALID_OPTIONS` when there is no such delegation
 */
export function removeDelegation(signed: TargetsMetadata, name: string): TargetsMetadata {
  if (!signed.delegations.roles?.some((role) => role.name === name))
    throw new TrustError('INVALID_OPTIONS', `remove delegation ${name}: there is none`);
  const roles = (signed.delegations.roles ?? []).filter((role) => role.name !== name);
  return withDelegations(signed, roles, signed.delegations.keys ?? {});
}

// Keys no role names are dropped.
function withDelegations(
  signed: TargetsMetadata,
  roles: readonly DelegationRole[],
  keys: Readonly<Record<string, PublicKey>>,
): TargetsMetadata {
  const named = new Set(roles.flatMap(({ keyids }) => keyids ?? []));
  const kept = Object.fromEntries(Object.entries(keys).filter(([id]) => named.has(id)));
  return { ...signed, delegations: { keys: kept, roles } };
}

/**
 * Adds a signer as docker does: keys that may sign any tag in a role of their own and in the releases.
 */
export function addSigner(
  signed: TargetsMetadata,
  name: string,
  keys: readonly PublicKey[],
): TargetsMetadata {
  const added = [`targets/${name}`, RELEASES_ROLE].reduce((current, role) => {
    const existing = current.delegations.roles?.find((candidate) => candidate.name === role);
    const existingKeys = existing === undefined ? [] : keysOf(current, existing);
    const ids = new Set(keys.map(tufKeyId));
    const others = existingKeys.filter((key) => !ids.has(tufKeyId(key)));
    const threshold = existing?.threshold ?? 1;
    return setDelegation(current, {
      name: role,
      keys: [...others, ...keys],
      threshold,
      paths: existing?.paths ?? [''],
    });
  }, signed);
  return added;
}

/**
 * Removes a signer: the role of their own, and their keys from the releases. A release role without keys is removed.
 *
 * @throws {@link TrustError} `INVALID_OPTIONS` when there is no such signer, or too few keys would be left
 */
export function removeSigner(signed: TargetsMetadata, name: string): TargetsMetadata {
  const role = signed.delegations.roles?.find((candidate) => candidate.name === `targets/${name}`);
  if (role === undefined) throw new TrustError('INVALID_OPTIONS', `remove signer ${name}: not a signer`);
  const without = removeDelegation(signed, role.name);
  const releases = without.delegations.roles?.find((candidate) => candidate.name === RELEASES_ROLE);
  if (releases === undefined) return without;
  // By canonical id: notary names a key by a certificate of it, docker by the plain key.
  const theirs = new Set(keysOf(signed, role).map(canonicalKeyId));
  const keys = keysOf(signed, releases).filter((key) => !theirs.has(canonicalKeyId(key)));
  if (keys.length === 0) return removeDelegation(without, RELEASES_ROLE);
  if (new Set(keys.map(canonicalKeyId)).size < releases.threshold) {
    throw new TrustError(
      'INVALID_OPTIONS',
      `remove signer ${name}: ${releases.threshold} keys must sign the releases`,
      {
        hint: 'Add another signer first, or set the delegation with a lower threshold.',
      },
    );
  }
  return setDelegation(without, { ...releases, keys, paths: releases.paths ?? [] });
}

function keysOf({ delegations }: TargetsMetadata, role: DelegationRole): PublicKey[] {
  return [...authorityOf(role, delegations.keys).keys.values()];
}
