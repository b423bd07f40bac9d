import { TrustError } from '../errors.ts';
import type { PassphraseProvider } from './passphrase.ts';

/** Variables of docker and of notary for the keys of a role, in the order they are tried. */
const VARIABLES: ReadonlyMap<string, readonly string[]> = new Map([
  ['root', ['DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE', 'NOTARY_ROOT_PASSPHRASE']],
  ['targets', ['DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE', 'NOTARY_TARGETS_PASSPHRASE']],
  ['snapshot', ['DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE', 'NOTARY_SNAPSHOT_PASSPHRASE']],
]);
/** For every other role: signers and delegations. */
const OTHERS: readonly string[] = [
  'DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE',
  'NOTARY_DELEGATION_PASSPHRASE',
];

/**
 * Answers with the passphrases docker and notary take from environment variables. Where both are set, a key is opened by
 * either, and a new one is encrypted with docker's.
 *
 * @param environment - `process.env`; read at each question
 * @throws {@link TrustError} `BAD_PASSPHRASE`, when it is asked for a key neither variable is set for
 *
 * @example
 * ```ts
 * const keys = createKeyStore({ directory: '/home/ci/.docker/trust', passphrase: passphrasesFromEnvironment(process.env) });
 * ```
 */
export function passphrasesFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): PassphraseProvider {
  return ({ purpose, role, keyId, attempt }) => {
    const names = VARIABLES.get(role ?? '') ?? OTHERS;
    const set = names.flatMap((name) => environment[name] || []);
    if (set.length > 0) return [...new Set(set)][attempt - 1];
    throw new TrustError(
      'BAD_PASSPHRASE',
      `${purpose} ${role ?? 'private'} key ${keyId.slice(0, 12)}: no passphrase is in the environment`,
      { hint: `Set ${names.join(' or ')}.` },
    );
  };
}
