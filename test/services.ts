// Real services for tests: a Docker Engine, docker-registry, notary-server and the stock clients.
// A test says what it needs; when it is not here the reason is printed and the test is skipped, except
// under IMAGEVET_REQUIRE_SERVICES=1 (set in CI), where a missing service is a failure.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type NetConnectOpts } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const required = process.env.IMAGEVET_REQUIRE_SERVICES === '1';

/**
 * Programs a test can ask for by name; `docker-engine` for a running engine, `buildkit` for a newer one whose image store is
 * containerd's, `root` for the right to mount.
 */
export type Service = 'docker-engine' | 'buildkit' | 'root' | (string & {});

/** Where the Docker Engine listens: DOCKER_HOST, or the default socket when it exists. */
export const dockerHost: string | undefined =
  process.env.DOCKER_HOST ?? (existsSync('/var/run/docker.sock') ? 'unix:///var/run/docker.sock' : undefined);

/** Where a Docker Engine of 23 or newer listens that has the containerd image store: IMAGEVET_BUILDKIT_HOST. */
export const buildkitHost: string | undefined = process.env.IMAGEVET_BUILDKIT_HOST;

const running: Readonly<Record<string, string | undefined>> = {
  'docker-engine': dockerHost,
  buildkit: buildkitHost,
  root: process.getuid?.() === 0 ? 'root' : undefined,
};

/**
 * Tells whether all services are here. Prints what is missing, once per call; throws instead when services
 * are required. Use as `describe.skipIf(!available('notary-server', 'notary'))`.
 */
export function available(...services: readonly Service[]): boolean {
  const missing = services.filter((service) =>
    service in running ? running[service] === undefined : findProgram(service) === undefined,
  );
  if (missing.length === 0) return true;
  const message = `needs ${missing.join(', ')}, not found on this machine`;
  if (required) throw new Error(`${message} (IMAGEVET_REQUIRE_SERVICES=1)`);
  process.stderr.write(`SKIPPED: ${message}\n`);
  return false;
}

/** Full path of a program on PATH. */
export function findProgram(name: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .concat('/usr/sbin', '/sbin')
    .map((directory) => join(directory, name))
    .find((path) => existsSync(path));
}

/** A server process; `close` ends it and removes its directory. */
export interface RunningService {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  readonly url: string;
  /** Private directory of the server. */
  readonly directory: string;
  close(): Promise<void>;
}

/** Starts Debian's docker-registry (distribution 2.8) on a free loopback port. */
export async function startDockerRegistry(
  options: {
    readonly htpasswd?: string;
    readonly schema1?: boolean;
    /** Speaks TLS with this certificate, and wants a client certificate of `clientCa`; PEM. */
    readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa: string };
  } = {},
): Promise<RunningService> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-registry-'));
  const port = await freePort();
  const lines = [
    'version: 0.1',
    `storage: {filesystem: {rootdirectory: ${directory}/data}, delete: {enabled: true}}`,
    `http: {addr: "127.0.0.1:${port}"${options.tls === undefined ? '' : `, tls: ${tlsConfig(directory, options.tls)}`}}`,
  ];
  if (options.htpasswd !== undefined) {
    writeFileSync(join(directory, 'htpasswd'), options.htpasswd);
    lines.push(`auth: {htpasswd: {realm: test, path: ${directory}/htpasswd}}`);
  }
  if (options.schema1 === true) lines.push('compatibility: {schema1: {enabled: true}}');
  writeFileSync(join(directory, 'config.yml'), `${lines.join('\n')}\n`);
  return startService('docker-registry', ['serve', join(directory, 'config.yml')], {
    directory,
    port,
    scheme: options.tls === undefined ? 'http' : 'https',
  });
}

function tlsConfig(directory: string, files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, `${name}.pem`), text);
  const path = (name: string) => `${directory}/${name}.pem`;
  return `{certificate: ${path('cert')}, key: ${path('key')}, clientcas: [${path('clientCa')}]}`;
}

/** A notary-server over TLS with its own CA. */
export interface NotaryService extends RunningService {
  /** PEM file of the CA that signed the server's certificate. */
  readonly caFile: string;
  readonly ca: string;
}

/** Starts Debian's notary-server: TLS, memory store, local ed25519 signer; with `auth`, for holders of tokens. */
export async function startNotaryServer(
  options: {
    /** The token service, and its certificate in a file. */
    readonly auth?: {
      readonly realm: string;
      readonly service: string;
      readonly issuer: string;
      readonly rootcertbundle: string;
    };
  } = {},
): Promise<NotaryService> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-notary-'));
  const port = await freePort();
  writeCertificates(directory);
  writeFileSync(
    join(directory, 'config.json'),
    JSON.stringify({
      server: {
        http_addr: `127.0.0.1:${port}`,
        tls_cert_file: join(directory, 'server.crt'),
        tls_key_file: join(directory, 'server.key'),
      },
      trust_service: { type: 'local' },
      storage: { backend: 'memory' },
      caching: { max_age: { current_metadata: 0, consistent_metadata: 0 } },
      logging: { level: 'error' },
      ...(options.auth === undefined ? {} : { auth: { type: 'token', options: options.auth } }),
    }),
  );
  const service = await startService('notary-server', ['-config', join(directory, 'config.json')], {
    directory,
    port,
    scheme: 'https',
  });
  const caFile = join(directory, 'ca.crt');
  return { ...service, caFile, ca: readFileSync(caFile, 'utf8') };
}

/** A disk in memory that holds so many MiB. Needs root. */
export function mountSmallDisk(mebibytes: number): { readonly directory: string; close(): void } {
  const parent = mkdtempSync(join(tmpdir(), 'imagevet-disk-'));
  const directory = join(parent, 'disk');
  mkdirSync(directory);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', directory]);
  const close = () => {
    execFileSync('umount', ['--lazy', directory]);
    rmSync(parent, { recursive: true, force: true });
  };
  return { directory, close };
}

/** A Docker Engine of its own whose disk holds 64 MiB. Needs root. */
export async function startSmallEngine(): Promise<{ readonly dockerHost: string; close(): Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-engine-'));
  const disk = mountSmallDisk(64);
  const data = disk.directory;
  const socket = join(directory, 'docker.sock');
  const args = [
    ...['--iptables=false', '--ip6tables=false', '--bridge=none', '--data-root', data],
    ...[
      '--exec-root',
      join(directory, 'exec'),
      '--pidfile',
      join(directory, 'pid'),
      '-H',
      `unix://${socket}`,
    ],
  ];
  const child = spawn(findProgram('dockerd') ?? 'dockerd', args, { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const close = async () => {
    child.kill('SIGTERM');
    await ended;
    disk.close();
    rmSync(directory, { recursive: true, force: true });
  };
  for (let attempt = 0; attempt < 200 && child.exitCode === null; attempt += 1) {
    if (existsSync(socket) && (await listens(socket))) return { dockerHost: `unix://${socket}`, close };
    await sleep(100);
  }
  await close();
  throw new Error('dockerd did not answer within 20 s');
}

/** A Redis that can be killed, and started again on what it had written. */
export interface RedisService extends RunningService {
  /** `redis://127.0.0.1:<port>` */
  readonly url: string;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

/** Starts Debian's redis-server, which writes each change before it answers. */
export async function startRedis(): Promise<RedisService> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-redis-'));
  const port = await freePort();
  const args = [
    ...['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', ''],
    ...['--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction'],
  ];
  const start = () =>
    startService('redis-server', args, { directory, port, scheme: 'redis', keepDirectory: true });
  let running = await start();
  return {
    ...running,
    kill: () => running.close(),
    restart: async () => {
      await running.close();
      running = await start();
    },
    close: async () => {
      await running.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A DOCKER_CONFIG directory whose docker CLI trusts the notary's certificate. */
export function createDockerConfig(directory: string, notary: Pick<NotaryService, 'host' | 'ca'>): string {
  const config = join(directory, 'docker');
  mkdirSync(join(config, 'tls', notary.host), { recursive: true });
  writeFileSync(join(config, 'tls', notary.host, 'ca.crt'), notary.ca);
  return config;
}

/**
 * Starts Debian's notary-server and the notary-signer that holds its keys: mutual TLS between them, memory stores, keys of
 * ECDSA P-256.
 */
export async function startNotaryServerWithSigner(): Promise<NotaryService> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-notary-signer-'));
  const file = (name: string): string => join(directory, name);
  const [signerPort, port] = await Promise.all([freePort(), freePort()]);
  writeCertificates(directory);
  const certificate = { tls_cert_file: file('server.crt'), tls_key_file: file('server.key') };
  const [storage, logging] = [{ backend: 'memory' }, { level: 'error' }];
  const grpc = { grpc_addr: `127.0.0.1:${signerPort}`, ...certificate, client_ca_file: file('ca.crt') };
  writeFileSync(file('signer.json'), JSON.stringify({ server: grpc, storage, logging }));
  writeFileSync(
    file('server.json'),
    JSON.stringify({
      server: { http_addr: `127.0.0.1:${port}`, ...certificate },
      trust_service: {
        ...{ type: 'remote', hostname: 'localhost', port: `${signerPort}`, key_algorithm: 'ecdsa' },
        ...{ tls_ca_file: file('ca.crt'), tls_client_cert: file('server.crt') },
        tls_client_key: file('server.key'),
      },
      storage,
      caching: { max_age: { current_metadata: 0, consistent_metadata: 0 } },
      logging,
    }),
  );
  const at = { directory, scheme: 'https' } as const;
  const signer = await startService('notary-signer', ['-config', file('signer.json')], {
    ...at,
    port: signerPort,
  });
  try {
    const server = await startService('notary-server', ['-config', file('server.json')], { ...at, port });
    return {
      ...server,
      caFile: file('ca.crt'),
      ca: readFileSync(file('ca.crt'), 'utf8'),
      close: async () => {
        await server.close();
        await signer.close();
      },
    };
  } catch (error) {
    await signer.close();
    throw error;
  }
}

/** A loopback TCP port nobody listens on. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

async function startService(
  program: string,
  args: readonly string[],
  options: { directory: string; port: number; scheme: 'http' | 'https' | 'redis'; keepDirectory?: true },
): Promise<RunningService> {
  const path = findProgram(program);
  if (path === undefined) throw new Error(`${program} is not installed`);
  const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      log = `${log}${chunk.toString('utf8')}`.slice(-8192);
    });
  }
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}:\n${log}`);
    if (await accepts(options.port)) {
      return {
        host: `127.0.0.1:${options.port}`,
        url: `${options.scheme}://127.0.0.1:${options.port}`,
        directory: options.directory,
        close: async () => {
          child.kill('SIGKILL');
          await exited;
          if (options.keepDirectory !== true) rmSync(options.directory, { recursive: true, force: true });
        },
      };
    }
    await sleep(50);
  }
  child.kill('SIGKILL');
  throw new Error(`${program} did not answer within 10 s:\n${log}`);
}

function accepts(port: number): Promise<boolean> {
  return connects({ host: '127.0.0.1', port });
}

function listens(path: string): Promise<boolean> {
  return connects({ path });
}

function connects(where: NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(where);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function writeCertificates(directory: string): void {
  const openssl = (...args: readonly string[]) =>
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    ...['req', '-x509', ...newKey, '-days', '30', '-keyout', 'ca.key', '-out', 'ca.crt'],
    ...['-subj', '/CN=imagevet-test-ca', '-addext', 'basicConstraints=critical,CA:TRUE'],
  );
  openssl('req', ...newKey, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=localhost');
  writeFileSync(
    join(directory, 'ext'),
    'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n',
  );
  openssl(
    ...['x509', '-req', '-in', 'server.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'],
    ...['-days', '30', '-extfile', 'ext', '-out', 'server.crt'],
  );
}
