import { lookup as dnsLookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { Agent, type Dispatcher } from 'undici';
import { isInternalAddress, refuseEgress } from './egress.ts';

/** Whom to trust, and as whom to appear, in TLS. */
export interface TlsOptions {
  /** PEM certificates of the authorities to trust instead of the built-in ones. */
  readonly ca?: string;
  /** The same for single origins (`https://registry.corp`), with a client certificate where one is wanted. */
  readonly tls?: Readonly<
    Record<string, { readonly ca?: string; readonly cert?: string; readonly key?: string }>
  >;
}

type IsInternal = (address: string) => boolean;

/**
 * Connections of one transport. URLs that content named are connected to under guard: the address is judged when the
 * connection is made, so a name that resolves to one address for a check and to another for the connection gains nothing.
 */
export class Connections {
  readonly #tls: TlsOptions;
  readonly #isInternal: IsInternal;
  readonly #agents = new Map<string, Agent>();
  /** Whether a name led to internal addresses every time a direct connection was made to it. */
  readonly #inside = new Map<string, boolean>();

  constructor(tls: TlsOptions, isInternal: IsInternal = isInternalAddress) {
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

  dispatcher(url: URL, guarded: boolean): Dispatcher {
    const own = this.#tls.tls;
    const special = own !== undefined && Object.hasOwn(own, url.origin) ? own[url.origin] : undefined;
    const key = `${guarded} ${special === undefined ? '' : url.origin}`;
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      const tls = { ...(this.#tls.ca === undefined ? {} : { ca: this.#tls.ca }), ...special };
      agent = new Agent({ connect: { ...tls, lookup: this.#lookup(guarded) } });
      this.#agents.set(key, agent);
    }
    return agent;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
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
