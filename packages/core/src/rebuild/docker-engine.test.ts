import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  digestHex,
  digestOf,
  type Fetcher,
  formatReference,
  ImagevetError,
  RegistryClient,
  resolveImage,
  scanImage,
  staticKeychain,
} from '@imagevet/registry';
import { makeTar, startRegistry } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  available,
  dockerHost,
  freePort,
  type RunningService,
  startDockerRegistry,
  startSmallEngine,
} from '../../../../test/services.ts';
import { parseProvenance } from '../provenance/attestation/statement.ts';
import { family } from './__fixtures__/family.ts';
import { builtBy, provenanceOf } from './__fixtures__/provenance.ts';
import { attestRebuild } from './attest/attest-rebuild.ts';
import { readContext } from './context/read-context.ts';
import { dockerEngineBuilder } from './engine/docker-engine-builder.ts';
import { planRebuild } from './plan/plan-rebuild.ts';
import { rebuild } from './rebuild.ts';
import type { Builder, BuildRequest, BuiltImage, RebuildOutcome } from './types.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const code = (expected: string) => expect.objectContaining({ code: expected });
const BASE = 'local/debian:bookworm-slim';

describe.skipIf(!available('docker-engine', 'docker-registry', 'docker'))('dockerEngineBuilder()', () => {
  let registry: RunningService;
  const client = new RegistryClient({ attempts: 2 });
  const builders: Builder[] = [];
  const builderOf = (extra = {}) => {
    const builder = dockerEngineBuilder({ dockerHost, registry: client, network: 'host', ...extra });
    builders.push(builder);
    return builder;
  };
  const request = (dockerfile: string, context: BuildRequest['context'] = []): BuildRequest => ({
    dockerfile,
    context,
    platform,
    target: {
      registry: registry.host,
      repository: 'test/app',
      tag: `t${Math.random().toString(36).slice(2)}`,
    },
  });
  const file = (path: string, content = path) => ({
    path,
    type: 'file' as const,
    content: Buffer.from(content),
  });
  const filesOf = async (image: BuiltImage, source: Fetcher = client) => {
    const scan = await scanImage(await resolveImage(image.reference, { source, platform }), { source });
    return new Map(
      scan.layers.flatMap(({ entries }) =>
        entries.map((entry) => [entry.path.replace(/^\/|\/$/g, ''), entry] as const),
      ),
    );
  };
  const docker = (...args: readonly string[]) =>
    execFileSync('docker', args, { env: { ...process.env, DOCKER_HOST: dockerHost }, encoding: 'utf8' });
  const imagesOf = (host: string) =>
    docker('images', '--all', '--digests', '--format', '{{.Repository}}:{{.Tag}}@{{.Digest}}')
      .split('\n')
      .filter((line) => line.startsWith(host));

  beforeAll(async () => {
    registry = await startDockerRegistry();
  });
  afterAll(async () => {
    for (const builder of builders) await builder.release?.();
    await client.close();
    await registry.close();
  });

  test('tells what engine it is', async () => {
    expect(await builderOf().probe()).toMatchObject({
      name: 'Docker Engine',
      version: expect.stringMatching(/^\d+\./),
    });
  });

  test('takes the password of a proxy out of the log, and leaves none in the image', async () => {
    const log: string[] = [];
    const proxy = { http: 'http://me:se%2Fcret@127.0.0.1:9/' };
    const text = `FROM ${BASE}\nRUN env && echo proxy-authorization: $http_proxy`;
    const builder = builderOf({ proxy });
    const image = await builder.build(request(text), { onProgress: (event) => log.push(event.text) });
    await builder.release?.();
    expect(log.join('\n')).toContain('http_proxy=http://me:***@127.0.0.1:9/');
    expect(log.join('\n')).not.toContain('se%2Fcret');
    const { history, execution } = await resolveImage(image.reference, { source: client });
    expect(JSON.stringify([history, execution])).not.toContain('cret@');
  });

  test.each([
    ['ARG http_proxy', 'RUN true'],
    ['ARG http_proxy', 'RUN --mount=type=tmpfs,target=/t true'],
    ['ENV P=$http_proxy', 'RUN true'],
    ['LABEL p="${http_proxy}"', 'RUN true'],
  ])(
    'row 39: refuses to build %s, then %s, which would write the password of a proxy into the image',
    async (...lines) => {
      const text = `FROM ${BASE}\n${lines.join('\n')}`;
      const withPassword = builderOf({ proxy: { http: 'http://me:secret@127.0.0.1:9/' } });
      await expect(withPassword.build(request(text))).rejects.toMatchObject({
        code: 'BUILD_UNSUPPORTED',
        details: { line: 2 },
      });
    },
  );

  test('row 39: does not take an image whose base records the password of a proxy', async () => {
    const builder = builderOf();
    const base = await builder.build(request(`FROM ${BASE}\nONBUILD ENV P=$http_proxy`));
    const proxied = builderOf({ proxy: { http: 'http://me:secret@127.0.0.1:9/' } });
    const text = `FROM ${formatReference({ ...base.reference, tag: undefined })}\nRUN true`;
    await expect(proxied.build(request(text))).rejects.toMatchObject({
      code: 'SECRET_IN_IMAGE',
      message: expect.stringContaining('its configuration or history'),
    });
    await builder.release?.();
  }, 60_000);

  test('row 39: does not take an image into which a RUN wrote the password of a proxy', async () => {
    const proxied = builderOf({ proxy: { http: 'http://me:pa55-w0rd@127.0.0.1:9/' } });
    const asked = request(`FROM ${BASE}\nRUN mkdir /x && echo "proxy $http_proxy" > /x/apt.conf`);
    await expect(proxied.build({ ...asked, annotations: { a: 'b' } })).rejects.toMatchObject({
      code: 'SECRET_IN_IMAGE',
      message: expect.stringMatching(/^(?!.*pa55)/),
      details: { path: '/x/apt.conf', layer: 1 },
    });
    await expect(client.resolve(asked.target)).rejects.toThrow(code('NOT_FOUND'));
    await proxied.release?.();
  }, 60_000);

  test('builds the stage it is asked for, with the build arguments it is given', async () => {
    const text = `FROM ${BASE} AS one\nARG SAY=default\nRUN echo $SAY > /said\nFROM ${BASE}\nRUN exit 7`;
    const parameters = { buildArgs: { SAY: 'hello' }, target: 'one' };
    const builder = builderOf();
    const image = await builder.build({ ...request(text), parameters });
    await builder.release?.();
    expect((await filesOf(image)).get('said')).toMatchObject({ digest: digestOf('hello\n') });
  });

  describe('with a family of four levels from git, a shared base and a multi-stage child', async () => {
    const { lineage, host, close } = await family();
    afterAll(close);
    const plan = async () =>
      planRebuild([await lineage()], { target: { registry: registry.host, repositoryPrefix: 'vetted' } });
    const statuses = (outcomes: readonly RebuildOutcome[]) =>
      outcomes.map((outcome) => (outcome.status === 'failed' ? outcome.message : outcome.status));

    test('rebuilds each on the one before, and leaves nothing in the engine', async () => {
      const log: string[] = [];
      const result = await rebuild(await plan(), {
        builder: builderOf(),
        host,
        onProgress: (event) => event.type === 'step-log' && log.push(event.text),
      });
      expect(statuses(result.outcomes)).toEqual(Array(5).fill('built'));
      expect(log.some((line) => line.startsWith('Step 1/'))).toBe(true);
      const diffIds = async (name: string) => {
        const outcome = result.outcomes.find(({ step }) => step.startsWith(`docker.io/library/${name}:`));
        if (outcome?.status !== 'built') throw new Error(`${name} was not built`);
        return (await resolveImage(outcome.image.reference, { source: client })).diffIds;
      };
      const [base, lib, app, top] = await Promise.all(['base', 'lib', 'app', 'top'].map(diffIds));
      expect(lib?.slice(0, base?.length)).toEqual(base);
      expect(app?.slice(0, lib?.length)).toEqual(lib);
      expect(top).toEqual(app);
      expect(app).toHaveLength((lib?.length ?? 0) + 2);
      expect(imagesOf(registry.host)).toEqual([]);
    });

    test('says on each image where it is from, and keeps its provenance beside it', async () => {
      const steps = await plan();
      const result = await rebuild(steps, { builder: builderOf(), host, reuse: false });
      const [lib, app] = await Promise.all(
        ['lib', 'app'].map((name) => builtBy(result.outcomes, name, client)),
      );
      const step = steps.steps.find(({ id }) => id.startsWith('docker.io/library/app:'))!;
      expect(app!.annotations).toEqual({
        'org.opencontainers.image.source': step.location.repository,
        'org.opencontainers.image.revision': step.location.commit,
        'org.opencontainers.image.base.name': `${registry.host}/vetted/library/lib:1`,
        'org.opencontainers.image.base.digest': lib!.manifest.digest,
      });
      const attest = () => attestRebuild(steps, result, { registry: client });
      const attestations = await attest();
      expect(attestations.map(({ step: id }) => id)).toEqual(steps.steps.map(({ id }) => id));
      // A second time is no change, nor is it after another run that found everything built and does not know by what.
      expect(await attest()).toEqual(attestations);
      const found = await rebuild(steps, { builder: builderOf(), host });
      expect(await attestRebuild(steps, found, { registry: client })).toEqual(attestations);
      const statements = await provenanceOf(app!, client);
      expect(statements).toHaveLength(1);
      expect(statements[0]).toMatchObject({
        subject: [{ digest: { sha256: digestHex(app!.manifest.digest) } }],
        predicateType: 'https://slsa.dev/provenance/v1',
        predicate: {
          runDetails: {
            builder: { version: { 'Docker Engine': result.engine.version } },
            metadata: { invocationId: step.key },
          },
        },
      });
      const { resolvedDependencies } = statements[0]!.predicate.buildDefinition;
      expect(resolvedDependencies).toContainEqual({
        uri: `git+${step.location.repository}@${step.location.commit}#${step.location.directory}`,
        digest: { gitCommit: step.location.commit },
        name: 'context',
      });
      const base = resolvedDependencies.find(({ name }) => name === 'base');
      expect(base).toMatchObject({
        uri: `docker-image://${registry.host}/vetted/library/lib@${lib!.manifest.digest}`,
        digest: { sha256: digestHex(lib!.manifest.digest) },
      });
      // Whoever reads BuildKit's provenance reads it too.
      const read = parseProvenance(statements[0]);
      expect(read?.materials).toHaveLength(resolvedDependencies.length);
      expect(read?.subjects).toEqual([app!.manifest.digest]);
    });

    test('builds nothing again that is in the registry, and everything when told so', async () => {
      const again = await rebuild(await plan(), { builder: builderOf(), host });
      expect(again.outcomes.map((outcome) => outcome.status === 'built' && outcome.reused)).toEqual(
        Array(5).fill(true),
      );
      const anew = await rebuild(await plan(), { builder: builderOf(), host, reuse: false, concurrency: 4 });
      expect(anew.outcomes.map((outcome) => outcome.status === 'built' && outcome.reused)).toEqual(
        Array(5).fill(undefined),
      );
    });

    test('lets two runs of one plan go on at once', async () => {
      const prefix = { registry: registry.host, repositoryPrefix: 'twice' };
      const shared = planRebuild([await lineage()], { target: prefix });
      const results = await Promise.all([1, 2].map(() => rebuild(shared, { builder: builderOf(), host })));
      for (const { outcomes } of results) expect(statuses(outcomes)).toEqual(Array(5).fill('built'));
      const [one, other] = results.map(({ outcomes }) =>
        outcomes.map((outcome) => outcome.status === 'built' && outcome.image.descriptor.digest),
      );
      expect(one).toEqual(other);
    }, 60_000);
  });

  test('builds on a parent that only the registry has, with its own credentials', async () => {
    await using guarded = await startRegistry({ basic: { username: 'u', password: 'p?~+/' } });
    const keychain = staticKeychain({ [guarded.host]: { kind: 'basic', username: 'u', password: 'p?~+/' } });
    const reader = new RegistryClient({ keychain });
    const target = { registry: guarded.host, repository: 'private/base', tag: '1' };
    const builder = builderOf({ registry: reader, keychain });
    const base = await builder.build({ ...request('FROM scratch\nCOPY x /', [file('x')]), target });
    // The second needs BuildKit.
    for (const copy of ['COPY y /', 'COPY --chmod=700 y /']) {
      await builder.release?.();
      expect(imagesOf(guarded.host)).toEqual([]);
      const dockerfile = `FROM ${formatReference({ ...base.reference, tag: undefined })}\n${copy}`;
      const child = await builder.build({
        ...request(dockerfile, [file('y')]),
        target: { ...target, repository: 'private/child' },
      });
      expect([...(await filesOf(child, reader)).keys()].sort()).toEqual(['x', 'y']);
    }
    await builder.release?.();
    await expect(
      builderOf({ registry: reader }).build({ ...request('FROM scratch\nCOPY x /', [file('x')]), target }),
    ).rejects.toThrow(code('PUSH_FAILED'));
    expect(imagesOf(guarded.host)).toEqual([]);
    await reader.close();
  });

  test('does not build on a base whose programs nobody can look at, unless it is told to', async () => {
    await using guarded = await startRegistry({ basic: { username: 'u', password: 'p' } });
    const keychain = staticKeychain({ [guarded.host]: { kind: 'basic', username: 'u', password: 'p' } });
    await using reader = new RegistryClient({ keychain });
    const target = { registry: guarded.host, repository: 'private/base', tag: '1' };
    const owner = builderOf({ registry: reader, keychain });
    const base = await owner.build({ ...request('FROM scratch\nCOPY x /', [file('x')]), target });
    const asked = request(`FROM ${formatReference({ ...base.reference, tag: undefined })}\nCOPY y /`, [
      file('y'),
    ]);
    // The engine may read there, and we may not.
    await expect(builderOf({ keychain }).build(asked)).rejects.toMatchObject({
      code: 'BUILD_UNSUPPORTED',
      message: expect.stringContaining('could not be looked at'),
      details: { line: 1 },
    });
    const log: string[] = [];
    const allowed = builderOf({ keychain, uncheckedBases: 'allow' });
    await allowed.build(asked, { onProgress: ({ text }) => log.push(text) });
    expect(log.join('\n')).toContain('could not be looked at');
    await owner.release?.();
    await allowed.release?.();
  });

  test.each([
    [
      'the classic builder',
      'ARG V=1\nFROM local/debian:bookworm-slim\nENV A=1\nRUN true && \\\n  exit 42\nRUN true',
      4,
    ],
    [
      'BuildKit',
      'ARG V=1\nFROM local/debian:bookworm-slim AS a\nENV A=1\nRUN --mount=type=tmpfs,target=/t true && \\\n  exit 42',
      4,
    ],
    [
      'a later stage',
      'FROM scratch AS a\nCOPY x /\nFROM local/debian:bookworm-slim\nRUN echo "Step 9/9 : x"\nRUN exit 42',
      5,
    ],
    [
      'a later stage in BuildKit',
      'FROM local/debian:bookworm-slim AS a\nCOPY --chmod=700 x /\nFROM local/debian:bookworm-slim\nCOPY --from=a /x /\nRUN exit 42',
      5,
    ],
  ])('names the line of a RUN that fails in %s', async (_name, dockerfile, line) => {
    const log: string[] = [];
    const error = await builderOf()
      .build(request(dockerfile, [file('x')]), { onProgress: (event) => log.push(event.text) })
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'BUILD_FAILED', details: { line, exitCode: 42 } });
    expect(String(error)).toContain(`in line ${line}`);
    expect(log.length).toBeGreaterThan(0);
  });

  test('refuses nothing silently: an unknown base, a missing file and a syntax error are failures', async () => {
    for (const dockerfile of [
      `FROM ${registry.host}/no/such@${`sha256:${'0'.repeat(64)}`}`,
      'FROM scratch\nCOPY missing /',
      `FROM ${BASE}\nEXPOSE nonsense/x`,
    ]) {
      await expect(builderOf().build(request(dockerfile))).rejects.toThrow(code('BUILD_FAILED'));
    }
  });

  test.each([
    ['a heredoc', `FROM ${BASE}\nRUN <<EOF\nexit 7\nEOF`],
    ['COPY --link', `FROM ${BASE}\nCOPY --link x /`],
  ])('refuses %s on an engine that does not know it', async (_name, dockerfile) => {
    const { version } = await builderOf().probe();
    if (Number.parseInt(version, 10) >= 23) return expect(version).toMatch(/^\d/);
    await expect(builderOf().build(request(dockerfile, [file('x')]))).rejects.toThrow(
      code('BUILD_UNSUPPORTED'),
    );
  });

  test('refuses a base of another platform before it builds anything', async () => {
    const asked = { ...request(`FROM ${BASE}\nRUN true`), platform: { os: 'linux', architecture: 'arm64' } };
    await expect(builderOf().build(asked)).rejects.toThrow(code('BUILD_UNSUPPORTED'));
  });

  test('refuses a base whose triggers copy from images without a digest', async () => {
    const builder = builderOf();
    const base = await builder.build(
      request(`FROM scratch\nCOPY x /\nONBUILD COPY --from=composer:2 /a /b`, [file('x')]),
    );
    await expect(builder.build(request(`FROM ${formatReference(base.reference)}\nCMD x`))).rejects.toThrow(
      code('BUILD_UNSUPPORTED'),
    );
    await builder.release?.();
  });

  test.each([
    ['the classic builder', 'COPY . /all/'],
    ['BuildKit', 'COPY --chmod=755 . /all/'],
  ])('copies with %s what the repository holds, with its modes', async (backend, copy) => {
    const context = [
      file('Dockerfile', 'FROM public'),
      file('a/b/c'),
      { ...file('run.sh'), type: 'executable' as const },
      { path: 'out', type: 'symlink' as const, content: Buffer.from('../../etc/passwd') },
    ];
    const image = await builderOf().build({
      ...request(`FROM scratch\n${copy}`, context),
      dockerfilePath: 'Dockerfile',
    });
    const files = await filesOf(image);
    const copied = [...files].filter(([path]) => path.startsWith('all/'));
    expect(copied.map(([path]) => path).sort()).toEqual(
      ['all/Dockerfile', 'all/a', 'all/a/b', 'all/a/b/c', 'all/out', 'all/run.sh'].sort(),
    );
    const modes = Object.fromEntries(copied.map(([path, { mode }]) => [path, mode & 0o777]));
    expect(modes).toMatchObject({ 'all/a': 0o755, 'all/a/b': 0o755, 'all/run.sh': 0o755 });
    if (backend === 'the classic builder') expect(modes['all/a/b/c']).toBe(0o644);
  });

  test.each([
    ['the classic builder', ''],
    ['BuildKit', '--mount=type=tmpfs,target=/t '],
  ])('stops a RUN of %s when aborted, with the reason', async (_name, mount) => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const mark = `600.${Math.floor(Math.random() * 1e9)}`;
    const building = builderOf().build(request(`FROM ${BASE}\nRUN ${mount}sleep ${mark}`), {
      signal: controller.signal,
    });
    building.catch(() => {});
    await until(() => isRunning(mark));
    controller.abort(reason);
    await expect(building).rejects.toBe(reason);
    await until(() => !isRunning(mark));
  });

  test('row 39: gives up at its limit of time', async () => {
    const slow = request(`FROM ${BASE}\nRUN echo ${Math.random()} && sleep 600`);
    await expect(builderOf({ timeoutMs: 1500 }).build(slow)).rejects.toThrow(code('BUILD_LIMIT_EXCEEDED'));
  });

  test('row 39: stops a build that prints without end', async () => {
    const mark = `9${Math.floor(Math.random() * 1e9)}`;
    const loud = request(`FROM ${BASE}\nRUN while true; do echo ${mark}; done`);
    await expect(builderOf({ maxLogBytes: 100_000 }).build(loud)).rejects.toThrow(
      code('BUILD_LIMIT_EXCEEDED'),
    );
    await until(() => !isRunning(mark));
  });

  test('row 39: a build gets no more memory than it may have, and runs in the control group it is given', async () => {
    const greedy = request(`FROM ${BASE}\nRUN head -c 200000000 /dev/zero | tail -n 1 | wc -c`);
    const built = await builderOf({ memoryBytes: 512 * 2 ** 20 }).build(greedy);
    expect(built.diffIds.length).toBeGreaterThan(0);
    await expect(
      builderOf({ memoryBytes: 64 * 2 ** 20 }).build({
        ...greedy,
        dockerfile: `${greedy.dockerfile} | grep 200000000`,
      }),
    ).rejects.toThrow(code('BUILD_FAILED'));
    const log: string[] = [];
    await builderOf({ cgroupParent: '/imagevet-test' }).build(
      request(`FROM ${BASE}\nRUN cat /proc/self/cgroup`),
      { onProgress: (event) => log.push(event.text) },
    );
    expect(log.some((line) => line.includes('/imagevet-test/'))).toBe(true);
  }, 60_000);

  test('says that a registry cannot be reached', async () => {
    const nowhere = request('FROM scratch\nCOPY x /', [file('x')]);
    const target = { ...nowhere.target, registry: `127.0.0.1:${await freePort()}` };
    await expect(builderOf().build({ ...nowhere, target })).rejects.toThrow(code('PUSH_FAILED'));
  });

  test('says that a registry is full', async () => {
    await using full = await startRegistry({
      intercept: ({ method }, response) => {
        if (method !== 'POST' && method !== 'PUT' && method !== 'PATCH') return false;
        // As Harbor says that the quota of a project is used up; for other answers the engine waits and tries again.
        response.writeHead(403, { 'content-type': 'application/json' });
        response.end('{"errors":[{"code":"DENIED","message":"adding 1 MiB would exceed the quota"}]}');
        return true;
      },
    });
    const asked = request('FROM scratch\nCOPY x /', [file('x')]);
    const target = { ...asked.target, registry: full.host };
    await expect(builderOf().build({ ...asked, target })).rejects.toMatchObject({
      code: 'PUSH_FAILED',
      message: expect.stringContaining('would exceed the quota'),
    });
    expect(imagesOf(full.host)).toEqual([]);
  });

  test('row 39: says that the disk of the engine is full, with the line, and leaves nothing', async () => {
    const own = await startSmallEngine();
    onTestFinished(own.close);
    const builder = builderOf({ dockerHost: own.dockerHost });
    // Nothing that could be compressed or shared.
    const big = { ...file('big'), content: randomBytes(96 * 1024 * 1024) };
    await expect(
      builder.build(request('FROM scratch\nCOPY small /\nCOPY big /', [big, file('small')])),
    ).rejects.toThrow(/no space left on device/);
    const image = await builder.build(request('FROM scratch\nCOPY small /', [file('small')]));
    expect([...(await filesOf(image)).keys()]).toEqual(['small']);
  }, 60_000);

  test.each([
    ['Dockerfile\n', ['.dockerignore', 'x']],
    ['nothing-here\n', ['.dockerignore', 'Dockerfile', 'x']],
    ['!x\n', ['.dockerignore', 'Dockerfile', 'x']],
    [undefined, ['Dockerfile', 'x']],
  ])('copies of a context with the rules %j what docker build copies', async (rules, expected) => {
    const all = [file('Dockerfile', 'FROM public'), file('x')];
    const context = await readContext(
      {
        async *readDirectory() {
          yield* rules === undefined ? all : [file('.dockerignore', rules), ...all];
        },
      },
      { repository: 'https://git.example/x', commit: 'a'.repeat(40), directory: '.', path: 'Dockerfile' },
    );
    const copied = request('FROM scratch\nCOPY . /', context);
    const image = await builderOf().build({ ...copied, dockerfilePath: 'Dockerfile' });
    const files = await filesOf(image);
    expect([...files.keys()].sort()).toEqual(expected);
    if (rules !== undefined && rules !== '!x\n')
      expect(files.get('.dockerignore')?.digest).toBe(digestOf(rules));
    if (files.has('Dockerfile')) expect(files.get('Dockerfile')?.digest).toBe(digestOf('FROM public'));
  });

  test('refuses what the registry shows when it is not what was built', async () => {
    const other = await builderOf().build(request('FROM scratch\nCOPY x /', [file('x', 'other')]));
    const liar: Fetcher = {
      resolve: client.resolve.bind(client),
      openBlob: client.openBlob.bind(client),
      fetchManifest: (_reference, options) => client.fetchManifest(other.reference, options),
    };
    await expect(
      builderOf({ registry: liar }).build(request('FROM scratch\nCOPY x /', [file('x')])),
    ).rejects.toThrow(code('PUSH_FAILED'));
  });

  test('adds layers of a rootfs, and proxies without a trace in the image', async () => {
    const rootfs = await makeTar([{ path: 'etc/os-release', content: 'ID=test\n' }]);
    const context = [{ path: 'rootfs.tar', type: 'file' as const, content: rootfs }];
    const image = await builderOf().build(request('FROM scratch\nADD rootfs.tar /', context));
    expect((await filesOf(image)).has('etc/os-release')).toBe(true);
    const proxy = { http: 'http://proxy.example:3128' };
    const proxied = await builderOf({ proxy }).build(
      request(`FROM ${BASE}\nRUN test "$http_proxy" = ${proxy.http}`),
    );
    const { execution } = await resolveImage(proxied.reference, { source: client });
    expect(JSON.stringify(execution)).not.toContain('proxy.example');
  });
});

describe('dockerEngineBuilder() without an engine', () => {
  test.each([['unix:///nowhere/docker.sock'], ['tcp://127.0.0.1:1']])(
    'says that %s cannot be reached',
    async (address) => {
      const builder = dockerEngineBuilder({ dockerHost: address, registry: new RegistryClient() });
      const error = await builder.probe().catch((reason: unknown) => reason);
      expect(ImagevetError.is(error) && error.code).toBe('ENGINE_UNREACHABLE');
    },
  );

  test.each(['ssh://host', 'unix://host/socket', 'tcp://u:p@host', 'docker.sock'])(
    'refuses an address it does not understand: %s',
    async (address) => {
      const builder = dockerEngineBuilder({ dockerHost: address, registry: new RegistryClient() });
      await expect(builder.probe()).rejects.toThrow(code('INVALID_OPTIONS'));
    },
  );
});

/** Whether a process with this word in its command line runs on this machine, where the engine is. */
function isRunning(word: string): boolean {
  const pids = execFileSync('ls', ['/proc'], { encoding: 'utf8' })
    .split('\n')
    .filter((name) => /^\d+$/.test(name));
  return pids.some((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(word);
    } catch {
      return false;
    }
  });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 100));
}
