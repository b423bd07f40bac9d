import { isIP } from 'node:net';
import { RegistryError } from '../errors.ts';
import type { TlsOptions } from '../http/connections.ts';
import type { Repository } from '../reference.ts';

/** Where a registry really is, and how to trust it. */
export interface RegistryHost {
  /** Origin, with a path prefix where the registry has one: `https://mirror.corp/hub`. */
  readonly url: string;
  /** PEM certificates of the authorities to trust for this host instead of the built-in ones. */
  readonly ca?: string;
  /** PEM client certificate and key. */
  readonly cert?: string;
  readonly key?: string;
  /** Origins of token servers outside the registry's own host that may see its credentials. */
  readonly tokenServers?: readonly string[];
}

const DOCKER_HUB_URL = 'https://registry-1.docker.io';

/** Maps canonical registry names to where they are asked. */
export class Hosts {
  readonly #hosts: Readonly<Record<string, RegistryHost>>;
  readonly tls: NonNullable<TlsOptions['tls']>;

  constructor(hosts: Readonly<Record<string, RegistryHost>>) {
    this.#hosts = hosts;
    const special = Object.entries(hosts).filter(
      ([, { ca, cert }]) => ca !== undefined || cert !== undefined,
    );
    this.tls = Object.fromEntries(
      special.map(([registry, { ca, cert, key }]) => [
        this.urlOf(registry).origin,
        { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert, key }) },
      ]),
    );
  }

  /** @throws {@link RegistryError} `INVALID_REFERENCE` for a host entry that is no http(s) URL */
  urlOf(registry: string): URL {
    const text = this.#entry(registry)?.url ?? defaultUrl(registry);
    const url = URL.parse(text);
    if (url !== null && (url.protocol === 'https:' || url.protocol === 'http:') && url.username === '')
      return url;
    throw new RegistryError('INVALID_REFERENCE', `registry ${registry} has no usable URL`, {
      hint: 'Give hosts entries as https://host[:port][/prefix], without credentials.',
    });
  }

  /** Tells whether an origin is that of a registry with an entry, or of one of these. */
  includes(origin: string, registries: readonly string[]): boolean {
    const texts = [
      ...Object.values(this.#hosts).map(({ url }) => url),
      ...registries.map((registry) => this.#entry(registry)?.url ?? defaultUrl(registry)),
    ];
    return texts.some((text) => URL.parse(text)?.origin === origin);
  }

  /** The URL of a path below a repository, or below `/v2/` for the registry itself. */
  join({ registry, repository }: Repository, path: string): URL {
    const base = this.urlOf(registry);
    const prefix = base.pathname.replace(/\/+$/, '');
    return new URL(`${prefix}/v2/${repository === '' ? '' : `${repository}/`}${path}`, base.origin);
  }

  /** The name credentials are kept under: of the host that is asked. */
  credentialsKey(registry: string): string {
    if (this.#entry(registry) === undefined) return registry;
    const { host } = this.urlOf(registry);
    return host === new URL(DOCKER_HUB_URL).host ? 'docker.io' : host;
  }

  tokenServersOf(registry: string): readonly string[] {
    return (this.#entry(registry)?.tokenServers ?? []).flatMap((text) => URL.parse(text)?.origin ?? []);
  }

  #entry(registry: string): RegistryHost | undefined {
    return Object.hasOwn(this.#hosts, registry) ? this.#hosts[registry] : undefined;
  }
}

function defaultUrl(registry: string): string {
  if (registry === 'docker.io') return DOCKER_HUB_URL;
  const hostname = URL.parse(`http://${registry}`)?.hostname ?? '';
  return `${isLoopback(hostname) ? 'http' : 'https'}://${registry}`;
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'))
  );
}
