import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type Answer, errorAnswer, jsonAnswer } from './answer.ts';
import type { StoreRequest } from './registry-store.ts';

/** How a test registry gives tokens. */
export interface BearerOptions {
  /** Without these everybody gets a token to read. */
  readonly username?: string;
  readonly password?: string;
  /** Taken as a refresh token. */
  readonly identityToken?: string;
  /** Path of the token server. @defaultValue /token */
  readonly path?: string;
  /** Requests a token is good for; then it is refused, as if it had expired. @defaultValue unlimited */
  readonly uses?: number;
}

/** Gives bearer tokens and checks them. @see distribution, "Token Authentication Specification" */
export class TokenServer {
  readonly #url: string;
  readonly #options: BearerOptions | undefined;
  readonly #given = new Map<string, { readonly scopes: ReadonlySet<string>; uses: number }>();

  constructor(url: string, options: BearerOptions | undefined) {
    this.#url = url;
    this.#options = options;
  }

  /** The token server's own answers. */
  answer(request: StoreRequest): Answer | undefined {
    if (this.#options === undefined || request.path !== this.#path) return undefined;
    const form =
      request.method === 'POST'
        ? new URLSearchParams(Buffer.from(request.body).toString('utf8'))
        : request.query;
    if (!this.#accepts(request, form)) return errorAnswer(401, 'UNAUTHORIZED');
    const token = randomUUID();
    const scopes = new Set(
      form
        .getAll('scope')
        .flatMap((scope) => scope.split(' '))
        .flatMap(expand),
    );
    this.#given.set(token, { scopes, uses: this.#options.uses ?? Number.POSITIVE_INFINITY });
    return jsonAnswer(200, { token, expires_in: 300 });
  }

  /** What a request without a fitting token is told; undefined when its token fits. */
  challenge(request: IncomingMessage): string | undefined {
    if (this.#options === undefined) return undefined;
    const scope = scopeOf(request);
    const grant = this.#given.get((request.headers.authorization ?? '').replace(/^Bearer /, ''));
    if (grant !== undefined && grant.uses > 0 && expand(scope).every((action) => grant.scopes.has(action))) {
      grant.uses -= 1;
      return undefined;
    }
    const asked = scope === '' ? '' : `,scope="${scope}"`;
    return `Bearer realm="${this.#url}${this.#path}",service="test"${asked}`;
  }

  get #path(): string {
    return this.#options?.path ?? '/token';
  }

  #accepts(request: StoreRequest, form: URLSearchParams): boolean {
    const { username, password, identityToken } = this.#options ?? {};
    if (request.method === 'POST') {
      return identityToken !== undefined && form.get('refresh_token') === identityToken;
    }
    if (username === undefined) return true;
    const expected = Buffer.from(`${username}:${password}`).toString('base64');
    return request.headers.authorization === `Basic ${expected}`;
  }
}

function scopeOf(request: IncomingMessage): string {
  const path = new URL(request.url ?? '/', 'http://registry').pathname;
  if (path === '/v2/_catalog') return 'registry:catalog:*';
  const name = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(path)?.[1];
  if (name === undefined) return '';
  const action = request.method === 'GET' || request.method === 'HEAD' ? 'pull' : 'push';
  return `repository:${name}:${request.method === 'DELETE' ? 'delete' : action}`;
}

function expand(scope: string): readonly string[] {
  const last = scope.lastIndexOf(':');
  return last < 0
    ? []
    : scope
        .slice(last + 1)
        .split(',')
        .map((action) => `${scope.slice(0, last)}:${action}`);
}
