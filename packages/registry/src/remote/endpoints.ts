import { isIP } from 'node:net';
import { RegistryError } from '../errors.ts';
import type { EndpointTls } from '../http/connections.ts';
import type { OperationOptions } from '../options.ts';
import { isRepositoryPath, type Repository } from '../reference.ts';

/** What an endpoint may be asked for: content by digest, what a tag names, and writing. */
export type EndpointCapability = 'pull' | 'resolve' | 'push';

/** Where a registry really is, and how to trust it. */
export interface RegistryHost {
  /** Origin, with a path prefix where the registry has one: `https://mirror.corp/hub`. */
  readonly url: string;
  /** PEM certificates of the authorities to trust for this host instead of the built-in ones. */
  readonly ca?: string;
  /** PEM certificates of authorities to trust for this host beside the built-in ones. */
  readonly addedCa?: string;
  /** PEM client certificate and key. */
  readonly cert?: string;
  readonly key?: string;
  /** Takes any certificate from this host: who is between can read and change all that no digest covers. @defaultValue false */
  readonly skipVerify?: boolean;
  /** Origins of token servers outside the registry's own host that may see its credentials. */
  readonly tokenServers?: readonly string[];
  /** Headers sent to this host, and not to where it redirects. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** One place a repository can be asked for. */
export interface RegistryEndpoint extends RegistryHost {
  /** A copy, passed over when it fails, and never written to or asked for lists. @defaultValue false */
  readonly mirror?: boolean;
  /** @defaultValue all three; of a mirror, `pull` and `resolve` */
  readonly capabilities?: readonly EndpointCapability[];
  /** Manifests a mirror may be asked for: by digest, by tag, or both. Blobs are always by digest. @defaultValue all */
  readonly pullFromMirror?: 'all' | 'digest-only' | 'tag-only';
  /** Path of the repository there, where it is another one. */
  readonly repository?: string;
  /** The registry's own name, sent as `ns=`, which a proxy for several registries goes by. */
  readonly namespace?: string;
  /** `url` is the root of the API, which elsewhere is `/v2` below it. @defaultValue false */
  readonly exactPath?: boolean;
}

/** Answers where a repository is to be asked for. */
export interface HostSource {
  /**
   * The endpoints in the order they are asked, the registry itself among them (normally last); undefined when this source
   * does not know the registry, which is then asked at its own name.
   *
   * @throws {@link RegistryError} `REGISTRY_BLOCKED`
   */
  endpoints(
    repository: Repository,
    options?: OperationOptions,
  ): readonly RegistryEndpoint[] | undefined | Promise<readonly RegistryEndpoint[] | undefined>;
}

/** An endpoint as the client asks it. */
export interface Endpoint {
  /** Where it is; the origin is what credentials are bound to. */
  readonly url: URL;
  /** Path of the API's root, without a slash at its end. */
  readonly root: string;
  /** Path of the repository there. */
  readonly repository: string;
  /** The name credentials are kept under: of the host that is asked. */
  readonly credentialsKey: string;
  readonly mirror: boolean;
  readonly allows: (kind: ReadKind) => boolean;
  readonly writable: boolean;
  readonly tokenServers: readonly string[];
  readonly tls?: EndpointTls;
  readonly headers?: Readonly<Record<string, string>>;
  readonly namespace?: string;
}

/** What of an image a request reads, for an endpoint to be chosen by. */
export type ReadKind = 'tag' | 'digest' | 'blob';

const DOCKER_HUB_URL = 'https://registry-1.docker.io';

/** @throws {@link RegistryError} `INVALID_REFERENCE` for an endpoint that is no http(s) URL */
export function endpointOf(given: RegistryEndpoint, asked: Repository): Endpoint {
  const repository = asked.repository === '' ? '' : (given.repository ?? asked.repository);
  if (repository !== '' && !isRepositoryPath(repository)) {
    const name = JSON.stringify(repository.slice(0, 160));
    throw new RegistryError('INVALID_REFERENCE', `${name} is not a repository of ${asked.registry}`);
  }
  const url = URL.parse(given.url);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '') {
    throw new RegistryError('INVALID_REFERENCE', `registry ${asked.registry} has no usable URL`, {
      hint: 'Give hosts entries as https://host[:port][/prefix], without credentials.',
    });
  }
  const path = url.pathname.replace(/\/+$/, '');
  const tls = tlsOf(given);
  return {
    url,
    root: given.exactPath === true ? path : `${path}/v2`,
    repository,
    credentialsKey: url.host === new URL(DOCKER_HUB_URL).host ? 'docker.io' : url.host,
    mirror: given.mirror === true,
    allows: (kind) => allows(given, kind),
    writable: given.mirror !== true && (given.capabilities ?? ['push']).includes('push'),
    tokenServers: (given.tokenServers ?? []).flatMap((text) => URL.parse(text)?.origin ?? []),
    ...(tls === undefined ? {} : { tls }),
    ...(given.headers === undefined ? {} : { headers: given.headers }),
    ...(given.namespace === undefined ? {} : { namespace: given.namespace }),
  };
}

/** A registry at its own name: by https, or by http when that name is a loopback address. */
export function defaultUrl(registry: string): string {
  if (registry === 'docker.io') return DOCKER_HUB_URL;
  const hostname = URL.parse(`http://${registry}`)?.hostname ?? '';
  return `${isLoopback(hostname) ? 'http' : 'https'}://${registry}`;
}

/** The URL of a path below the repository, or below the root for the registry itself. */
export function join(endpoint: Endpoint, path: string): URL {
  const below = endpoint.repository === '' ? '' : `${endpoint.repository}/`;
  return new URL(`${endpoint.root}/${below}${path}`, endpoint.url.origin);
}

function allows({ capabilities, mirror, pullFromMirror = 'all' }: RegistryEndpoint, kind: ReadKind): boolean {
  const can = capabilities ?? ['pull', 'resolve', 'push'];
  if (kind === 'tag')
    return can.includes('resolve') && !(mirror === true && pullFromMirror === 'digest-only');
  if (kind === 'blob') return can.includes('pull');
  return can.includes('pull') && !(mirror === true && pullFromMirror === 'tag-only');
}

function tlsOf({ ca, addedCa, cert, key, skipVerify }: RegistryHost): EndpointTls | undefined {
  if (ca === undefined && addedCa === undefined && cert === undefined && skipVerify !== true)
    return undefined;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(addedCa === undefined ? {} : { addedCa }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(skipVerify === true ? { skipVerify } : {}),
  };
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'))
  );
}
