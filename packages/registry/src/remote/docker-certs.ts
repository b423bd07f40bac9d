import { join } from 'node:path';
import { invalid, namesIn, readPem } from './config-file.ts';
import type { HostCertificates } from './hosts.ts';

/**
 * Reads the certificates of docker and podman: a folder for each host, in which every `*.crt` is an authority to trust
 * beside the built-in ones, and `*.cert` with the `*.key` of its name our client certificate.
 *
 * @param directory - normally `/etc/docker/certs.d` or `/etc/containers/certs.d`
 * @throws {@link RegistryError} `INVALID_HOSTS_FILE`
 * @see containers-certs.d(5)
 */
export async function readDockerCerts(directory: string): Promise<HostCertificates> {
  const hosts: [string, HostCertificates[string]][] = [];
  for (const host of await namesIn(directory)) {
    const certificates = await readHostCertificates(join(directory, host));
    if (certificates !== undefined) hosts.push([host, certificates]);
  }
  return Object.fromEntries(hosts);
}

/** The certificates in one host's folder, if there are any. */
export async function readHostCertificates(directory: string): Promise<HostCertificates[string] | undefined> {
  const names = await namesIn(directory);
  const authorities = names.filter((name) => name.endsWith('.crt'));
  const [cert, another] = names.filter((name) => name.endsWith('.cert'));
  const keys = names.filter((name) => name.endsWith('.key'));
  if (another !== undefined) throw invalid(directory, 'it holds more than one client certificate');
  const key = cert?.replace(/\.cert$/, '.key');
  const lost = keys.find((name) => name !== key);
  if (lost !== undefined)
    throw invalid(directory, `${lost} has no certificate: ${lost.replace(/key$/, 'cert')}`);
  if (authorities.length === 0 && cert === undefined) return undefined;
  return {
    ...(authorities.length === 0 ? {} : { addedCa: await readPem(directory, authorities) }),
    ...(cert === undefined || key === undefined
      ? {}
      : { cert: await readPem(directory, [cert]), key: await readPem(directory, [key]) }),
  };
}
