import { RegistryError } from '../errors.ts';
import type { EndpointTls } from '../http/connections.ts';
import { redactUrl } from '../http/redaction.ts';
import { type HttpRequest, readBody } from '../http/request.ts';
import type { Transport } from '../http/transport.ts';
import { parseStrictJson } from '../oci/strict-json.ts';
import type { OperationOptions } from '../options.ts';
import type { Credentials } from './keychain.ts';
import { formatScope, type Scope } from './scope.ts';

const MAX_TOKEN_BYTES = 64 * 1024;
/** A token is not used in its last seconds. */
const EXPIRY_MARGIN_MS = 10_000;
/** What a token without `expires_in` is good for, and the least a client may assume. */
const MIN_LIFETIME_S = 60;
const MAX_LIFETIME_S = 12 * 3600;

/** What is shown to a registry, and until when. */
export interface Grant {
  /** Value of `Authorization`; undefined when there is nothing to show. */
  readonly header: string | undefined;
  /** True when it stands for somebody, not for anybody. */
  readonly personal: boolean;
  /** Origin of the token server that did not get to see the credentials there are. */
  readonly withheldFrom?: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** A question to a token server. */
export interface TokenRequest {
  readonly realm: URL;
  /** The registry whose challenge named the realm. */
  readonly registryUrl: URL;
  readonly service?: string;
  readonly tls?: EndpointTls;
  readonly scopes: readonly Scope[];
  /** Already judged fit for this realm; without them the token is an anonymous one. */
  readonly credentials?: Credentials;
  /** There are credentials, which this realm may not see. */
  readonly withheld?: boolean;
}

/**
 * Fetches a bearer token: by GET, or by POST for an identity token. A token server may not redirect.
 *
 * @throws {@link RegistryError} `AUTH_REQUIRED`, `DENIED`, `RATE_LIMITED`, `REDIRECT_REFUSED`, `EGRESS_REFUSED`, `PROTOCOL_ERROR`
 * @see distribution, "Token Authentication Specification" and "OAuth2 Token Authentication"
 */
export async function fetchToken(
  transport: Transport,
  wanted: TokenRequest,
  options: OperationOptions,
): Promise<Grant> {
  const { realm, credentials } = wanted;
  const what = `token server ${redactUrl(realm)}`;
  const request =
    credentials?.kind === 'identity' ? refreshRequest(wanted, credentials.token) : getRequest(wanted);
  const response = await transport.send(
    {
      ...request,
      ...(wanted.tls === undefined ? {} : { tls: wanted.tls }),
      namedBy: wanted.registryUrl,
      maxRedirects: 0,
      maxBodyBytes: MAX_TOKEN_BYTES,
    },
    options,
  );
  if (response.status !== 200) {
    await response.dump();
    throw refused(wanted, response.status);
  }
  const answer = parseStrictJson(await readBody(response, MAX_TOKEN_BYTES, what), 'token', 'PROTOCOL_ERROR');
  const token = answer.token ?? answer.access_token;
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw new RegistryError('PROTOCOL_ERROR', `${what} gave no token`);
  }
  const said = typeof answer.expires_in === 'number' ? answer.expires_in : MIN_LIFETIME_S;
  const lifetime = Math.min(Math.max(said, MIN_LIFETIME_S), MAX_LIFETIME_S);
  return {
    header: `Bearer ${token}`,
    expiresAt: Date.now() + lifetime * 1000 - EXPIRY_MARGIN_MS,
    personal: credentials !== undefined,
    ...(wanted.withheld === true ? { withheldFrom: realm.origin } : {}),
  };
}

/** What to do where a token server on another host is not to see the credentials there are. */
export function withheldHint(origin: string): string {
  return `The credentials for this registry were not shown to its token server ${origin}, which is another host: name it in \`tokenServers\` of the registry's \`hosts\` entry if it may see them.`;
}

/** `Authorization` for a user and password. @see RFC 7617 */
export function basicHeader(credentials: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
}

function getRequest({ realm, service, scopes, credentials }: TokenRequest): HttpRequest {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', formatScope(scope));
  const authorization = credentials?.kind === 'basic' ? { authorization: basicHeader(credentials) } : {};
  return { method: 'GET', url, ...authorization };
}

function refreshRequest({ realm, service, scopes }: TokenRequest, token: string): HttpRequest {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: token,
    client_id: 'imagevet',
    service: service ?? '',
    scope: scopes.map(formatScope).join(' '),
  });
  return {
    method: 'POST',
    url: realm,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(form.toString()),
  };
}

function refused({ realm, credentials, withheld, scopes }: TokenRequest, status: number): RegistryError {
  const shown = credentials !== undefined;
  const code =
    status === 429 ? 'RATE_LIMITED' : status >= 500 ? 'UNREACHABLE' : shown ? 'DENIED' : 'AUTH_REQUIRED';
  const scope = scopes.map(formatScope).join(' ');
  const own = shown ? 'Check the credentials for this registry.' : 'Give credentials for this registry.';
  return new RegistryError(code, `token server ${redactUrl(realm)} answered ${status} for ${scope}`, {
    hint: withheld === true ? withheldHint(realm.origin) : own,
    details: { status, ...(withheld === true ? { withheldFrom: realm.origin } : {}) },
  });
}
