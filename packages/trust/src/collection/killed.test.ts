// A publisher that is killed: a process of its own, against the real notary-server, by SIGKILL, at each request and at each
// thing it keeps. Afterwards everybody reads the collection, no key is missing, and the next call finishes the work.
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOf } from '@imagevet/registry';
import { afterAll, describe, expect, test } from 'vitest';
import {
  available,
  createDockerConfig,
  type NotaryService,
  startNotaryServer,
} from '../../../../test/services.ts';
import { type Action, act, PASSPHRASE } from '../../test/publisher.ts';
import { createKeyStore } from '../keys/create-key-store.ts';
import { canonicalKeyId } from '../keys/public-key.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { RootMetadata } from '../metadata/types.ts';
import { NotaryClient } from '../notary/client.ts';
import { signTag } from '../sign.ts';
import { type NotaryProxy, startNotaryProxy } from '../testing/notary-proxy.ts';
import { resolveTrusted } from '../verify.ts';
import { createRotationJournal } from './rotation.ts';

/**
 * A moment to die: a request that never arrives, a POST whose answer never does, or a step of the process itself. The answer
 * to a GET changes nothing before the next request.
 */
interface Moment {
  readonly kind: 'request' | 'answer' | 'step';
  readonly number: number;
}

/** What one row of deaths happens to. */
interface World {
  readonly notary: NotaryService;
  /** Docker's configuration directory. */
  readonly config: string;
  readonly proxy: NotaryProxy;
}

const target = (tag: string) => ({ tag, digest: digestOf(tag), size: tag.length });
const actions = ['publish', 'root', 'targets', 'snapshot', 'timestamp'] as const;

describe.skipIf(!available('notary-server', 'notary', 'docker'))('a publisher killed by SIGKILL', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-killed-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test.concurrent.each(actions)(
    '%s: at every request, answer and step nothing is lost or broken, and the next call finishes',
    async (action) => {
      // Each has its own, so that a server that fails under one is not the failure of the others.
      const notary = await startNotaryServer();
      const config = createDockerConfig(mkdtempSync(join(directory, 'docker-')), notary);
      const proxy = await startNotaryProxy({ server: { url: notary.url, ca: notary.ca } });
      const world = { notary, config, proxy };
      try {
        for (const kind of ['request', 'answer', 'step'] as const) {
          // The first number the process does not reach ends the row.
          let number = 1;
          while (await dies(action, { kind, number }, world)) number += 1;
          const steps = action === 'publish' || action === 'timestamp' ? 4 : 6;
          if (kind === 'step') expect(number - 1).toBe(steps);
          else expect(number - 1).toBeGreaterThanOrEqual(kind === 'answer' ? 1 : 5);
        }
      } finally {
        await proxy.close();
        await notary.close();
      }
    },
    240_000,
  );

  /** Lets it die at a moment and checks what is left; `false` when it ended before. */
  async function dies(action: Action, moment: Moment, world: World): Promise<boolean> {
    const { notary, proxy } = world;
    const collection = `killed.example.com/${action}-at-${moment.kind}-${moment.number}-end`;
    const place = { url: proxy.url, collection, directory: mkdtempSync(join(directory, 'trust-')) };
    const keys = createKeyStore({ directory: place.directory, passphrase: PASSPHRASE });
    const { server } = proxy;
    if (action !== 'publish') await signTag(target('1'), { collection, server, keys });
    const before = await keyIds(place.directory);
    const killed = await runUntil(moment, action, place, proxy);

    const left = await keyIds(place.directory);
    expect(left).toEqual(expect.arrayContaining(before));
    const published = await rootOf(notary, collection);
    const journal = createRotationJournal(join(place.directory, 'journal'));
    const finished =
      action !== 'publish' &&
      published?.version === 2 &&
      (await journal.load(collection, action)) === undefined;
    if (published === undefined) expect(action).toBe('publish');
    else await expectUsable(world, collection, published, left);

    await act(action, place);
    const { rootKeyIds } = await signTag(target('2'), { collection, server, keys });
    const ended = await rootOf(notary, collection);
    for (const tag of ['1', '2']) {
      const options = { server, root: { keyIds: rootKeyIds } };
      expect((await resolveTrusted({ collection, tag }, options)).digest).toBe(digestOf(tag));
    }
    // A rotation that was begun is one, however often it was tried; one that was finished is followed by another.
    if (action !== 'publish') expect(ended?.version).toBe(finished ? 3 : 2);
    // At most one key was made that nobody asked to use.
    const made = action === 'publish' ? 2 : action === 'timestamp' ? 0 : finished ? 2 : 1;
    expect((await keyIds(place.directory)).length - before.length - made).toBeLessThanOrEqual(1);
    // The stock client signs with the keys that are left, after everything.
    const hash = digestOf('three').slice('sha256:'.length);
    await stock(notary, place.directory, 'addhash', collection, '3', '5', '--sha256', hash, '-p');
    const options = { server, root: { keyIds: rootKeyIds } };
    expect((await resolveTrusted({ collection, tag: '3' }, options)).digest).toBe(digestOf('three'));
    return killed;
  }

  /** What stock clients that never saw it make of a collection, and whether the keys it asks for are here. */
  async function expectUsable(
    { notary, config }: World,
    collection: string,
    root: RootMetadata,
    stored: readonly string[],
  ): Promise<void> {
    for (const role of ['root', 'targets'] as const) {
      const ids = (root.roles[role].keyids ?? []).map((id) => canonicalKeyId(root.keys[id]!));
      expect(stored).toEqual(expect.arrayContaining(ids));
    }
    const [listed, inspected] = await Promise.all([
      stock(notary, mkdtempSync(join(directory, 'reader-')), 'list', collection),
      promisify(execFile)('docker', ['trust', 'inspect', collection], {
        env: { ...process.env, DOCKER_CONFIG: config, DOCKER_CONTENT_TRUST_SERVER: notary.url },
      }),
    ]);
    const digest = digestOf('1').slice('sha256:'.length);
    expect(listed).toContain(digest);
    expect(inspected.stdout).toContain(digest);
  }

  async function rootOf(notary: NotaryService, collection: string): Promise<RootMetadata | undefined> {
    const client = new NotaryClient({ url: notary.url, ca: notary.ca });
    try {
      const bytes = await client.fetchMetadata(collection, 'root');
      return bytes === undefined ? undefined : parseMetadata('root', bytes).signed;
    } finally {
      await client.close();
    }
  }

  async function stock(notary: NotaryService, trust: string, ...args: readonly string[]): Promise<string> {
    const options = ['-s', notary.url, '--tlscacert', notary.caFile, '-d', trust];
    const roles = ['ROOT', 'TARGETS', 'SNAPSHOT', 'DELEGATION'];
    const passphrases = roles.map((role) => [`NOTARY_${role}_PASSPHRASE`, PASSPHRASE]);
    const env = { ...process.env, ...Object.fromEntries(passphrases) };
    return (await promisify(execFile)('notary', [...options, ...args], { env })).stdout;
  }
});

async function runUntil(
  { kind, number }: Moment,
  action: Action,
  place: { readonly url: string; readonly directory: string; readonly collection: string },
  proxy: NotaryProxy,
): Promise<boolean> {
  const script = join(import.meta.dirname, '../../test/publisher.ts');
  const args = [script, place.url, place.directory, place.collection, action];
  const own = kind === 'step' ? [`${number}`] : [];
  const child = spawn(process.execPath, ['--conditions=@imagevet/source', ...args, ...own], {
    stdio: 'ignore',
    // Dozens of processes compile the same sources.
    env: { ...process.env, NODE_COMPILE_CACHE: join(place.directory, '../compiled') },
  });
  const ended = new Promise<NodeJS.Signals | number | null>((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? code)),
  );
  let requests = 0;
  proxy.block = ({ method }) => {
    if (kind === 'request' || method === 'POST') requests += 1;
    return kind === 'request' && requests === number
      ? { status: 503, body: Buffer.from('never sent') }
      : undefined;
  };
  proxy.intercept = async (_, reply) => {
    if (kind !== 'step' && requests >= number) {
      child.kill('SIGKILL');
      await ended;
    }
    return reply;
  };
  const outcome = await ended;
  proxy.block = undefined;
  proxy.intercept = undefined;
  if (outcome !== 0 && outcome !== 'SIGKILL') throw new Error(`the publisher ended with ${outcome}`);
  return outcome === 'SIGKILL';
}

async function keyIds(directory: string): Promise<string[]> {
  const ids: string[] = [];
  const keys = createKeyStore({ directory, passphrase: PASSPHRASE });
  for await (const { keyId } of keys.list()) ids.push(keyId);
  return ids;
}
