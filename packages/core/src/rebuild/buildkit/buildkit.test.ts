import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createPlainServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import { promisify } from 'node:util';
import { formatReference, RegistryClient, resolveImage, scanImage, staticKeychain } from '@imagevet/registry';
import { startRegistry, type TestRegistry } from '@imagevet/registry/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { available, buildkitHost, dockerHost, freePort } from '../../../../../test/services.ts';
import { CoreError } from '../../errors.ts';
import { family } from '../__fixtures__/family.ts';
import { builtBy } from '../__fixtures__/provenance.ts';
import { dockerEngineBuilder } from '../engine/docker-engine-builder.ts';
import { planRebuild } from '../plan/plan-rebuild.ts';
import { rebuild } from '../rebuild.ts';
import type { BuildRequest, BuiltImage } from '../types.ts';
import { buildkitBuilder } from './buildkit-builder.ts';
import { openBuildkit } from './connect.ts';
import { frame, unframe } from './frames.ts';
import type { BuildkitBuilderOptions } from './options.ts';
import { encodeMessage, fieldsOf, mapField, mapOf } from './protobuf.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const DEBIAN = 'docker.io/library/debian:bookworm';
const code = (expected: string) => expect.objectContaining({ code: expected });

describe.skipIf(!available('buildkit', 'docker-engine', 'docker', 'openssl'))('buildkitBuilder()', () => {
  const address = buildkitHost ?? '';
  const client = new RegistryClient({ attempts: 1 });
  let registry: TestRegistry;
  let pin: string;
  let base: BuiltImage;
  const builderOf = (extra: Partial<BuildkitBuilderOptions> = {}) =>
    buildkitBuilder({ address, engine: true, registry: client, network: 'host', ...extra });
  const request = (dockerfile: string, context: Readonly<Record<string, string>> = {}): BuildRequest => ({
    dockerfile: 'FROM never',
    unedited: { dockerfile, pins: { [DEBIAN]: pin } },
    context: Object.entries(context).map(([path, text]) => ({
      path,
      type: 'file',
      content: Buffer.from(text),
    })),
    platform,
    target: {
      registry: registry.host,
      repository: 'vetted/app',
      tag: `t${Math.random().toString(36).slice(2)}`,
    },
  });
  const pathsOf = async (image: BuiltImage) => {
    const { layers } = await scanImage(await resolveImage(image.reference, { source: client, platform }), {
      source: client,
    });
    return layers.flatMap(({ entries }) => entries.map(({ path }) => path.replace(/^\/|\/$/g, '')));
  };

  beforeAll(async () => {
    registry = await startRegistry();
    const docker = dockerEngineBuilder({ dockerHost, registry: client, network: 'host' });
    base = await docker.build({
      ...{ dockerfile: 'FROM local/debian:bookworm-slim', context: [], platform },
      target: { registry: registry.host, repository: 'public/debian', tag: '1' },
    });
    await docker.release?.();
    pin = formatReference({ ...base.reference, tag: undefined });
  }, 120_000);
  afterAll(async () => {
    await client.close();
    await registry.close();
  });

  test('tells what it is', async () => {
    expect(await builderOf().probe()).toMatchObject({
      name: 'BuildKit',
      platform,
      version: expect.any(String),
    });
  });

  test('builds an unedited Dockerfile on the pinned image, with its log, twice to the same digest', async () => {
    const builder = builderOf({ sourceDateEpoch: 1_700_000_000 });
    const log: string[] = [];
    const build = (tag: string) => {
      const asked = request(
        'FROM debian:bookworm\nCOPY x /x\nRUN echo told-by-run && date > /dev/null && echo hi > /hi',
        {
          x: 'x',
        },
      );
      return builder.build(
        { ...asked, target: { ...asked.target, tag } },
        { onProgress: (event) => log.push(event.text) },
      );
    };
    const first = await build('one');
    await delay(1100);
    const second = await build('two');
    expect(second.reference.digest).toBe(first.reference.digest);
    expect(first.diffIds.slice(0, base.diffIds.length)).toEqual(base.diffIds);
    expect(first.diffIds).toHaveLength(base.diffIds.length + 2);
    expect(await pathsOf(first)).toEqual(expect.arrayContaining(['x', 'hi', 'etc/os-release']));
    expect(log).toContainEqual('told-by-run');
    expect(log).toContainEqual(expect.stringContaining('RUN echo told-by-run'));
  }, 90_000);

  test('takes the password of a proxy out of the log, and leaves none in the image', async () => {
    const log: string[] = [];
    const proxy = { http: 'http://me:se%2Fcret@127.0.0.1:9/' };
    const building = builderOf({ proxy }).build(request('FROM debian:bookworm\nRUN env'), {
      onProgress: (event) => log.push(event.text),
    });
    const { history, execution } = await resolveImage((await building).reference, { source: client });
    expect(log.join('\n')).toContain('http_proxy=http://me:***@127.0.0.1:9/');
    expect(`${log.join('\n')}${JSON.stringify([history, execution])}`).not.toContain('cret@');
  });

  test('row 39: refuses a Dockerfile that would write the password of a proxy into the image', async () => {
    const proxied = builderOf({ proxy: { http: 'http://me:secret@127.0.0.1:9/' } });
    await expect(
      proxied.build(request('FROM debian:bookworm\nARG http_proxy\nRUN true')),
    ).rejects.toMatchObject({ code: 'BUILD_UNSUPPORTED', details: { line: 2 } });
  });

  test('row 39: does not take an image into which a RUN wrote the password of a proxy', async () => {
    const proxied = builderOf({ proxy: { https: 'http://me:pa55-w0rd@127.0.0.1:9/' } });
    const asked = request('FROM debian:bookworm\nRUN mkdir /x && echo "$https_proxy" > /x/apt.conf');
    await expect(proxied.build(asked)).rejects.toMatchObject({
      code: 'SECRET_IN_IMAGE',
      details: { path: '/x/apt.conf', layer: 1 },
    });
    await expect(client.resolve(asked.target)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('builds the stage it is asked for, with the build arguments it is given', async () => {
    const text =
      'FROM debian:bookworm AS one\nARG SAY=default\nRUN echo $SAY > /said-$SAY\nFROM debian:bookworm\nRUN exit 7';
    const parameters = { buildArgs: { SAY: 'hello' }, target: 'one' };
    expect(await pathsOf(await builderOf().build({ ...request(text), parameters }))).toContain('said-hello');
  });

  test('rebuilds a family of four levels from git, each on the one before', async () => {
    const { lineage, host, close } = await family();
    onTestFinished(close);
    const plan = planRebuild([await lineage()], {
      target: { registry: registry.host, repositoryPrefix: 'buildkit' },
    });
    const result = await rebuild(plan, { builder: builderOf(), host });
    expect(
      result.outcomes.map((outcome) => (outcome.status === 'failed' ? outcome.message : outcome.status)),
    ).toEqual(Array(5).fill('built'));
    const [lib, app] = await Promise.all(
      ['lib', 'app'].map((name) => builtBy(result.outcomes, name, client)),
    );
    expect(app?.annotations).toMatchObject({
      'org.opencontainers.image.revision': expect.stringMatching(/^[0-9a-f]{40}$/),
      'org.opencontainers.image.base.digest': lib?.manifest.digest,
    });
    const again = await rebuild(plan, { builder: builderOf(), host });
    expect(again.outcomes.map((outcome) => outcome.status === 'built' && outcome.reused)).toEqual(
      Array(5).fill(true),
    );
  }, 90_000);

  test.each([
    ['Dockerfile\n', ['.dockerignore', 'x']],
    ['other\n', ['.dockerignore', 'Dockerfile', 'x']],
  ])('copies of a context with the rules %j what docker build copies', async (rules, expected) => {
    const dockerfile = 'FROM debian:bookworm\nCOPY . /app/';
    const all = { '.dockerignore': rules, Dockerfile: dockerfile, x: 'x' };
    const files = rules.startsWith('Dockerfile') ? { '.dockerignore': rules, x: 'x' } : all;
    const image = await builderOf().build(request(dockerfile, files));
    const copied = (await pathsOf(image)).filter((path) => path.startsWith('app/'));
    expect(copied.sort()).toEqual(expected.map((path) => `app/${path}`));
  });

  test('builds what has no context at all', async () => {
    expect(
      await pathsOf(await builderOf().build(request('FROM debian:bookworm\nRUN echo x > /x'))),
    ).toContain('x');
  });

  test('two runs of one plan at once go on with the same images, and leave none in the daemon', async () => {
    const { lineage, host, close } = await family();
    onTestFinished(close);
    const target = {
      registry: registry.host,
      repositoryPrefix: `twice${Math.random().toString(36).slice(2)}`,
    };
    const plan = planRebuild([await lineage()], { target });
    const runs = await Promise.all([1, 2].map(() => rebuild(plan, { builder: builderOf(), host })));
    const digests = runs.map(({ outcomes }) =>
      outcomes.map((outcome) => (outcome.status === 'built' ? outcome.image.descriptor.digest : outcome)),
    );
    expect(digests[0]).toEqual(digests[1]);
    const listed = await promisify(execFile)('docker', [
      '-H',
      address,
      'images',
      '--format',
      '{{.Repository}}',
    ]);
    expect(listed.stdout).not.toContain(target.repositoryPrefix);
  }, 90_000);

  test('does not take an image of another date for its own', async () => {
    const { lineage, host, close } = await family();
    onTestFinished(close);
    const target = {
      registry: registry.host,
      repositoryPrefix: `dated${Math.random().toString(36).slice(2)}`,
    };
    const plan = planRebuild([await lineage()], { target });
    const run = async (sourceDateEpoch: number | undefined) => {
      const builder = builderOf(sourceDateEpoch === undefined ? {} : { sourceDateEpoch });
      const { outcomes } = await rebuild(plan, { builder, host });
      return outcomes.map((outcome) => outcome.status === 'built' && outcome.reused === true);
    };
    expect(await run(undefined)).toEqual(Array(5).fill(false));
    expect(await run(1)).toEqual(Array(5).fill(false));
    expect(await run(1)).toEqual(Array(5).fill(true));
  }, 90_000);

  test('says which line failed, and with what', async () => {
    await expect(
      builderOf().build(request('FROM debian:bookworm\n\nRUN echo no; exit 7')),
    ).rejects.toMatchObject({
      code: 'BUILD_FAILED',
      details: { line: 3, exitCode: 7 },
    });
  });

  test.each([
    ['a file the context does not have', 'FROM debian:bookworm\n\nCOPY nope /y', 3],
    [
      'a file another stage does not have',
      'FROM scratch AS a\nCOPY x /\nFROM scratch\nCOPY --from=a /y /',
      4,
    ],
    ['a file from elsewhere', 'FROM debian:bookworm\nARG A=1\n\nADD https://files.example/x /x', 4],
    ['an image the plan does not pin', 'FROM debian:bookworm\nRUN true\nCOPY --from=busybox:1 /bin/sh /x', 3],
    [
      'in a Dockerfile of a megabyte',
      `FROM debian:bookworm\n${`# ${'x'.repeat(997)}\n`.repeat(1000)}COPY nope /`,
      1002,
    ],
  ])('names the line: %s', async (_name, dockerfile, line) => {
    const building = builderOf().build(request(dockerfile, { x: 'x' }));
    await expect(building).rejects.toMatchObject({ code: 'BUILD_FAILED', details: { line } });
  });

  test.each([
    ['an image the plan does not pin', 'FROM debian:bookworm\nCOPY --from=busybox:1 /bin/sh /x'],
    ['a base the plan does not pin', 'FROM debian:trixie'],
    ['a file from elsewhere', 'FROM debian:bookworm\nADD https://files.example/x /x'],
    ['a repository from elsewhere', 'FROM debian:bookworm\nADD https://git.example/x.git /x'],
  ])('lets a build fetch nothing else: %s', async (_name, dockerfile) => {
    const failure = await builderOf()
      .build(request(dockerfile))
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'BUILD_FAILED', hint: expect.stringContaining('allowedSources') });
  });

  test('refuses what is no Dockerfile, again and again, and the process lives', async () => {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await expect(builderOf().build(request('FROM debian:bookworm\nENV words'))).rejects.toMatchObject({
        code: 'INVALID_DOCKERFILE',
      });
    }
  });

  test('reads heredocs with its own frontend, whatever the syntax line says', async () => {
    const image = await builderOf().build(
      request('# syntax=docker/dockerfile:1\nFROM debian:bookworm\nRUN <<EOF\necho a > /from-heredoc\nEOF'),
    );
    expect(await pathsOf(image)).toContain('from-heredoc');
  });

  test('gives each registry its own credentials, and keeps them from others', async () => {
    await using guarded = await startRegistry({ basic: { username: 'u', password: 'p?~+/' } });
    const keychain = staticKeychain({ [guarded.host]: { kind: 'basic', username: 'u', password: 'p?~+/' } });
    const reader = new RegistryClient({ keychain });
    onTestFinished(() => reader.close());
    const builder = builderOf({ registry: reader, keychain });
    const target = { registry: guarded.host, repository: 'private/parent', tag: '1' };
    const parent = await builder.build({ ...request('FROM debian:bookworm\nRUN echo p > /parent'), target });
    const child = await builder.build({
      ...request('FROM parent:1\nRUN test -e /parent'),
      unedited: {
        dockerfile: 'FROM parent:1\nRUN test -e /parent',
        pins: { 'docker.io/library/parent:1': formatReference({ ...parent.reference, tag: undefined }) },
      },
      target: { ...target, repository: 'private/child' },
    });
    expect(child.diffIds.slice(0, parent.diffIds.length)).toEqual(parent.diffIds);
    await expect(
      builderOf({ registry: reader }).build({ ...request('FROM debian:bookworm\nRUN true'), target }),
    ).rejects.toThrow(code('PUSH_FAILED'));
  }, 60_000);

  test('an abort stops the RUN, and rejects with its reason', async () => {
    const mark = `${Math.floor(Math.random() * 1e9) + 1e9}`;
    const controller = new AbortController();
    const reason = new CoreError('SOURCE_DENIED', 'enough');
    const building = builderOf().build(request(`FROM debian:bookworm\nRUN sleep ${mark}`), {
      signal: controller.signal,
    });
    building.catch(() => {});
    while (!isRunning(mark)) await delay(50);
    controller.abort(reason);
    await expect(building).rejects.toBe(reason);
    while (isRunning(mark)) await delay(50);
  });

  test('row 39: ends a build that takes too long, or says too much', async () => {
    await expect(
      builderOf({ timeoutMs: 2500 }).build(request('FROM debian:bookworm\nRUN sleep 600')),
    ).rejects.toThrow(code('BUILD_LIMIT_EXCEEDED'));
    await expect(
      builderOf({ maxLogBytes: 2000 }).build(request('FROM debian:bookworm\nRUN seq 100000; sleep 600')),
    ).rejects.toThrow(code('BUILD_LIMIT_EXCEEDED'));
  }, 60_000);

  test('row 39: puts each RUN into the control group it is given', async () => {
    const log: string[] = [];
    await builderOf({ cgroupParent: '/imagevet-test' }).build(
      request('FROM debian:bookworm\nRUN cat /proc/self/cgroup'),
      { onProgress: (event) => log.push(event.text) },
    );
    expect(log.some((line) => line.includes('/imagevet-test/'))).toBe(true);
  }, 60_000);

  test('refuses a base of another platform', async () => {
    await expect(
      builderOf().build({
        ...request('FROM debian:bookworm\nRUN true'),
        platform: { os: 'linux', architecture: 'arm64' },
      }),
    ).rejects.toThrow(code('BUILD_UNSUPPORTED'));
  });

  test('refuses an engine that does not heed policies, before it builds anything', async () => {
    await expect(
      builderOf({ address: dockerHost ?? '' }).build(request('FROM debian:bookworm\nRUN true')),
    ).rejects.toThrow(code('BUILD_UNSUPPORTED'));
  });

  describe('over TCP, as a daemon on its own', () => {
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-buildkit-'));
    const pem = (name: string) => readFileSync(join(directory, name), 'utf8');
    const sockets = new Set<Duplex>();
    beforeAll(() => writeCertificates(directory));
    afterAll(() => rmSync(directory, { recursive: true, force: true }));

    /** Hands each connection on to the BuildKit inside the engine: what is left is the daemon's own protocol. */
    const handOn = async (connection: Socket) => {
      connection.on('error', () => {});
      const inside = await openBuildkit({ address, engine: true });
      inside.on('error', () => {});
      sockets.add(connection);
      connection.pipe(inside).pipe(connection);
      connection.once('close', () => inside.destroy());
      inside.once('close', () => connection.destroy());
    };
    const listen = async (secure: boolean) => {
      const tls = { key: pem('server.key'), cert: pem('server.crt'), ca: pem('ca.crt') };
      const server = secure
        ? createTlsServer(
            { ...tls, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'] },
            handOn,
          )
        : createPlainServer(handOn);
      const port = await freePort();
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
      onTestFinished(() => {
        server.close();
        for (const socket of sockets) socket.destroy();
      });
      return `tcp://127.0.0.1:${port}`;
    };

    test('builds with a client certificate, and is refused without', async () => {
      const remote = await listen(true);
      const tls = { ca: pem('ca.crt'), cert: pem('client.crt'), key: pem('client.key') };
      const image = await builderOf({ address: remote, engine: false, tls }).build(
        request('FROM debian:bookworm\nRUN echo remote > /remote'),
      );
      expect(await pathsOf(image)).toContain('remote');
      for (const wrong of [{ ca: pem('ca.crt') }, { cert: pem('client.crt'), key: pem('client.key') }]) {
        await expect(builderOf({ address: remote, engine: false, tls: wrong }).probe()).rejects.toThrow(
          code('ENGINE_UNREACHABLE'),
        );
      }
    }, 60_000);

    test('says that the daemon went away during a build', async () => {
      const remote = await listen(false);
      const mark = `${Math.floor(Math.random() * 1e9) + 1e9}`;
      const building = builderOf({ address: remote, engine: false }).build(
        request(`FROM debian:bookworm\nRUN sleep ${mark}`),
      );
      building.catch(() => {});
      while (!isRunning(mark)) await delay(50);
      for (const socket of sockets) socket.destroy();
      await expect(building).rejects.toThrow(code('ENGINE_LOST'));
      while (isRunning(mark)) await delay(50);
    }, 60_000);
  });
});

describe('buildkitBuilder() without a daemon', () => {
  const registry = new RegistryClient();
  test('says that nothing answers', async () => {
    for (const address of ['unix:///nowhere/buildkitd.sock', `tcp://127.0.0.1:${await freePort()}`]) {
      for (const engine of [true, false])
        await expect(buildkitBuilder({ address, engine, registry }).probe()).rejects.toThrow(
          code('ENGINE_UNREACHABLE'),
        );
    }
  });

  test.each(['ssh://host', 'unix://host/socket', 'tcp://u:p@host:1', 'tcp://host', 'buildkitd.sock'])(
    'refuses an address it does not understand: %s',
    async (address) => {
      await expect(buildkitBuilder({ address, registry }).probe()).rejects.toThrow(code('INVALID_OPTIONS'));
    },
  );

  test('says that what answers is no daemon', async () => {
    const server = createPlainServer((socket) => {
      socket.on('error', () => {});
      socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
    });
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.close();
    });
    for (const engine of [true, false]) {
      await expect(
        buildkitBuilder({ address: `tcp://127.0.0.1:${port}`, engine, registry }).probe(),
      ).rejects.toThrow(code('ENGINE_UNREACHABLE'));
    }
  });

  test('an abort ends the wait for a daemon that says nothing', async () => {
    const server = createPlainServer(() => {});
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.close();
    });
    const reason = new CoreError('SOURCE_DENIED', 'enough');
    for (const engine of [true, false]) {
      const controller = new AbortController();
      const probing = buildkitBuilder({ address: `tcp://127.0.0.1:${port}`, engine, registry }).probe({
        signal: controller.signal,
      });
      setTimeout(() => controller.abort(reason), 100);
      await expect(probing).rejects.toBe(reason);
    }
  });
});

describe('the wire', () => {
  test('messages come through however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 20 })),
        async (messages, cuts) => {
          const bytes = Buffer.concat(messages.map((message) => frame(message)));
          async function* pieces() {
            for (let at = 0; at < bytes.length; ) {
              const size = cuts.next().value ?? 1;
              yield bytes.subarray(at, at + size);
              at += size;
            }
          }
          const read: Buffer[] = [];
          for await (const message of unframe(pieces())) read.push(message);
          expect(read.map((message) => [...message])).toEqual(messages.map((message) => [...message]));
        },
      ),
    );
  });

  test('a message that is too large or compressed is refused before it is held', async () => {
    for (const head of [Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), Buffer.from([1, 0, 0, 0, 1, 0])]) {
      const reading = (async () => {
        for await (const _message of unframe([head] as unknown as AsyncIterable<Uint8Array>)) break;
      })();
      await expect(reading).rejects.toThrow(code('ENGINE_REFUSED'));
    }
  });

  test('maps and fields are read as they were written', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string()), fc.uint8Array(), (map, bytes) => {
        const message = encodeMessage([[1, bytes], ...mapField(7, map), [300, 'end']]);
        expect(Object.fromEntries(mapOf(message, 7))).toEqual({ ...map });
        expect([...(new Map(fieldsOf(message)).get(1) ?? [])]).toEqual([...bytes]);
        expect(new Map(fieldsOf(message)).get(300)?.toString()).toBe('end');
      }),
    );
  });

  test('any bytes are read to an end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect([...fieldsOf(Buffer.from(bytes))].length).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });
});

/** Whether a process with this word in its command line runs on this machine, where the engine is. */
function isRunning(word: string): boolean {
  return execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    .split('\n')
    .some((line) => line.startsWith('sleep') && line.includes(word));
}

function writeCertificates(directory: string): void {
  const openssl = (...args: readonly string[]) =>
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...newKey, '-days', '30', '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=ca');
  for (const name of ['server', 'client']) {
    const extension = name === 'server' ? ['-addext', 'subjectAltName=IP:127.0.0.1'] : [];
    openssl(
      'req',
      ...newKey,
      ...extension,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      `/CN=${name}`,
    );
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-days', '30', '-copy_extensions', 'copy', '-out', `${name}.crt`],
    );
  }
}
