// Verifying and signing beside the stock tools, on a real notary-server with TLS that counts what it is asked, and beside
// the signature checks that no verifier can do without.
import { execFile } from 'node:child_process';
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'tsup';
import { digestOf } from '../packages/registry/src/index.ts';
import {
  createKeyStore,
  createMemoryTrustState,
  NotaryClient,
  resolveTrusted,
  signTags,
  TrustedCollection,
  type TrustStateStore,
} from '../packages/trust/src/index.ts';
import { verifySignature } from '../packages/trust/src/keys/signature.ts';
import type { PublicKey, RootMetadata, TargetsMetadata } from '../packages/trust/src/metadata/types.ts';
import { type NotaryProxy, startNotaryProxy } from '../packages/trust/src/testing/index.ts';
import { readState } from '../packages/trust/src/verify/update.ts';
import { createDockerConfig, findProgram, startNotaryServer } from '../test/services.ts';
import { absent, type ClaimOutcome, judge, medians } from './claim.ts';

const TAGS = 20;
const SIGNED_AT_ONCE = 100;
const ROUNDS = 200;
const PROCESS_ROUNDS = 7;
const NAMES = {
  roundTrips: 'trust.warm-verify-requests-vs-notary',
  checks: 'trust.warm-verify-vs-signature-checks',
  warm: 'trust.warm-verify-vs-round-trip-and-checks',
  cold: 'trust.cold-verify-requests-vs-notary',
  posts: 'trust.sign-100-tags-posts-vs-notary',
  node: 'trust.process-time-vs-node-and-one-request',
  notary: 'trust.process-time-vs-notary-list',
  docker: 'trust.process-time-vs-docker-trust-inspect',
  dockerRequests: 'trust.process-requests-vs-docker-trust-inspect',
};

/** Runs the comparison; returns what came of each claim. */
export async function benchTrust(print: (line: string) => void): Promise<readonly ClaimOutcome[]> {
  const say = ({ line, outcome }: { line: string; outcome: ClaimOutcome }) => {
    print(line);
    return outcome;
  };
  const missing = ['notary-server', 'notary', 'docker', 'openssl'].some(
    (name) => findProgram(name) === undefined,
  );
  if (missing) return Object.values(NAMES).map((name) => say(absent(name, 1)));
  const stage = await startStage();
  try {
    const outcomes = [...(await benchVerifying(stage)), ...(await benchProcesses(stage))];
    outcomes.push(await benchSigning(stage));
    return outcomes.map(say);
  } finally {
    await stage.close();
  }
}

interface Stage {
  readonly directory: string;
  readonly proxy: NotaryProxy;
  readonly collection: string;
  readonly rootKeyIds: readonly string[];
  /** How many requests reach the server meanwhile. */
  counted(work: () => Promise<unknown>): Promise<{ readonly requests: number; readonly posts: number }>;
  notary(trustDirectory: string, ...args: readonly string[]): Promise<string>;
  docker(...args: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

async function startStage(): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-bench-'));
  const server = await startNotaryServer();
  const proxy = await startNotaryProxy({ server: { url: server.url, ca: server.ca }, tls: true });
  const caFile = join(directory, 'ca.crt');
  writeFileSync(caFile, proxy.ca ?? '');
  const dockerConfig = createDockerConfig(directory, { host: proxy.host, ca: proxy.ca ?? '' });
  const collection = `${proxy.host}/bench/app`;
  const keys = createKeyStore();
  const options = { collection, server: proxy.server, keys };
  const tags = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      ...{ tag: `v${index}`, digest: digestOf(`${index}`), size: 1000 + index },
    }));
  const { rootKeyIds } = await signTags({ ...options, targets: tags(1) });
  const releases = await keys.generate({ role: 'releases' });
  await new TrustedCollection(collection, options)
    .setDelegation({ name: 'targets/releases', keys: [releases.publicKey], threshold: 1, paths: [''] })
    .publish();
  await signTags({ ...options, targets: tags(TAGS) });
  return {
    ...{ directory, proxy, collection, rootKeyIds },
    counted: async (work) => {
      const before = proxy.requests.length;
      await work();
      const made = proxy.requests.slice(before);
      return { requests: made.length, posts: made.filter((request) => request.startsWith('POST')).length };
    },
    notary: (trustDirectory, ...args) =>
      run('notary', ['-s', proxy.url, '--tlscacert', caFile, '-d', trustDirectory, ...args]),
    docker: (...args) =>
      run('docker', args, { DOCKER_CONFIG: dockerConfig, DOCKER_CONTENT_TRUST_SERVER: proxy.url }),
    close: async () => {
      await Promise.all([proxy.close(), server.close()]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function benchVerifying(stage: Stage) {
  const { collection, proxy, rootKeyIds, counted } = stage;
  const subject = { collection, tag: 'v1' };
  const root = { keyIds: rootKeyIds };
  await using client = closing(new NotaryClient(proxy.server));
  const state = createMemoryTrustState();
  const verify = (source: Parameters<typeof resolveTrusted>[1]) =>
    resolveTrusted(subject, { root, state, ...source });
  const trust = join(stage.directory, 'cold');
  const cold = {
    ours: await counted(() => verify({ server: client })),
    peer: await counted(() => stage.notary(trust, 'list', collection)),
  };
  const warm = {
    ours: await counted(() => verify({ server: client })),
    peer: await counted(() => stage.notary(trust, 'list', collection)),
  };
  const checks = await signatureChecks(state, collection);
  const timestamp = readState(await state.load(collection)).get('timestamp')!.bytes;
  const memory = { fetchMetadata: async () => timestamp };
  const [ours, bare, overTls, bareOverTls] = await medians(
    [
      () => verify({ server: memory }),
      checks,
      () => verify({ server: client }),
      async () => {
        await client.fetchMetadata(collection, 'timestamp');
        checks();
      },
    ] as const,
    ROUNDS,
  );
  return [
    requestClaim(NAMES.roundTrips, warm.ours.requests, warm.peer.requests),
    // Twice the cost of the checks is the most it may take.
    timeClaim(NAMES.checks, ours, bare, 0.5),
    timeClaim(NAMES.warm, overTls, bareOverTls, 0.5),
    requestClaim(NAMES.cold, cold.ours.requests, cold.peer.requests),
  ];
}

/** The signatures a verification rests on, each from the bytes of its key, without anything around or kept between them. */
async function signatureChecks(state: TrustStateStore, collection: string): Promise<() => void> {
  const files = readState(await state.load(collection));
  const root = files.get('root')!.signed as RootMetadata;
  const targets = files.get('targets')!.signed as TargetsMetadata;
  const keys: Record<string, PublicKey> = { ...root.keys, ...targets.delegations.keys };
  const jobs = [...files.values()].flatMap(({ signatures, signedBytes }) =>
    signatures.map(({ keyid, method, sig }) => ({
      keyid,
      method,
      sig: Buffer.from(sig, 'base64'),
      signedBytes,
    })),
  );
  if (jobs.length !== 5) throw new Error(`expected 5 signatures, received ${jobs.length}`);
  return () => {
    for (const { keyid, method, sig, signedBytes } of jobs) {
      if (!verifySignature(decode(keys[keyid]!), method, signedBytes, sig)) {
        throw new Error('a signature is wrong');
      }
    }
  };
}

function decode({ keytype, keyval }: PublicKey): KeyObject {
  const content = Buffer.from(keyval.public, 'base64');
  if (keytype.endsWith('-x509')) return new X509Certificate(content).publicKey;
  const header = keytype === 'ed25519' ? '302a300506032b6570032100' : '';
  return createPublicKey({
    key: Buffer.concat([Buffer.from(header, 'hex'), content]),
    format: 'der',
    type: 'spki',
  });
}

async function benchProcesses(stage: Stage) {
  const { collection, proxy, counted } = stage;
  const program = await bundle(stage.directory);
  const trust = join(stage.directory, 'process');
  const caFile = join(stage.directory, 'ca.crt');
  const state = join(stage.directory, 'state');
  const ours = async () => {
    const output = await run(process.execPath, [
      ...[program, proxy.url, caFile, state, collection, stage.rootKeyIds[0]!],
    ]);
    check(output, `v1 ${digestOf('1')}`);
  };
  const notary = async () =>
    check(await stage.notary(trust, 'list', collection), digestOf('1').slice('sha256:'.length));
  const docker = async () =>
    check(await stage.docker('trust', 'inspect', collection), digestOf('1').slice('sha256:'.length));
  // What no program in Node can be faster than: its start, and the one request over TLS.
  const bare = join(stage.directory, 'bare.cjs');
  writeFileSync(bare, BARE_PROGRAM);
  const timestamp = `${proxy.url}/v2/${collection}/_trust/tuf/timestamp.json`;
  const node = async () => check(await run(process.execPath, [bare, timestamp, caFile]), 'Timestamp');
  const [oursMs, nodeMs, notaryMs, dockerMs] = await medians(
    [ours, node, notary, docker] as const,
    PROCESS_ROUNDS,
  );
  const requests = { ours: await counted(ours), docker: await counted(docker) };
  return [
    timeClaim(NAMES.node, oursMs, nodeMs, 0.5),
    timeClaim(NAMES.notary, oursMs, notaryMs, 0.5),
    timeClaim(NAMES.docker, oursMs, dockerMs, 0.5),
    requestClaim(NAMES.dockerRequests, requests.ours.requests, requests.docker.requests),
  ];
}

async function benchSigning(stage: Stage) {
  const collection = `${stage.proxy.host}/bench/many`;
  const targets = Array.from({ length: SIGNED_AT_ONCE }, (_, index) => ({
    ...{ tag: `v${index}`, digest: digestOf(`${index}`), size: 1 },
  }));
  const ours = await stage.counted(() =>
    signTags({ collection, server: stage.proxy.server, keys: createKeyStore(), targets }),
  );
  const trust = join(stage.directory, 'signer');
  const other = `${stage.proxy.host}/bench/many-by-notary`;
  const notary = await stage.counted(async () => {
    await stage.notary(trust, 'init', other);
    for (const { tag, digest } of targets) {
      await stage.notary(trust, 'addhash', other, tag, '1', '--sha256', digest.slice('sha256:'.length));
    }
    await stage.notary(trust, 'publish', other);
  });
  return judge({
    ...{ name: NAMES.posts, ours: `${ours.posts}`, peer: `${notary.posts}` },
    ...{ ratio: notary.posts / ours.posts, goal: 1 },
  });
}

const BARE_PROGRAM = `
const { readFileSync } = require('node:fs');
const [, , url, ca] = process.argv;
require('node:https').get(url, { ca: readFileSync(ca) }, (reply) => reply.pipe(process.stdout));
`;

const requestClaim = (name: string, ours: number, peer: number) =>
  judge({ name, ours: `${ours}`, peer: `${peer}`, ratio: peer / ours, goal: 1 });

const timeClaim = (name: string, ours: number, peer: number, goal: number) =>
  judge({ name, ours: `${ours.toFixed(2)}ms`, peer: `${peer.toFixed(2)}ms`, ratio: peer / ours, goal });

function check(output: string, expected: string): void {
  if (!output.includes(expected)) throw new Error(`expected ${expected}, received ${output.slice(0, 400)}`);
}

function closing<T extends { close(): Promise<void> }>(value: T): T & AsyncDisposable {
  return Object.assign(value, { [Symbol.asyncDispose]: () => value.close() });
}

/** The program in one file, as a bundler ships it. */
async function bundle(directory: string): Promise<string> {
  const outDir = join(directory, 'program');
  await build({
    entry: [join(import.meta.dirname, 'trust-whole.ts')],
    ...{ format: 'esm', target: 'node22', platform: 'node', outDir, dts: false, config: false, silent: true },
    ...{ noExternal: [/./], minify: true, outExtension: () => ({ js: '.mjs' }) },
    esbuildOptions: (options) => {
      options.conditions = ['@imagevet/source'];
    },
    // undici asks for Node's own modules with require().
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  return join(outDir, 'trust-whole.mjs');
}

async function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const passphrase = 'bench passphrase';
  const { stdout } = await promisify(execFile)(program, args, {
    env: {
      ...process.env,
      NOTARY_ROOT_PASSPHRASE: passphrase,
      NOTARY_TARGETS_PASSPHRASE: passphrase,
      NOTARY_SNAPSHOT_PASSPHRASE: passphrase,
      ...env,
    },
  });
  return stdout;
}
