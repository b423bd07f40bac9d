import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** An authority, a server's certificate for `registry.test` and 127.0.0.1, and a client's; PEM. */
export interface TestCertificates {
  readonly ca: string;
  readonly server: { readonly cert: string; readonly key: string };
  readonly client: { readonly cert: string; readonly key: string };
}

/** Makes certificates with openssl. */
export async function makeCertificates(): Promise<TestCertificates> {
  const directory = await mkdtemp(join(tmpdir(), 'imagevet-tls-'));
  const openssl = (...args: readonly string[]) => run('openssl', args, { cwd: directory });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const read = (name: string) => readFile(join(directory, name), 'utf8');
  try {
    const authority = ['-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=test-ca'];
    await openssl(
      'req',
      '-x509',
      ...newKey,
      '-days',
      '2',
      ...authority,
      '-addext',
      'basicConstraints=critical,CA:TRUE',
    );
    await writeFile(join(directory, 'ext'), 'subjectAltName=DNS:registry.test,IP:127.0.0.1\n');
    for (const name of ['server', 'client']) {
      await openssl(
        'req',
        ...newKey,
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.csr`,
        '-subj',
        `/CN=${name}`,
      );
      const signed = [
        '-CA',
        'ca.crt',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        '-days',
        '2',
        '-extfile',
        'ext',
      ];
      await openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.crt`);
    }
    const pair = async (name: string) => ({
      cert: await read(`${name}.crt`),
      key: await read(`${name}.key`),
    });
    return { ca: await read('ca.crt'), server: await pair('server'), client: await pair('client') };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
