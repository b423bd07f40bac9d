import type { EndpointTls } from '../http/connections.ts';
import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';
import {
  defaultUrl,
  type Endpoint,
  endpointOf,
  type HostSource,
  type RegistryEndpoint,
  type RegistryHost,
} from './endpoints.ts';

/** PEM certificates by the host that presents or asks for them: `registry.corp`, `10.0.0.1:5000`. */
export type HostCertificates = Readonly<
  Record<string, Pick<RegistryHost, 'ca' | 'addedCa' | 'cert' | 'key'>>
>;

/** Maps canonical registry names to where they are asked. */
export class Hosts {
  /** Origins of endpoints that were configured, as far as they were asked for. */
  readonly #configured = new Set<string>();
  readonly #source: HostSource;
  readonly #certificates: HostCertificates;
  readonly #tls: Readonly<Record<string, EndpointTls>>;

  constructor(
    hosts: Readonly<Record<string, RegistryHost>> | HostSource,
    certificates: HostCertificates = {},
  ) {
    this.#source = isSource(hosts) ? hosts : recordSource(hosts);
    this.#certificates = certificates;
    const named = isSource(hosts) ? [] : Object.entries(hosts);
    this.#tls = Object.fromEntries(
      named.flatMap(([registry, host]) => {
        const { url, tls } = endpointOf(host, { registry, repository: '' });
        return tls === undefined ? [] : [[url.origin, tls]];
      }),
    );
  }

  /** Every endpoint of a repository, in the order to ask; the registry itself is among them unless its source left it out. */
  async endpoints(repository: Repository, options?: OperationOptions): Promise<readonly Endpoint[]> {
    const { registry } = repository;
    const given = await this.#source.endpoints(repository, options);
    if (given !== undefined) {
      const endpoints = given.map((one) => endpointOf(this.#certified(one), repository));
      for (const { url } of endpoints) this.#configured.add(url.origin);
      return endpoints;
    }
    const own = endpointOf(this.#certified({ url: defaultUrl(registry) }, registry), repository);
    return [{ ...own, credentialsKey: registry }];
  }

  /** Whom to trust at an origin that is no registry asked: a token server, the place of a redirect. */
  tlsAt(url: URL): EndpointTls | undefined {
    return (
      this.#tls[url.origin] ??
      (Object.hasOwn(this.#certificates, url.host) ? this.#certificates[url.host] : undefined)
    );
  }

  /** Tells whether an origin is that of an endpoint somebody configured, or of one of these registries. */
  includes(origin: string, registries: readonly string[]): boolean {
    return (
      this.#configured.has(origin) ||
      registries.some((registry) => URL.parse(defaultUrl(registry))?.origin === origin)
    );
  }

  #certified(endpoint: RegistryEndpoint, registry?: string): RegistryEndpoint {
    if (endpoint.ca !== undefined || endpoint.addedCa !== undefined || endpoint.cert !== undefined)
      return endpoint;
    const host = URL.parse(endpoint.url)?.host;
    const name = [host, registry].find((one) => one !== undefined && Object.hasOwn(this.#certificates, one));
    return name === undefined ? endpoint : { ...this.#certificates[name], ...endpoint };
  }
}

/** The first of several sources that knows a registry. */
export function firstHostSource(...sources: readonly HostSource[]): HostSource {
  return {
    endpoints: async (repository, options) => {
      for (const source of sources) {
        const endpoints = await source.endpoints(repository, options);
        if (endpoints !== undefined) return endpoints;
      }
      return undefined;
    },
  };
}

function isSource(hosts: Readonly<Record<string, RegistryHost>> | HostSource): hosts is HostSource {
  return typeof hosts.endpoints === 'function';
}

function recordSource(hosts: Readonly<Record<string, RegistryHost>>): HostSource {
  return {
    endpoints: ({ registry }) => {
      const host = Object.hasOwn(hosts, registry) ? hosts[registry] : undefined;
      return host === undefined ? undefined : [host];
    },
  };
}
