import { join } from 'node:path';
import type { Repository } from '../reference.ts';
import { invalid, namesIn, readPem, readToml, type TomlTable } from './config-file.ts';
import { readHostCertificates } from './docker-certs.ts';
import { defaultUrl, type EndpointCapability, type HostSource, type RegistryEndpoint } from './endpoints.ts';

/** What one folder says about a registry. */
type HostsFile = (registry: string) => readonly RegistryEndpoint[];

const CAPABILITIES: ReadonlySet<string> = new Set([
  'pull',
  'resolve',
  'push',
  'referrers',
  'referrers-delete',
]);

/**
 * Reads the registry configuration of containerd: a folder for each registry, with a `hosts.toml` or the certificates of
 * docker; `_default` is for all others. Hosts other than the registry's own are mirrors, asked with `ns=`, whatever
 * they are said to be capable of: nothing is pushed to them.
 *
 * @param directory - normally `/etc/containerd/certs.d`
 * @throws {@link RegistryError} `INVALID_HOSTS_FILE`
 * @see containerd, "Registry Configuration", hosts.md
 */
export async function readContainerdHosts(directory: string): Promise<HostSource> {
  const files = new Map<string, HostsFile>();
  for (const name of await namesIn(directory)) {
    const file = await readDirectory(join(directory, name));
    if (file !== undefined) files.set(name, file);
  }
  return {
    endpoints: ({ registry }: Repository) => {
      const name = namesOf(registry).find((one) => files.has(one));
      return name === undefined ? undefined : files.get(name)?.(registry);
    },
  };
}

/** The folders a registry may have: `host:5000`, `host_5000_` where a colon cannot be, `_default`. */
function namesOf(registry: string): readonly string[] {
  const colon = registry.lastIndexOf(':');
  const portable = colon < 0 ? [] : [`${registry.slice(0, colon)}_${registry.slice(colon + 1)}_`];
  return [registry, ...portable, '_default'];
}

async function readDirectory(directory: string): Promise<HostsFile | undefined> {
  const file = await readToml(join(directory, 'hosts.toml'));
  if (file === undefined) {
    const certificates = await readHostCertificates(directory);
    return certificates && ((registry) => [{ url: defaultUrl(registry), ...certificates }]);
  }
  const server = file.text('server');
  const own = await settingsOf(file, directory);
  const hosts = await hostsOf(file, directory);
  return (registry) => {
    const upstream = { ...own, url: server === undefined ? defaultUrl(registry) : urlOf(server, own) };
    const home = new Set([registry, hostOf(upstream.url), hostOf(defaultUrl(registry))]);
    const listed = hosts.map((one) => (home.has(hostOf(one.url)) ? one : asMirror(one, registry)));
    const again = listed.some((one) => one.mirror !== true && originOf(one.url) === originOf(upstream.url));
    return again ? listed : [...listed, upstream];
  };
}

async function hostsOf(file: TomlTable, directory: string): Promise<readonly RegistryEndpoint[]> {
  const table = file.table('host');
  const hosts: RegistryEndpoint[] = [];
  for (const name of table?.names ?? []) {
    const one = table?.table(name);
    const settings = one && (await settingsOf(one, directory));
    if (settings !== undefined) hosts.push({ url: urlOf(name, settings), ...settings });
  }
  return hosts;
}

async function settingsOf(table: TomlTable, directory: string): Promise<Omit<RegistryEndpoint, 'url'>> {
  const capabilities = table.texts('capabilities');
  const unknown = capabilities.find((one) => !CAPABILITIES.has(one));
  if (unknown !== undefined) throw invalid(table.path, `${unknown} is no capability`);
  const ca = table.texts('ca');
  const header = table.table('header');
  const headers = (header?.names ?? []).map((name) => [name, header?.texts(name).join(', ') ?? '']);
  return {
    ...(table.has('capabilities') ? { capabilities: capabilities as readonly EndpointCapability[] } : {}),
    ...(ca.length === 0 ? {} : { addedCa: await readPem(directory, ca) }),
    ...(await clientOf(table, directory)),
    ...(table.flag('skip_verify') === true ? { skipVerify: true } : {}),
    ...(table.flag('override_path') === true ? { exactPath: true } : {}),
    ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }),
  };
}

/** `client = "both.pem"`, `["both.pem"]` or `[["client.cert", "client.key"]]`; one of them, for one host. */
async function clientOf(
  table: TomlTable,
  directory: string,
): Promise<Pick<RegistryEndpoint, 'cert' | 'key'>> {
  const pairs = table.pairs('client');
  const [first] = pairs;
  if (first === undefined) return {};
  if (pairs.length > 1) throw invalid(table.path, 'client names more than one certificate');
  const [cert, key = cert] = first;
  return { cert: await readPem(directory, [cert]), key: await readPem(directory, [key]) };
}

function asMirror(endpoint: RegistryEndpoint, namespace: string): RegistryEndpoint {
  return { ...endpoint, mirror: true, namespace };
}

/** A host without a scheme is asked by https; `/v2` at the end is what would be added anyway. */
function urlOf(text: string, { exactPath }: Pick<RegistryEndpoint, 'exactPath'>): string {
  const url = /^https?:\/\//.test(text) ? text : `https://${text}`;
  return exactPath === true ? url : url.replace(/\/v2\/?$/, '');
}

function hostOf(url: string): string {
  return URL.parse(url)?.host ?? url;
}

function originOf(url: string): string {
  return URL.parse(url)?.origin ?? url;
}
