import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImagevetError } from '@imagevet/registry';
import { createRepository } from '@imagevet/registry/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { collect } from '../../__fixtures__/collect.ts';
import { startWorld, type World } from '../../__fixtures__/world.ts';
import { isPublicAddress } from '../public-address.ts';
import { sourceHosts } from '../source-hosts.ts';
import { type GitMirrorHostOptions, gitMirrorHost } from './git-mirror.ts';

const BLOG = 'https://git.example/acme/blog';
const ROOTFS = 'https://git.example/acme/rootfs';
const LIBRARY = 'https://git.example/docker-library/official-images';

let world: World;
let directory: string;
let remotes: Record<string, string>;

beforeAll(async () => {
  world = await startWorld();
  directory = mkdtempSync(join(tmpdir(), 'imagevet-mirrors-'));
  remotes = Object.fromEntries(
    Object.keys(world.repositories).map((name) => [`https://git.example/${name}`, world.host.cloneUrl(name)]),
  );
});

afterAll(async () => {
  await world.close();
  rmSync(directory, { recursive: true, force: true });
});

const connect = (options: Partial<GitMirrorHostOptions> = {}) =>
  gitMirrorHost({ directory, remotes, ...options });
const text = (content: Uint8Array): string => Buffer.from(content).toString('utf8');

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => new Error('expected an error'),
    (reason: unknown) => reason,
  );
  if (!ImagevetError.is(error)) throw error;
  return error.code;
}

describe('a mirror', () => {
  let own: string;
  beforeEach(() => {
    own = mkdtempSync(join(tmpdir(), 'imagevet-mirror-'));
  });
  afterEach(() => rmSync(own, { recursive: true, force: true }));
  const mirrorOf = () => join(own, readdirSync(own).find((name) => name.endsWith('.git'))!);
  const read = async (options: Partial<GitMirrorHostOptions> = {}) =>
    text(
      (
        await connect({ directory: own, maxAgeMs: 0, ...options }).readFile(
          BLOG,
          world.commits.blog,
          'README.md',
        )
      ).content,
    );

  it('runs no hook, and believes no configuration of its surroundings', async () => {
    await read();
    const trace = join(own, 'trace');
    for (const hook of ['reference-transaction', 'post-checkout', 'pre-auto-gc']) {
      const path = join(mirrorOf(), 'hooks', hook);
      mkdirSync(join(path, '..'), { recursive: true });
      writeFileSync(path, `#!/bin/sh\ntouch ${trace}\n`, { mode: 0o755 });
    }
    const surroundings = {
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'core.fsmonitor',
      GIT_CONFIG_VALUE_0: `touch ${trace}`,
      GIT_SSH_COMMAND: `touch ${trace}`,
      GIT_DIR: '/nonexistent',
    };
    for (const [name, value] of Object.entries(surroundings)) vi.stubEnv(name, value);
    await connect({ directory: own, maxAgeMs: 0 }).refOf(BLOG, 'HEAD');
    expect(await read()).toBe('outside\n');
    vi.unstubAllEnvs();
    expect(existsSync(trace)).toBe(false);
  });

  it('is usable after a fetch was killed, whatever git left behind', async () => {
    const program = `
      const { gitMirrorHost } = await import('@imagevet/core');
      process.stdout.write('ready');
      const host = gitMirrorHost(${JSON.stringify({ directory: own, remotes })});
      await host.readFile(${JSON.stringify(BLOG)}, ${JSON.stringify(world.commits.blog)}, 'README.md');
    `;
    world.host.faults.slow = 30_000;
    const flags = ['--conditions=@imagevet/source', '--input-type=module', '-e', program];
    const child = spawn(process.execPath, flags, { cwd: import.meta.dirname });
    const arrived = Promise.withResolvers<void>();
    world.host.faults.when = () => {
      arrived.resolve();
      return true;
    };
    await arrived.promise;
    child.kill('SIGKILL');
    await once(child, 'close');
    world.host.faults.slow = undefined;
    world.host.faults.when = undefined;
    const mirror = mirrorOf();
    for (const name of ['HEAD.lock', 'packed-refs.lock', 'config.lock', 'refs/heads/master.lock'])
      writeFileSync(join(mirror, name), '');
    mkdirSync(join(mirror, 'objects/pack'), { recursive: true });
    writeFileSync(join(mirror, 'objects/pack/tmp_pack_x'), 'half');
    const long = new Date(Date.now() - 60_000);
    utimesSync(`${mirror}.lock`, long, long); // nobody shows that they live
    expect(await read()).toBe('outside\n');
    expect(readdirSync(join(mirror, 'objects/pack')).filter((name) => name.startsWith('tmp_'))).toEqual([]);
    expect(readdirSync(own)).toEqual([expect.stringMatching(/\.git$/)]);
  }, 60_000);

  it('is fetched by one process at a time', async () => {
    const hosts = Array.from({ length: 4 }, () => connect({ directory: own, maxAgeMs: 60_000 }));
    const found = await Promise.all(
      hosts.map((host) => host.readFile(BLOG, world.commits.blog, 'README.md')),
    );
    expect(found.map(({ content }) => text(content))).toEqual(Array(4).fill('outside\n'));
    expect(readdirSync(own).length).toBe(1);
  });

  it('lets who waits for another give up', async () => {
    await read();
    writeFileSync(`${mirrorOf()}.lock`, 'somebody');
    const controller = new AbortController();
    const reason = new Error('stop');
    const waiting = connect({ directory: own, maxAgeMs: 0 }).refOf(BLOG, 'HEAD', {
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(reason), 50);
    await expect(waiting).rejects.toBe(reason);
  });
});

describe('gitMirrorHost()', () => {
  it('mirrors a repository once and reads files from it', async () => {
    const host = connect();
    const start = world.host.requests.length;
    const [one, two] = await Promise.all([
      host.readFile(BLOG, world.commits.blog, 'web/Dockerfile'),
      host.readFile(`${BLOG}.git`, world.commits.blog, './web/latest'),
    ]);
    expect(text(one.content)).toBe('FROM runtime:7-web\nCOPY start /start\nCMD ["/start"]\n');
    expect(one.url).toBe(`git+${BLOG}@${world.commits.blog}#web/Dockerfile`);
    expect(text(two.content)).toBe('#!/bin/sh\n'); // through the symbolic link
    expect(
      world.host.requests
        .slice(start)
        .filter(({ url }) => url.includes('git-upload-pack') && !url.includes('?')).length,
    ).toBeLessThanOrEqual(4);
    expect(readdirSync(directory).length).toBe(1);
  });

  it('tells the tree of a directory, which content decides and no commit', async () => {
    const path = mkdtempSync(join(tmpdir(), 'imagevet-trees-'));
    const date = '2020-01-01T00:00:00Z';
    const files = { 'app/Dockerfile': 'FROM x', 'other/x': '1' };
    const { commits } = await createRepository(path, [
      { files, message: 'One', date },
      { files: { 'other/x': '2' }, message: 'Two', date },
      { files: { 'app/y': 'y' }, message: 'Three', date },
    ]);
    const url = 'https://git.example/acme/trees';
    const mirrors = mkdtempSync(join(tmpdir(), 'imagevet-mirrors-'));
    const host = connect({ directory: mirrors, remotes: { [url]: path } });
    const trees = (directory: string) =>
      Promise.all(commits.map((commit) => host.treeOf?.(url, commit, directory)));
    const [one, two, three] = await trees('app');
    expect([one === two, two === three, /^[0-9a-f]{40}$/.test(one ?? '')]).toEqual([true, false, true]);
    expect(new Set(await trees('.')).size).toBe(3);
    expect(await host.treeOf?.(url, commits[0]!, 'none')).toBeUndefined();
    for (const made of [path, mirrors]) rmSync(made, { recursive: true });
  });

  it('tells when a commit was made', async () => {
    const host = connect();
    expect(await host.committedAt?.(BLOG, world.commits.blog)).toEqual(new Date('2018-01-02T00:00:00Z'));
    expect(await host.committedAt?.(BLOG, '0'.repeat(40))).toBeUndefined();
  });

  it('reads a directory with modes, links and submodules', async () => {
    const entries = await collect(connect().readDirectory(BLOG, world.commits.blog, 'web'));
    expect(
      entries
        .map((entry) => [entry.path, entry.type, text(entry.content)])
        .sort(([a], [b]) => (a! < b! ? -1 : 1)),
    ).toEqual([
      ['Dockerfile', 'file', 'FROM runtime:7-web\nCOPY start /start\nCMD ["/start"]\n'],
      ['ignored.txt', 'file', 'left out of archives\n'],
      ['latest', 'symlink', 'start'],
      ['module', 'submodule', '1'.repeat(40)],
      ['start', 'executable', '#!/bin/sh\n'],
    ]);
    expect((await collect(connect().readDirectory(BLOG, world.commits.blog, '.'))).length).toBe(7);
    expect(await codeOf(collect(connect().readDirectory(BLOG, world.commits.blog, 'none')))).toBe(
      'SOURCE_NOT_FOUND',
    );
    expect(
      await codeOf(collect(connect({ maxEntries: 2 }).readDirectory(BLOG, world.commits.blog, '.'))),
    ).toBe('SOURCE_LIMIT_EXCEEDED');
  });

  it('never has the commit of a fork, nor one that was force-pushed away', async () => {
    const host = connect();
    expect(await codeOf(host.readFile(BLOG, world.imposter, 'fork.txt'))).toBe('SOURCE_COMMIT_NOT_FOUND');
    expect(await host.reachability(BLOG, world.imposter)).toBe('unreachable');
    expect(await codeOf(host.readFile(ROOTFS, world.commits.rootfsAmd64, 'slim/Dockerfile'))).toBe(
      'SOURCE_COMMIT_NOT_FOUND',
    );
    expect(await host.reachability(BLOG, world.commits.blog)).toBe('reachable');
    expect(await host.reachability(BLOG, world.commits.blog, { ref: 'refs/heads/master' })).toBe('reachable');
  });

  it('reads what branches, tags and HEAD name now, by their exact names', async () => {
    const path = mkdtempSync(join(tmpdir(), 'imagevet-refs-'));
    const url = 'https://git.example/acme/refs';
    const { commits } = await createRepository(path, [
      { files: { a: '1' }, message: 'one', date: '2020-01-01T00:00:00Z', tags: ['v1'] },
      { files: { a: '2' }, message: 'two', date: '2020-01-02T00:00:00Z', branch: 'refs/tags/v2' },
    ]);
    const host = gitMirrorHost({ directory, remotes: { [url]: path } });
    const refs = ['HEAD', 'refs/heads/master', 'refs/tags/v1', 'refs/heads/refs/tags/v2', 'refs/tags/v2'];
    expect(await Promise.all(refs.map((ref) => host.refOf(url, ref)))).toEqual([
      ...[commits[0], commits[0], commits[0], commits[1]],
      undefined,
    ]);
    expect(await host.refOf(url, 'refs/heads/refs')).toBeUndefined();
    expect(await codeOf(host.refOf(url, '--all'))).toBe('SOURCE_UNSUPPORTED');
    rmSync(path, { recursive: true });
    expect(await codeOf(host.refOf(url, 'refs/tags/v1'))).toBe('SOURCE_UNREACHABLE');
  });

  it('finds a commit as of a date', async () => {
    const at = async (asOf?: string) =>
      connect().commitOf(LIBRARY, 'library/runtime', asOf === undefined ? {} : { asOf: new Date(asOf) });
    expect(await at('2018-01-04T00:00:00Z')).toBe(world.library[0]);
    expect(await at()).toBe(world.library[2]);
    expect(await codeOf(at('2017-01-01T00:00:00Z'))).toBe('SOURCE_NOT_FOUND');
  });

  it('reads a clone on disk as it is', async () => {
    const remote = world.repositories['acme/blog']!;
    const host = gitMirrorHost({ directory, remotes: { [BLOG]: remote }, hosts: [] });
    expect(text((await host.readFile(BLOG, world.commits.blog, 'README.md')).content)).toBe('outside\n');
    expect(await host.reachability(BLOG, world.imposter)).toBe('unreachable');
    expect([host.supports(BLOG), host.supports(ROOTFS)]).toEqual([true, false]);
  });

  it('says that a path is no clone git can read, and reads the .git of a work tree', async () => {
    const tree = join(directory, 'work');
    execFileSync('git', ['clone', '--quiet', world.repositories['acme/blog']!, tree], { stdio: 'pipe' });
    const open = (remote: string) => gitMirrorHost({ directory, remotes: { [BLOG]: remote }, hosts: [] });
    for (const wrong of [tree, join(directory, 'nowhere')]) {
      await expect(open(wrong).readFile(BLOG, world.commits.blog, 'README.md')).rejects.toMatchObject({
        code: 'SOURCE_UNREACHABLE',
        message: `open ${BLOG}: there is no git repository in ${wrong}`,
      });
      expect(await codeOf(open(wrong).reachability(BLOG, world.commits.blog))).toBe('SOURCE_UNREACHABLE');
    }
    const { content } = await open(join(tree, '.git')).readFile(BLOG, world.commits.blog, 'README.md');
    expect(text(content)).toBe('outside\n');
  });

  it('answers from its mirrors alone when offline', async () => {
    await connect().readFile(BLOG, world.commits.blog, 'README.md');
    const start = world.host.requests.length;
    const host = connect({ offline: true });
    expect(text((await host.readFile(BLOG, world.commits.blog, 'README.md')).content)).toBe('outside\n');
    expect(await codeOf(host.readFile(BLOG, '0'.repeat(40), 'README.md'))).toBe('SOURCE_COMMIT_NOT_FOUND');
    expect(await codeOf(host.readFile('https://git.example/acme/none', '0'.repeat(40), 'x'))).toBe('OFFLINE');
    expect(world.host.requests.length).toBe(start);
  });

  it('gives each failure its code', async () => {
    const fresh = join(directory, 'fresh');
    const read = (url: string, options: Partial<GitMirrorHostOptions> = {}) =>
      codeOf(connect({ directory: fresh, ...options }).readFile(url, world.commits.blog, 'x'));
    world.host.faults.down = true;
    expect(await read(BLOG)).toBe('SOURCE_UNREACHABLE');
    world.host.faults.down = false;
    expect(await read(BLOG)).toBe('SOURCE_NOT_FOUND');
    expect(await read('https://127.0.0.1/acme/blog')).toBe('SOURCE_UNSUPPORTED');
    expect(await read('https://[::1]/acme/blog')).toBe('SOURCE_UNSUPPORTED');
    expect(await read('ext::sh -c id')).toBe('SOURCE_UNSUPPORTED');
    expect(await read('https://other.example/x', { hosts: ['git.example'] })).toBe('SOURCE_UNSUPPORTED');
    expect(await codeOf(connect().readFile(BLOG, '--output=x', 'x'))).toBe('SOURCE_UNSUPPORTED');
    expect(await codeOf(connect().readFile(BLOG, world.commits.blog, '../x'))).toBe('SOURCE_UNSUPPORTED');
    expect(await read(BLOG, { environment: { PATH: '/nonexistent' } })).toBe('SOURCE_UNSUPPORTED');
  });

  it('rejects with the reason of an abort, and serves the next caller', async () => {
    const slow = join(directory, 'slow');
    const controller = new AbortController();
    const reason = new Error('stop');
    world.host.faults.slow = 2_000;
    const host = connect({ directory: slow });
    const first = host.readFile(BLOG, world.commits.blog, 'README.md', { signal: controller.signal });
    const second = host.readFile(BLOG, world.commits.blog, 'README.md');
    setTimeout(() => {
      world.host.faults.slow = undefined;
      controller.abort(reason);
    }, 100);
    await expect(first).rejects.toBe(reason);
    expect(text((await second).content)).toBe('outside\n');
  });
});

it('isPublicAddress() tells public addresses from all others', () => {
  expect(['140.82.121.4', '2606:50c0:8000::153'].every(isPublicAddress)).toBe(true);
  expect(
    [
      '127.0.0.1',
      '10.1.2.3',
      '169.254.169.254',
      '::1',
      '::ffff:10.0.0.1',
      'fd00::1',
      '64:ff9b::a00:1',
      'x',
    ].some(isPublicAddress),
  ).toBe(false);
});

describe('sourceHosts()', () => {
  it('reads each repository from the first host that supports it', async () => {
    const host = sourceHosts([connect({ hosts: [], remotes: { [BLOG]: remotes[BLOG]! } }), connect()]);
    expect(host.supports(ROOTFS)).toBe(true);
    expect(text((await host.readFile(BLOG, world.commits.blog, 'README.md')).content)).toBe('outside\n');
    expect(await sourceHosts([]).supports(BLOG)).toBe(false);
    expect(await codeOf(sourceHosts([]).readFile(BLOG, world.commits.blog, 'x'))).toBe('SOURCE_UNSUPPORTED');
    expect(await codeOf(collect(sourceHosts([]).readDirectory(BLOG, world.commits.blog, 'x')))).toBe(
      'SOURCE_UNSUPPORTED',
    );
  });
});
