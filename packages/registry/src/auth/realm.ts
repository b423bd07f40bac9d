import { RegistryError } from '../errors.ts';
import { redactUrl } from '../http/redaction.ts';

/** Token servers that live outside their registry's domain, by registry host suffix. */
const KNOWN_REALMS: Readonly<Record<string, readonly string[]>> = {
  'docker.io': ['auth.docker.io'],
  'pkg.dev': ['oauth2.googleapis.com'],
  'azurecr.io': ['login.microsoftonline.com'],
  'registry.gitlab.com': ['gitlab.com'],
};

/**
 * Accepts the realm of a challenge: https, or http where the registry itself is, without credentials. Where it may lead
 * is judged when the connection is made.
 *
 * @throws {@link RegistryError} `EGRESS_REFUSED`
 */
export function acceptRealm(realm: string, registryUrl: URL): URL {
  const url = URL.parse(realm);
  const plain = url?.protocol === 'http:' && registryUrl.protocol === 'http:';
  if (url === null || (url.protocol !== 'https:' && !plain) || url.username !== '' || url.password !== '') {
    throw new RegistryError('EGRESS_REFUSED', `${registryUrl.host} names an unacceptable token realm`, {
      details: { realm: redactUrl(realm) },
    });
  }
  return url;
}

/**
 * Tells whether a registry's credentials may go to a token server: its own host, one below it, a known one of a public
 * registry, or one the user named. Any other is asked anonymously.
 */
export function realmMayHoldCredentials(realm: URL, registryUrl: URL, approved: readonly string[]): boolean {
  const registry = registryUrl.hostname;
  const { hostname } = realm;
  if (hostname === registry || hostname.endsWith(`.${registry}`)) return true;
  if (approved.includes(realm.origin)) return true;
  return Object.entries(KNOWN_REALMS).some(
    ([suffix, realms]) =>
      (registry === suffix || registry.endsWith(`.${suffix}`)) &&
      realm.protocol === 'https:' &&
      realms.includes(hostname),
  );
}
