import { TrustError } from '../errors.ts';

/** The role docker publishes to and trusts first. */
export const RELEASES_ROLE = 'targets/releases';

const BASE_ROLES: ReadonlySet<string> = new Set(['root', 'targets', 'snapshot', 'timestamp']);

/**
 * Checks a collection name (GUN): `docker.io/library/php`. Printable ASCII without white space, wildcards, escapes and
 * path tricks, at most 255 bytes; the same name goes into a URL and, in other tools, into a path.
 *
 * @throws {@link TrustError} `INVALID_NAME`
 */
export function checkCollectionName(name: string): string {
  const fails =
    name.length === 0 ||
    name.length > 255 ||
    !/^[\x21-\x7e]+$/.test(name) ||
    /["#%&'*<>?\\^`{|}]/.test(name) ||
    name.split('/').some((segment) => segment === '' || segment === '.' || segment === '..');
  if (fails) {
    throw new TrustError('INVALID_NAME', `collection name ${quote(name)} is not usable`, {
      hint: 'A collection is named by registry and repository, as in docker.io/library/php.',
    });
  }
  return name;
}

/** Tells whether a role is `root`, `targets`, `snapshot` or `timestamp`. */
export function isBaseRole(role: string): boolean {
  return BASE_ROLES.has(role);
}

/**
 * Checks that a role is `root`, `targets`, `snapshot` or `timestamp`.
 *
 * @throws {@link TrustError} `INVALID_NAME`
 */
export function checkBaseRole(role: string): string {
  if (isBaseRole(role)) return role;
  throw new TrustError('INVALID_NAME', `role name ${quote(role)} is none of ${[...BASE_ROLES].join(', ')}`);
}

/** Tells whether a text names a delegation: `targets/` and path-clean lower-case segments. */
export function isDelegationName(role: string): boolean {
  return (
    role.length < 256 &&
    /^targets\/[-a-z0-9_/]+$/.test(role) &&
    role.split('/').every((segment) => segment !== '')
  );
}

/**
 * Checks a role name.
 *
 * @throws {@link TrustError} `INVALID_NAME`
 */
export function checkRoleName(role: string): string {
  if (isBaseRole(role) || isDelegationName(role)) return role;
  throw new TrustError('INVALID_NAME', `role name ${quote(role)} is not usable`, {
    hint: 'A delegation is named targets/ and lower-case letters, digits, "-", "_" and "/".',
  });
}

/**
 * Checks the name of a role that can hold targets: `targets` or a delegation.
 *
 * @throws {@link TrustError} `INVALID_NAME`
 */
export function checkTargetsRole(role: string): string {
  return role === 'targets' ? role : checkDelegationName(role);
}

/**
 * Checks the name of a delegation.
 *
 * @throws {@link TrustError} `INVALID_NAME`
 */
export function checkDelegationName(role: string): string {
  if (isDelegationName(role)) return role;
  throw new TrustError('INVALID_NAME', `role name ${quote(role)} is none of a delegation`, {
    hint: 'A delegation is named targets/ and lower-case letters, digits, "-", "_" and "/"; docker reads targets/releases.',
  });
}

/**
 * Checks the name of a signer, as docker does.
 *
 * @throws {@link TrustError} `INVALID_NAME`
 */
export function checkSignerName(name: string): string {
  if (/^[a-z0-9][a-z0-9_-]*$/.test(name) && name !== 'releases' && name.length < 200) return name;
  throw new TrustError('INVALID_NAME', `signer name ${quote(name)} is not usable`);
}

/** The role whose file defines a delegation: `targets` for `targets/releases`. */
export function parentRole(role: string): string {
  return role.slice(0, role.lastIndexOf('/'));
}

/**
 * Checks the name of a target (a tag).
 *
 * @throws {@link TrustError} `INVALID_NAME`
 */
export function checkTargetName(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (name !== '' && name.length <= 1024 && name.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(name))
    return name;
  throw new TrustError('INVALID_NAME', `target name ${quote(name)} is not usable`);
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
