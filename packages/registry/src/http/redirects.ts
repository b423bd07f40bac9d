import { RegistryError } from '../errors.ts';
import { redactUrl } from './redaction.ts';

/** Statuses that name another place. @see RFC 9110, section 15.4 */
export const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * The URL an answer names, relative to the one that answered.
 *
 * @throws {@link RegistryError} `REDIRECT_REFUSED` for another scheme, for https that becomes http, for credentials.
 */
export function nextUrl(location: string, from: URL): URL {
  const next = URL.parse(location, from.href);
  if (next === null || (next.protocol !== 'https:' && next.protocol !== 'http:')) {
    throw new RegistryError('REDIRECT_REFUSED', `${redactUrl(from)} leads to something that is not http`);
  }
  if (from.protocol === 'https:' && next.protocol === 'http:') {
    throw new RegistryError(
      'REDIRECT_REFUSED',
      `${redactUrl(from)} leads from https to http at ${next.host}`,
    );
  }
  if (next.username !== '' || next.password !== '') {
    throw new RegistryError('REDIRECT_REFUSED', `${redactUrl(from)} leads to a URL with credentials`);
  }
  return next;
}
