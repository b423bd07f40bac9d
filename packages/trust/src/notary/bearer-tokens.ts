import { TrustError } from '../errors.ts';
import {
  type Challenge,
  type NotaryCredentials,
  type NotaryCredentialsProvider,
  parseChallenge,
} from './credentials.ts';
import type { Exchange } from './exchange.ts';
import { refusal } from './refusal.ts';

interface BearerTokensOptions {
  readonly url: string;
  readonly credentials: NotaryCredentials | NotaryCredentialsProvider | undefined;
  readonly tokenHosts: readonly string[];
  readonly exchange: Exchange;
}

/** Token services that belong to a notary server under another name. */
const KNOWN_TOKEN_HOSTS: Readonly<Record<string, string>> = { 'notary.docker.io': 'auth.docker.io' };
const MAX_TOKEN_BYTES = 64 * 1024;
const MIN_LIFETIME_S = 60;

/** Obtains and keeps authorizations, one per scope. @see distribution docs/spec/auth/token.md */
export class BearerTokens {
  readonly #options: BearerTokensOptions;
  readonly #known = new Map<string, { authorization: string; expiresAt: number }>();

  constructor(options: BearerTokensOptions) {
    this.#options = options;
  }

  /** The Authorization header obtained for a scope earlier. */
  async known(scope: string): Promise<string | undefined> {
    const entry = this.#known.get(scope);
    return entry !== undefined && entry.expiresAt > Date.now() ? entry.authorization : undefined;
  }

  /** Answers a challenge; `undefined` when there is nothing to answer with. */
  async obtain(
    scope: string,
    collection: string,
    header: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    this.#known.delete(scope);
    const challenge = header === undefined ? undefined : parseChallenge(header);
    const { credentials: source, url } = this.#options;
    const credentials = typeof source === 'function' ? await source({ url, collection }) : source;
    // The server itself gets them too, or the token they are exchanged for.
    if (credentials !== undefined) this.#checkMayReceive(new URL(url));
    if (credentials !== undefined && 'token' in credentials) return `Bearer ${credentials.token}`;
    if (challenge?.scheme === 'basic') {
      if (credentials === undefined || !('username' in credentials)) return undefined;
      return basic(credentials);
    }
    if (challenge?.scheme !== 'bearer') return undefined;
    return this.#token(challenge, scope, credentials, signal);
  }

  async #token(
    challenge: Challenge,
    scope: string,
    credentials: Exclude<NotaryCredentials, { token: string }> | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const realm = URL.parse(challenge.parameters.realm ?? '');
    if (realm === null || !/^https?:$/.test(realm.protocol)) {
      throw new TrustError('AUTH_REQUIRED', 'obtain token: the server names no usable token service');
    }
    if (credentials !== undefined) this.#checkMayReceive(realm);
    const init = tokenRequest(realm, challenge.parameters.service ?? '', scope, credentials);
    const answer = await this.#options.exchange.send(init.url, {
      ...init,
      maxBytes: MAX_TOKEN_BYTES,
      signal,
    });
    if (answer.status === 401 || answer.status === 403) {
      throw new TrustError('DENIED', `obtain token from ${realm.host}: the credentials are refused`, {
        details: { status: answer.status },
      });
    }
    if (answer.status !== 200)
      throw refusal(`obtain token from ${realm.host}`, { ...answer, body: new Uint8Array() });
    const { token, lifetime } = readToken(answer.body, realm.host);
    const authorization = `Bearer ${token}`;
    this.#known.set(scope, { authorization, expiresAt: Date.now() + lifetime * 900 });
    return authorization;
  }

  // The realm comes from the server's answer: credentials go to it only when it belongs to the server.
  #checkMayReceive(target: URL): void {
    const own = new URL(this.#options.url);
    const allowed = [own.hostname, KNOWN_TOKEN_HOSTS[own.hostname], ...this.#options.tokenHosts];
    if (!allowed.includes(target.hostname) && !allowed.includes(target.host)) {
      throw new TrustError(
        'DENIED',
        `obtain token: ${target.host} may not be given the credentials of ${own.host}`,
        {
          hint: `If ${target.host} is the token service of this server, name it in tokenHosts.`,
        },
      );
    }
    if (target.protocol !== 'https:' && !isLoopback(target.hostname)) {
      throw new TrustError(
        'DENIED',
        `obtain token: credentials are not sent to ${target.host} over plain http`,
      );
    }
  }
}

function tokenRequest(
  realm: URL,
  service: string,
  scope: string,
  credentials: Exclude<NotaryCredentials, { token: string }> | undefined,
): { url: string; method: 'GET' | 'POST'; headers: Record<string, string>; body?: string } {
  if (credentials !== undefined && 'identityToken' in credentials) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: credentials.identityToken,
      client_id: 'imagevet',
      service,
      scope,
    });
    return {
      url: realm.href,
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: form.toString(),
    };
  }
  const url = new URL(realm);
  if (credentials !== undefined) url.searchParams.set('account', credentials.username);
  url.searchParams.set('scope', scope);
  url.searchParams.set('service', service);
  const headers: Record<string, string> =
    credentials === undefined ? {} : { authorization: basic(credentials) };
  return { url: url.href, method: 'GET', headers };
}

function readToken(body: Uint8Array, host: string): { token: string; lifetime: number } {
  let value: { token?: unknown; access_token?: unknown; expires_in?: unknown } = {};
  try {
    value = JSON.parse(Buffer.from(body).toString('utf8')) ?? {};
  } catch {
    // Falls through to the error below, which does not quote what may hold a secret.
  }
  const token = value.token ?? value.access_token;
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw new TrustError('AUTH_REQUIRED', `obtain token from ${host}: the answer holds no token`);
  }
  const lifetime = typeof value.expires_in === 'number' ? value.expires_in : MIN_LIFETIME_S;
  return { token, lifetime: Math.max(lifetime, MIN_LIFETIME_S) };
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
