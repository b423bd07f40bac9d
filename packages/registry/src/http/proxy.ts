import { BlockList, isIP } from 'node:net';
import { RegistryError } from '../errors.ts';
import { redactUrl } from './redaction.ts';

/** Which proxy stands between here and a URL. */
export interface ProxyOptions {
  /** Proxy for http URLs: `http://user:password@proxy.corp:3128`. */
  readonly http?: string;
  /** Proxy for https URLs; the request is tunnelled, so the proxy sees the host's name and no more. */
  readonly https?: string;
  /**
   * Hosts asked directly: names with all below them (`corp`, `.corp`), addresses, networks (`10.0.0.0/8`), each with a port
   * or without; `*` for all. Loopback never goes through a proxy.
   */
  readonly no?: string;
}

const MAX_RULES = 1024;

/**
 * Reads proxies out of environment variables that the caller hands over: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, or in
 * lower case, which wins. Under CGI `HTTP_PROXY` is a header of the request, and ignored.
 *
 * @example
 * ```ts
 * new RegistryClient({ proxy: proxyFromEnvironment(process.env) });
 * ```
 */
export function proxyFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): ProxyOptions {
  const read = (name: string) => environment[name.toLowerCase()] || environment[name] || undefined;
  const http = environment.REQUEST_METHOD === undefined ? read('HTTP_PROXY') : environment.http_proxy;
  const https = read('HTTPS_PROXY');
  const no = read('NO_PROXY');
  return {
    ...(http === undefined ? {} : { http }),
    ...(https === undefined ? {} : { https }),
    ...(no === undefined ? {} : { no }),
  };
}

/** Chooses the proxy of a URL. */
export class ProxyRules {
  readonly #proxies: Readonly<Record<string, URL | undefined>>;
  readonly #exceptions: readonly ((host: string, port: string) => boolean)[];

  /** @throws {@link RegistryError} `UNSUPPORTED` for a proxy that is no http(s) URL */
  constructor({ http, https, no = '' }: ProxyOptions) {
    this.#proxies = { 'http:': proxyUrl(http), 'https:': proxyUrl(https) };
    this.#exceptions = no
      .split(/[\s,]/)
      .filter((text) => text !== '')
      .slice(0, MAX_RULES)
      .map(exceptionOf);
  }

  proxyOf(url: URL): URL | undefined {
    const proxy = this.#proxies[url.protocol];
    if (proxy === undefined) return undefined;
    const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    if (host === 'localhost' || loopback.check(host, familyOf(host))) return undefined;
    return this.#exceptions.some((fits) => fits(host, port)) ? undefined : proxy;
  }
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

function familyOf(host: string): 'ipv4' | 'ipv6' {
  return isIP(host) === 6 ? 'ipv6' : 'ipv4';
}

/** One entry of `no`. What is not understood fits nothing. */
function exceptionOf(text: string): (host: string, port: string) => boolean {
  if (text === '*') return () => true;
  const [network = '', prefix] = text.split('/', 2);
  if (prefix !== undefined) {
    const bits = isIP(network) === 6 ? 128 : 32;
    if (isIP(network) === 0 || !/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) return () => false;
    const list = new BlockList();
    list.addSubnet(network, Number(prefix), familyOf(network));
    return (host) => isIP(host) !== 0 && list.check(host, familyOf(host));
  }
  const [, name = '', wanted] = /^(.*?)(?::(\d{1,5}))?$/.exec(isIP(text) === 6 ? `[${text}]` : text) ?? [];
  const bare = name.replace(/^\*?\.|^\[|\]$/g, '').toLowerCase();
  if (bare === '') return () => false;
  // As in Go: a leading dot leaves the name itself out.
  const below = /^\*?\./.test(name);
  return (host, port) =>
    (wanted === undefined || wanted === port) &&
    ((host === bare && !below) || (isIP(host) === 0 && host.endsWith(`.${bare}`)));
}

function proxyUrl(text: string | undefined): URL | undefined {
  if (text === undefined || text === '') return undefined;
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw new RegistryError('UNSUPPORTED', `${redactUrl(text)} is no proxy`, {
    hint: 'Give a proxy as http://host:port or https://host:port.',
  });
}
