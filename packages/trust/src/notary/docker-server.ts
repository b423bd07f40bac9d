import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Credentials, Keychain } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import type { NotaryServer } from './client.ts';
import type { NotaryCredentials } from './credentials.ts';
import { defaultNotaryUrl } from './server.ts';

/** Options of {@link dockerNotaryServer}. */
export interface DockerNotaryServerOptions {
  /** Folder of docker's configuration: `DOCKER_CONFIG`, normally `~/.docker`. */
  readonly directory: string;
  /** Value of `DOCKER_CONTENT_TRUST_SERVER`: one server for all registries. Empty means unset. */
  readonly contentTrustServer?: string | undefined;
  /** What docker cannot say: the server's URL by registry (`docker.io`, `localhost:5000`); comes before the above. */
  readonly servers?: Readonly<Record<string, string>>;
  /** Where credentials come from. @defaultValue `config.json` of the folder, and the helpers it names */
  readonly keychain?: Keychain;
  /** Token services that may be given the credentials, beside the hosts of the notary and of the registry. */
  readonly tokenHosts?: readonly string[];
}

/**
 * Finds the notary server of a registry as the docker CLI does: its URL, the certificates of `tls/<host>`, and the
 * credentials docker keeps for the *registry*, which it shows the notary too. Unlike docker, the certificate of the server
 * is verified for registries on this machine as well, and credentials go to no other host than the notary's and the
 * registry's own.
 *
 * @param registry - `docker.io`, `registry.example.com:5000`
 * @throws {@link TrustError} `INVALID_OPTIONS` for a URL that is not https, a client certificate without its key or the
 *   reverse, and more than one client certificate.
 * @see https://github.com/docker/cli, cli/trust
 */
export async function dockerNotaryServer(
  registry: string,
  options: DockerNotaryServerOptions,
): Promise<NotaryServer> {
  const { directory, contentTrustServer, servers = {} } = options;
  const configured = Object.hasOwn(servers, registry) ? servers[registry] : contentTrustServer;
  const url = checkHttps(configured || defaultNotaryUrl(registry));
  const keychain =
    options.keychain ?? (await import('@imagevet/registry')).dockerConfigKeychain({ directory });
  return {
    url: url.href.replace(/\/+$/, ''),
    ...(await readCertificates(join(directory, 'tls', url.host))),
    credentials: async ({ collection }) => {
      const repository = collection.startsWith(`${registry}/`)
        ? collection.slice(registry.length + 1)
        : collection;
      return toNotary(await keychain.resolve({ registry, repository }));
    },
    tokenHosts: [registry === 'docker.io' ? 'auth.docker.io' : registry, ...(options.tokenHosts ?? [])],
  };
}

function checkHttps(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol === 'https:' && url.username === '' && url.password === '') return url;
  throw new TrustError(
    'INVALID_OPTIONS',
    'notary server: a https URL without user is required, as by docker',
    {
      hint: 'Look at DOCKER_CONTENT_TRUST_SERVER. For a server without TLS, give its URL as server.',
    },
  );
}

// *.crt are trusted beside the system's; *.cert and *.key of one name are a client certificate.
async function readCertificates(folder: string): Promise<Pick<NotaryServer, 'ca' | 'clientCertificate'>> {
  let names: string[];
  try {
    names = (await readdir(folder)).sort();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return {};
    throw error;
  }
  const read = (name: string) => readFile(join(folder, name), 'utf8');
  const ending = (suffix: string) =>
    names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length));
  const authorities = await Promise.all(ending('.crt').map((name) => read(`${name}.crt`)));
  const [certificates, keys] = [ending('.cert'), ending('.key')];
  for (const name of new Set([...certificates, ...keys])) {
    if (certificates.includes(name) && keys.includes(name)) continue;
    const [has, lacks] = certificates.includes(name) ? ['.cert', '.key'] : ['.key', '.cert'];
    throw invalid(folder, `${name}${has} has no ${name}${lacks}`);
  }
  if (certificates.length > 1) throw invalid(folder, 'more than one client certificate');
  const [client] = certificates;
  return {
    ...(authorities.length === 0 ? {} : { ca: authorities.join('\n') }),
    ...(client === undefined
      ? {}
      : { clientCertificate: { cert: await read(`${client}.cert`), key: await read(`${client}.key`) } }),
  };
}

function invalid(folder: string, reason: string): TrustError {
  return new TrustError('INVALID_OPTIONS', `read certificates of a notary server: ${reason}`, {
    hint: 'Certificates of an authority end in .crt, those of a client in .cert, with a .key of the same name.',
    details: { folder },
  });
}

function toNotary(credentials: Credentials | undefined): NotaryCredentials | undefined {
  switch (credentials?.kind) {
    case 'basic':
      return { username: credentials.username, password: credentials.password };
    case 'identity':
      return { identityToken: credentials.token };
    case 'bearer':
      return { token: credentials.token };
    default:
      return undefined;
  }
}
