import { lookup as dnsLookup, type LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { getCACertificates } from 'node:tls';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import { isInternalAddress, refuseEgress } from './egress.ts';
import type { ProxyOptions } from './proxy.ts';
import { ProxyRules } from './proxy.ts';
import { ReceiveMemory } from './receive-memory.ts';

/** Whom to trust in TLS. */
export interface TlsOptions {
  /** PEM certificates of the authorities to trust instead of the built-in ones. */
  readonly ca?: string;
}

/** Whom to trust at one origin, and as whom to appear there. */
export interface EndpointTls {
  /** PEM certificates of the authorities to trust instead of the built-in ones. */
  readonly ca?: string;
  /** PEM certificates of authorities to trust beside the built-in ones. */
  readonly addedCa?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Takes any certificate. */
  readonly skipVerify?: boolean;
}

type IsInternal = (address: string) => boolean;

/**
 * Connections of one transport. URLs that content named are connected to under guard: the address is judged when the
 * connection is made, so a name that resolves to one address for a check and to another for the connection gains nothing.
 */
export class Connections {
  readonly #tls: TlsOptions;
  readonly #isInternal: IsInternal;
  readonly #proxies: ProxyRules;
  readonly #agents = new Map<string, Agent | ProxyAgent>();
  readonly #memory = new ReceiveMemory();
  /** Whether a name led to internal addresses every time a direct connection was made to it. */
  readonly #inside = new Map<string, boolean>();

  constructor(tls: TlsOptions, isInternal: IsInternal = isInternalAddress, proxy: ProxyOptions = {}) {
    this.#proxies = new ProxyRules(proxy);
    this.#tls = tls;
    this.#isInternal = isInternal;
  }

  /** Tells whether a registry that was connected to is in the caller's own network. */
  isInside(hostname: string): boolean {
    return this.isInternalLiteral(hostname) || this.#inside.get(hostname) === true;
  }

  /** Tells whether a host is an internal address, or a loopback name, without asking anybody. */
  isInternalLiteral(hostname: string): boolean {
    const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
    if (host === 'localhost' || host.endsWith('.localhost')) return this.#isInternal('127.0.0.1');
    return isIP(host) !== 0 && this.#isInternal(host);
  }

  /** The connections to use for one hop; those of one `tls` are never used for another. */
  dispatcher(url: URL, guarded: boolean, tls?: EndpointTls): Dispatcher {
    const proxy = this.#proxies.proxyOf(url);
    const key = JSON.stringify([guarded, tls, proxy]);
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      const secured = this.#secured(tls);
      agent =
        proxy === undefined
          ? new Agent({
              connect: { ...secured, lookup: this.#lookup(guarded), onread: this.#memory.onread },
            })
          : new ProxyAgent({ uri: proxy.href, requestTls: secured, ...this.#proxyTls() });
      this.#agents.set(key, agent);
    }
    return agent;
  }

  /**
   * Judges a URL that content named before a proxy connects to it. The proxy resolves names by itself, so this is what we
   * can know here: where the name leads from here, if it is known here at all.
   *
   * @throws {@link RegistryError} `EGRESS_REFUSED`
   */
  async judge(url: URL): Promise<void> {
    if (this.#proxies.proxyOf(url) === undefined) return;
    const addresses = await lookup(url.hostname.replace(/^\[|\]$/g, ''), { all: true }).catch(() => []);
    if (addresses.some(({ address }) => this.#isInternal(address))) throw refuseEgress(url.hostname);
  }

  /** Takes received bytes back, to receive others in their place; only who holds them alone may give them. */
  release(bytes: Uint8Array): void {
    this.#memory.release(bytes);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
  }

  #proxyTls() {
    return this.#tls.ca === undefined ? {} : { proxyTls: { ca: this.#tls.ca } };
  }

  #secured({ ca = this.#tls.ca, addedCa, cert, key, skipVerify }: EndpointTls = {}) {
    const authorities =
      addedCa === undefined ? ca : [...(ca === undefined ? getCACertificates() : [ca]), addedCa];
    return {
      ...(authorities === undefined ? {} : { ca: authorities }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(skipVerify === true ? { rejectUnauthorized: false } : {}),
    };
  }

  #lookup(guarded: boolean): LookupFunction {
    return (hostname, options, callback) => {
      dnsLookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
        if (error !== null) return callback(error, '', 0);
        const internal = addresses.filter(({ address }) => this.#isInternal(address));
        if (guarded && internal.length > 0) return callback(refuseEgress(hostname), '', 0);
        if (!guarded) {
          const before = this.#inside.get(hostname) ?? true;
          this.#inside.set(hostname, before && internal.length === addresses.length);
        }
        const [first] = addresses;
        if (options.all === true) return callback(null, addresses);
        return callback(null, first?.address ?? '', first?.family);
      });
    };
  }
}
