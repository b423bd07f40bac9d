import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../examples/cli/src/main.ts';
import { startWorld, type World } from '../examples/demo/src/index.ts';
import type { RebuildPlan, RebuildResult } from '../packages/core/src/index.ts';
import type { RegistryHost } from '../packages/registry/src/index.ts';
import { available, dockerHost } from './services.ts';

let world: World;
let flags: readonly string[];
const directory = mkdtempSync(join(tmpdir(), 'imagevet-cli-'));

beforeAll(async () => {
  world = await startWorld();
  const { hosts, hubUrl, gitUrl } = world.serviceOptions;
  flags = [
    ...[
      '--registry-host',
      (hosts as Readonly<Record<string, RegistryHost>> | undefined)?.['docker.io']?.url ?? '',
      '--hub',
      hubUrl ?? '',
      '--git-host',
      gitUrl ?? '',
    ],
    ...['--platform', `${world.platform.os}/${world.platform.architecture}`],
  ];
});
afterAll(async () => {
  await world.close();
  rmSync(directory, { recursive: true, force: true });
});

const imagevet = (...parameters: readonly string[]) => imagevetWith({}, ...parameters);

async function imagevetWith(env: NodeJS.ProcessEnv, ...parameters: readonly string[]) {
  let stdout = '';
  let stderr = '';
  const code = await main(parameters, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    env: {
      HOME: directory,
      IMAGEVET_PASSPHRASE: 'a long passphrase',
      DOCKER_HOST: 'unix:///nowhere/docker.sock',
      DOCKER_CONTENT_TRUST_SERVER: 'http://127.0.0.1:1',
      ...env,
    },
    signal: new AbortController().signal,
  });
  expect(`${stdout}${stderr}`).not.toMatch(/^\s+at .+:\d+:\d+\)?$/m);
  return { code, stdout, stderr };
}

describe('imagevet', () => {
  test('explains itself, and exits 2 for what it does not know', async () => {
    expect(await imagevet('--help')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('usage: imagevet') as string,
    });
    for (const wrong of [
      ['fly', 'x'],
      ['vet'],
      ['vet', 'x', 'y'],
      ['vet', 'x', '--wrong'],
      ['vet', 'x', '--as-of', 'never'],
      ['vet', 'x', '--as-of', '1'],
      ['verify', 'x', '--trust-archive', '.', '--root-key', 'a'.repeat(64), '--as-of', 'build'],
      ['vet', 'x', '--as-of', '2018-02-31'],
      ['rebuild', 'x', '--target', 'x/y', '--format', 'html'],
      ['vet', 'x', '--target', 'x'],
      ['vet', 'x', '--concurrency', '0'],
      ['vet', 'x', '--pull-from', 'docker.io/*'],
      ['rebuild', 'x', '--target', 'x.example/y', '--name', 'a=b=c'],
      ['vet', 'x', '--double-build', 'unexplained'],
      ['vet', 'x', '--format', 'pdf'],
      ['vet', 'x', '--registry-host', 'ftp://x'],
      ['sign', 'x@sha256:0000000000000000000000000000000000000000000000000000000000000000'],
      ['verify', 'x'],
      ['archive', 'x', '--root-key', '0'.repeat(64)],
      ['archive', 'x', '--output', 'y'],
      ['doctor', 'x', '--format', 'html'],
      ['rebuild', 'x'],
      ['--format', 'json'],
      ['vet', 'x', '--target', 'http://x/y'],
      ['vet', 'x', '--target', 'x.example/UPPER!'],
      ['vet', 'x', '--target', 'x/y'],
      ['vet', 'x', '--target', 'x.example/'],
      ['lineage', 'x', '--platform', 'lol'],
      ['lineage', 'x', '--format', 'html'],
      ['lineage', 'x', '--hub', 'lol'],
      ['lineage', 'x', '--git-host', 'file:///x'],
      ['lineage', 'x', '--offline'],
      ['audit', 'x', '--format', 'dot'],
      ['dockerfile', 'x', '--format', 'json'],
      ['verify', 'x', '--trust-server', 'lol', '--root-key', '0'.repeat(64)],
      ['verify', 'x', '--trust-server', 'https://notary.example', '--root-key', 'xyz'],
      ['verify', 'x', '--root-key', '0'.repeat(64), '--max-staleness', '0'],
    ]) {
      const given = (name: string) => wrong.includes(name);
      const others = ['--registry-host', '--hub', '--git-host', '--platform'].some(given) ? [] : flags;
      const { code, stderr } = await imagevet(...wrong, ...others);
      expect([wrong, code]).toEqual([wrong, 2]);
      expect(stderr).toContain('imagevet: ');
    }
    expect(await imagevet()).toMatchObject({ code: 0 });
  });

  test('lineage prints where an image comes from, in every format', async () => {
    const text = await imagevet('lineage', world.image, ...flags);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(
      /press:4\.9\n {2}source .*example\/press [0-9a-f]{40} script7\.2\/web\/Dockerfile \(consistent\)\n {2}base {4}script:7\.2-web, proven/,
    );
    expect(
      JSON.parse((await imagevet('lineage', world.image, '--format', 'json', ...flags)).stdout),
    ).toMatchObject({ gaps: [] });
    expect((await imagevet('lineage', world.image, '--format', 'mermaid', ...flags)).stdout).toContain(
      'flowchart',
    );
    expect((await imagevet('lineage', world.image, '--format', 'dot', ...flags)).stdout).toContain('digraph');
  });

  test('lineage --offline prints what --cache kept, and says what it did not', async () => {
    const cache = ['--cache', join(directory, 'cache')];
    const online = await imagevet('lineage', world.image, ...cache, ...flags);
    expect(online.code).toBe(0);
    expect(await imagevet('lineage', world.image, '--offline', ...cache, ...flags)).toEqual(online);
    const other = await imagevet('lineage', `${world.image}-other`, '--offline', ...cache, ...flags);
    expect([other.code, other.stderr]).toEqual([3, expect.stringContaining('OFFLINE')]);
  });

  test('dockerfile prints the file, and its source beside it', async () => {
    const { code, stdout, stderr } = await imagevet('dockerfile', 'script:7.2-web', ...flags);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^FROM distro:9-slim\n/);
    expect(stderr).toContain('https://github.com/example/script');
  });

  test('audit prints findings as text, JSON and SARIF', async () => {
    const text = await imagevet('audit', world.image, ...flags);
    expect(text).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('VET001 script7.2/web/Dockerfile:1') as string,
    });
    expect(
      JSON.parse((await imagevet('audit', world.image, '--format', 'json', ...flags)).stdout),
    ).toMatchObject([{ rule: 'VET001' }, { rule: 'VET002' }, { rule: 'VET084' }]);
    expect(
      JSON.parse((await imagevet('audit', world.image, '--format', 'sarif', ...flags)).stdout),
    ).toMatchObject({ version: '2.1.0' });
  });

  test('lineage asks about each image as of its build', async () => {
    const { stdout } = await imagevet(
      'lineage',
      world.image,
      '--as-of',
      'build',
      '--format',
      'json',
      ...flags,
    );
    const { asOf, nodes } = JSON.parse(stdout) as { asOf: string; nodes: { asOf?: string }[] };
    expect(asOf).toBe('build');
    expect(nodes.map((node) => typeof node.asOf)).toEqual(nodes.map(() => 'string'));
  });

  test('audit does not pass what it could not look at: exit 3', async () => {
    const { code, stderr } = await imagevet('audit', world.image, '--as-of', '2011-01-01', ...flags);
    expect(code).toBe(3);
    expect(stderr).toContain('could not be looked at');
  });

  test('a reader of its output that goes away is no failure', async () => {
    const program = fileURLToPath(new URL('../examples/cli/src/bin.ts', import.meta.url));
    const child = spawn(process.execPath, [
      '--conditions=@imagevet/source',
      program,
      'lineage',
      world.image,
      ...flags,
    ]);
    child.stdout.destroy();
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    const [code] = (await once(child, 'close')) as [number];
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test('says what an unknown image and an unreachable engine are', async () => {
    expect(await imagevet('lineage', 'nobody/nothing:1', ...flags)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('NOT_FOUND') as string,
    });
    expect(await imagevet('lineage', 'NOT VALID', ...flags)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('INVALID_REFERENCE') as string,
    });
    const target = `${world.target.registry}/${world.target.repositoryPrefix}`;
    expect(await imagevet('rebuild', world.image, '--target', target, ...flags)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('ENGINE_UNREACHABLE') as string,
    });
  });

  test('vet without an engine exits 3, says what was not checked, and writes the reports', async () => {
    const output = join(directory, 'report');
    const { code, stdout } = await imagevet('vet', world.image, '--output', output, ...flags);
    expect(code).toBe(3);
    expect(stdout).toContain('DENY');
    expect(stdout).toContain('Not checked');
    expect(readFileSync(join(output, 'report.html'), 'utf8')).toContain('<svg');
    expect(JSON.parse(readFileSync(join(output, 'report.json'), 'utf8'))).toMatchObject({
      kind: 'VetReport',
    });
    expect(readFileSync(join(output, 'report.md'), 'utf8')).toContain('press:4.9');
  });

  test('sign publishes a signature that verify accepts for the right root key only', async () => {
    const trust = ['--trust-server', world.notary.url, '--trust-directory', join(directory, 'trust')];
    const signed = await imagevet('sign', world.image, ...trust, ...flags);
    expect(signed.code).toBe(0);
    const rootKey = /root key ([0-9a-f]{64})/.exec(signed.stdout)?.[1] ?? '';
    const verified = await imagevet('verify', world.image, ...trust, '--root-key', rootKey, ...flags);
    expect(verified).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^docker\.io\/library\/press@sha256:[0-9a-f]{64}\n$/) as string,
    });
    expect(
      (await imagevet('verify', world.image, ...trust, '--root-key', '0'.repeat(64), ...flags)).code,
    ).toBe(3);
    // Without --trust-server it is docker's, which must speak https.
    expect(await imagevet('verify', world.image, '--root-key', rootKey, ...flags)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('DOCKER_CONTENT_TRUST_SERVER') as string,
    });
    const fresh = ['--max-staleness', '0.00000001', '--root-key', rootKey];
    expect(await imagevet('verify', world.image, ...trust, ...fresh, ...flags)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('STALE') as string,
    });
    const doctor = await imagevet('doctor', world.image, ...trust, '--format', 'json', ...flags);
    expect(doctor).toMatchObject({ code: 0, stdout: '[]\n' });
    // Without a server it still says that docker does not look.
    const bin = join(directory, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'docker'), '#!/bin/sh\necho Docker version 29.1.0, build 0\n', { mode: 0o755 });
    const env = { PATH: bin, DOCKER_CONTENT_TRUST: '1' };
    const doctorOf = (server: string) =>
      imagevetWith(env, 'doctor', world.image, ...trust, '--trust-server', server, ...flags);
    const unenforced = expect.stringMatching(
      /^error docker-does-not-verify: .*29\.1\.0.*\n {2}Resolve /,
    ) as string;
    expect(await doctorOf('http://127.0.0.1:1')).toMatchObject({
      code: 3,
      stdout: unenforced,
      stderr: expect.stringContaining('UNREACHABLE') as string,
    });
    expect(await doctorOf(world.notary.url)).toMatchObject({ code: 1, stdout: unenforced });
    const kept = join(directory, 'kept');
    const archived = await imagevet(
      'archive',
      world.image,
      ...trust,
      '--root-key',
      rootKey,
      '-o',
      kept,
      ...flags,
    );
    expect(archived).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/: \d+ files of 4 roles/) as string,
    });
    const offline = ['--trust-archive', kept, '--root-key', rootKey];
    expect(await imagevet('verify', world.image, ...offline, ...flags)).toMatchObject({
      code: 0,
      stdout: verified.stdout,
    });
    expect(await imagevet('verify', world.image, ...offline, '--as-of', '2018-01-04')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('NOT_SIGNED') as string,
    });
    // What was seen once is remembered, so that nobody can show an older state.
    const remembered = join(directory, '.local/state/imagevet/trust');
    for (const { name, parentPath } of readdirSync(remembered, {
      recursive: true,
      withFileTypes: true,
    }).filter((entry) => entry.isFile())) {
      writeFileSync(join(parentPath, name), 'spoiled');
    }
    const again = ['verify', world.image, ...trust, '--root-key', rootKey, ...flags];
    expect(await imagevet(...again)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('MALFORMED') as string,
    });
    expect((await imagevet(...again, '--trust-state', join(directory, 'other'))).code).toBe(0);
    expect((await imagevet('verify', 'script:7.2-web', ...trust, '--root-key', rootKey, ...flags)).code).toBe(
      3,
    );
  });
});

describe.skipIf(!available('docker-engine'))('imagevet with a Docker Engine', () => {
  test('vets, rebuilds and signs, and exits 0; exits 1 for the tampered image', async () => {
    const more = [
      ...[
        '--target',
        `${world.target.registry}/${world.target.repositoryPrefix}`,
        '--engine',
        dockerHost ?? '',
      ],
      ...['--trust-server', world.notary.url, '--trust-directory', join(directory, 'trust')],
    ];
    const allowed = await imagevet('vet', world.image, ...more, ...flags);
    expect(allowed.code).toBe(0);
    expect(allowed.stdout).toMatch(/run {2}127\.0\.0\.1:\d+\/vetted\/library\/press@sha256:[0-9a-f]{64}/);
    const denied = await imagevet('vet', world.tamperedImage, ...more, ...flags);
    expect(denied.code).toBe(1);
    expect(denied.stdout).toContain('/usr/local/bin/.maintenance');
    const from = (world.serviceOptions.hosts as Readonly<Record<string, RegistryHost>>)['docker.io']?.url;
    const chosen = [
      ...['--double-build', 'same-content', '--incomplete-context'],
      ...['--name', `*=${world.target.registry}/named/*`],
      ...['--pull-from', `docker.io/*=${new URL(from ?? '').host}/*`],
    ];
    const named = await imagevet('rebuild', world.image, ...more, ...chosen, '--format', 'json', ...flags);
    const { plan, result } = JSON.parse(named.stdout) as { plan: RebuildPlan; result: RebuildResult };
    expect(plan.steps.map(({ target }) => target.repository)).toContain('named/library/press');
    expect(
      result.outcomes.map((outcome) => outcome.status === 'built' && outcome.image.reference.tag),
    ).toEqual(plan.steps.map(() => expect.stringMatching(/-twice$/) as string));
    const rebuilt = await imagevet('rebuild', world.image, ...more, ...flags);
    expect(rebuilt).toMatchObject({ code: 0, stdout: expect.stringContaining('library/press:') as string });
  }, 120_000);
});
