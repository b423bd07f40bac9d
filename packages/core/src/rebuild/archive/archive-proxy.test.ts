import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request as ask, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { RegistryClient, resolveImage, scanImage } from '@imagevet/registry';
import { startRegistry } from '@imagevet/registry/testing';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { available, buildkitHost, dockerHost, freePort } from '../../../../../test/services.ts';
import { buildkitBuilder } from '../buildkit/buildkit-builder.ts';
import { dockerEngineBuilder } from '../engine/docker-engine-builder.ts';
import type { Builder } from '../types.ts';
import { startArchiveProxy } from './archive-proxy.ts';
import { MaterialStore } from './material-store.ts';
import type { ArchiveProxy, ArchiveProxyOptions } from './types.ts';

const sha256 = (text: string | Uint8Array) => `sha256:${createHash('sha256').update(text).digest('hex')}`;

/** A web server over a table of files. */
async function archive(files: Readonly<Record<string, string | Uint8Array>>) {
  const asked: string[] = [];
  const server = createServer((question, answer) => {
    asked.push(question.url ?? '');
    const body = files[question.url ?? ''];
    if (question.url === '/debian/loop') answer.writeHead(302, { location: 'loop' }).end();
    else if (question.url?.startsWith('/debian/to?') === true) {
      answer.writeHead(301, { location: decodeURIComponent(question.url.slice(11)) }).end();
    } else if (question.url === '/debian/cut') {
      answer.writeHead(200, { 'content-length': '100' });
      answer.write('half');
      setTimeout(() => answer.destroy(), 50);
    } else if (body === undefined) answer.writeHead(404).end('no');
    else answer.writeHead(200, { 'content-length': body.length, etag: '"1"', 'set-cookie': 'x=y' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  onTestFinished(close);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, close };
}

async function proxyOf(options: ArchiveProxyOptions): Promise<ArchiveProxy> {
  const proxy = await startArchiveProxy(options);
  onTestFinished(() => proxy.close());
  return proxy;
}

/** Asks through a proxy, as a package manager does. */
function through(proxy: ArchiveProxy, url: string, method = 'GET') {
  const { hostname, port } = new URL(proxy.url);
  const asking = { hostname, port, method, path: url, headers: { host: 'x' } };
  return new Promise<{ status: number; body: string; headers: Readonly<Record<string, unknown>> }>(
    (resolve, reject) => {
      const question = ask(asking, (answer) => {
        let body = '';
        answer.on('data', (chunk) => {
          body += chunk;
        });
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body, headers: answer.headers }));
        answer.on('error', reject);
      });
      question.on('error', reject);
      question.end();
    },
  );
}

describe('startArchiveProxy()', () => {
  test('finds an archive where it moved to, and records what it gave by digest', async () => {
    const { url, asked } = await archive({ '/debian/dists/x': 'release', '/debian/deeper/y': 'y' });
    const told: string[] = [];
    const proxy = await proxyOf({
      moved: [{ from: 'http://gone.example/debian/', to: `${url}/debian/` }],
      onMaterial: ({ digest }) => told.push(digest),
    });
    const answer = await through(proxy, 'http://gone.example/debian/dists/x');
    expect(answer).toMatchObject({ status: 200, body: 'release', headers: { etag: '"1"' } });
    expect(answer.headers['set-cookie']).toBeUndefined();
    await through(proxy, 'http://gone.example/debian/none');
    expect(asked).toEqual(['/debian/dists/x', '/debian/none']);
    expect(proxy.materials).toEqual([
      {
        url: 'http://gone.example/debian/dists/x',
        movedTo: `${url}/debian/dists/x`,
        status: 200,
        digest: sha256('release'),
        size: 7,
      },
    ]);
    expect(told).toEqual([sha256('release')]);
  });

  test('row 39: refuses every host it was not told of, tunnels, and anything but reading', async () => {
    const { url, asked } = await archive({ '/debian/x': 'x' });
    const proxy = await proxyOf({ allow: [`${url}/debian/`] });
    expect(await through(proxy, `${url}/debian/x`)).toMatchObject({ status: 200, body: 'x' });
    expect(await through(proxy, `${url}/other/x`)).toMatchObject({ status: 403 });
    for (const path of ['../other/x', '..%2fother/x', '%2E%2e/other/x', '..%5cother/x']) {
      expect(await through(proxy, `${url}/debian/${path}`)).toMatchObject({ status: 403 });
    }
    expect(await through(proxy, 'http://169.254.169.254/latest/meta-data/')).toMatchObject({ status: 403 });
    expect(await through(proxy, `${url}/debian/x`, 'POST')).toMatchObject({ status: 405 });
    expect(await through(proxy, '/debian/x')).toMatchObject({ status: 400 });
    const { hostname, port } = new URL(proxy.url);
    const tunnel = await new Promise<number | undefined>((resolve, reject) => {
      const question = ask({ hostname, port, method: 'CONNECT', path: 'evil.example:443' });
      question.on('connect', ({ statusCode }) => resolve(statusCode));
      question.on('error', reject);
      question.end();
    });
    expect(tunnel).toBe(403);
    expect(asked).toEqual(['/debian/x']);
    expect(proxy.refused.map((refusal) => refusal.url)).toContain('https://evil.example:443');
    expect(proxy.materials).toHaveLength(1);
  });

  test('follows an archive that sends elsewhere, as far as that is allowed, and says where it was to go', async () => {
    const { url } = await archive({ '/debian/x': 'x', '/secret': 'secret' });
    const proxy = await proxyOf({ allow: [`${url}/debian/`] });
    const to = (target: string) => through(proxy, `${url}/debian/to?${encodeURIComponent(target)}`);
    expect(await to('x')).toMatchObject({ status: 200, body: 'x' });
    for (const target of ['/secret', 'http://169.254.169.254/x', 'loop']) {
      expect(await to(target)).toMatchObject({ status: 502, body: expect.not.stringContaining('secret\n') });
    }
    expect(proxy.materials.map(({ digest }) => digest)).toEqual([sha256('x')]);
    expect(proxy.refused.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('/secret, which is not allowed'),
      expect.stringContaining('http://169.254.169.254/x, which is not allowed'),
      expect.stringContaining('again and again'),
    ]);
  });

  test('stops at the number of answers it may record', async () => {
    const { url } = await archive({ '/debian/x': 'x', '/debian/y': 'y' });
    const proxy = await proxyOf({ allow: [`${url}/debian/`], maxMaterials: 1 });
    expect(await through(proxy, `${url}/debian/x`)).toMatchObject({ status: 200 });
    expect(await through(proxy, `${url}/debian/y`)).toMatchObject({ status: 503 });
    expect(proxy.materials).toHaveLength(1);
  });

  test('does not record an answer that broke off, is too large, or never came', async () => {
    const { url } = await archive({ '/debian/big': 'x'.repeat(1000) });
    const proxy = await proxyOf({
      allow: [`${url}/debian/`, `http://127.0.0.1:${await freePort()}/`],
      maxBytes: 100,
    });
    await expect(through(proxy, `${url}/debian/cut`)).rejects.toThrow();
    await expect(through(proxy, `${url}/debian/big`)).rejects.toThrow();
    const silent = await freePort();
    const other = await proxyOf({ allow: [`http://127.0.0.1:${silent}/`] });
    expect(await through(other, `http://127.0.0.1:${silent}/x`)).toMatchObject({ status: 502 });
    expect([...proxy.materials, ...other.materials]).toEqual([]);
  });

  describe('with a folder', () => {
    function folder(): string {
      const directory = mkdtempSync(join(tmpdir(), 'imagevet-materials-'));
      onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
      return directory;
    }
    const from = 'http://gone.example/debian/';
    const fileOf = (directory: string, text: string) => join(directory, 'sha256', sha256(text).slice(7));

    test('keeps the bytes by digest, and answers from them when the archive is no more', async () => {
      const directory = folder();
      const files: Record<string, string> = { '/debian/x': 'old', '/debian/y': 'y' };
      const { url, asked } = await archive(files);
      const moved = [{ from, to: `${url}/debian/` }];
      const recording = await proxyOf({ moved, directory });
      await through(recording, `${from}x`);
      files['/debian/x'] = 'new';
      for (const name of ['x', 'y', 'none']) await through(recording, `${from}${name}`);
      await through(recording, `${from}y`, 'HEAD');
      await expect(through(recording, `${from}cut`)).rejects.toThrow();
      expect(readdirSync(directory).sort()).toEqual(['materials.jsonl', 'sha256']);
      expect(readFileSync(fileOf(directory, 'old'), 'utf8')).toBe('old');
      appendFileSync(join(directory, 'materials.jsonl'), '{"url":"http://gone.exam');
      const before = asked.length;
      const offline = await proxyOf({ moved, directory, offline: true });
      expect(await through(offline, `${from}x`)).toMatchObject({
        status: 200,
        body: 'new',
        headers: { etag: '"1"' },
      });
      expect(await through(offline, `${from}y`)).toMatchObject({ status: 200, body: 'y' });
      expect(await through(offline, `${from}y`, 'HEAD')).toMatchObject({
        status: 200,
        body: '',
        headers: { 'content-length': '1' },
      });
      for (const name of ['none', 'cut'])
        expect(await through(offline, `${from}${name}`)).toMatchObject({ status: 404 });
      expect(await through(offline, 'http://other.example/x')).toMatchObject({ status: 403 });
      expect(offline.materials).toEqual(recording.materials.slice(1));
      expect(offline.refused.map(({ url: refused }) => refused)).toEqual([
        `${from}none`,
        `${from}cut`,
        'http://other.example/x',
      ]);
      expect(asked).toHaveLength(before);
      // What is recorded after a crash is found, too.
      await through(await proxyOf({ moved, directory }), `${from}x`);
      expect(await through(await proxyOf({ moved, directory, offline: true }), `${from}x`)).toMatchObject({
        body: 'new',
      });
    });

    test('row 39: does not answer with other bytes than those it recorded', async () => {
      const directory = folder();
      const { url } = await archive({ '/debian/x': 'good' });
      const allow = [`${url}/debian/`];
      await through(await proxyOf({ allow, directory }), `${url}/debian/x`);
      writeFileSync(fileOf(directory, 'good'), 'evil');
      const offline = await proxyOf({ allow, directory, offline: true });
      expect(await through(offline, `${url}/debian/x`)).toMatchObject({ status: 502 });
      rmSync(fileOf(directory, 'good'));
      expect(await through(offline, `${url}/debian/x`)).toMatchObject({ status: 502 });
      expect(offline.materials).toEqual([]);
    });

    test('a build does not get what cannot be kept', async () => {
      const directory = folder();
      const { url } = await archive({ '/debian/x': 'x' });
      const proxy = await proxyOf({ allow: [`${url}/debian/`], directory });
      rmSync(directory, { recursive: true });
      expect(await through(proxy, `${url}/debian/x`)).toMatchObject({ status: 502 });
      expect(proxy.materials).toEqual([]);
      expect(proxy.refused).toHaveLength(1);
    });

    test('refuses a folder that is none, and to be offline without one', async () => {
      const file = join(folder(), 'file');
      writeFileSync(file, '');
      for (const options of [{ directory: file }, { offline: true }]) {
        await expect(startArchiveProxy(options)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
      }
    });

    test('passes over whatever lines of an index are none', async () => {
      const directory = folder();
      const digest = sha256('x');
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.oneof(fc.json(), fc.string())),
          fc.dictionary(fc.string(), fc.jsonValue()),
          async (lines, headers) => {
            const known = JSON.stringify({ url: 'http://a/', digest, size: 1, status: 200, headers });
            writeFileSync(join(directory, 'materials.jsonl'), [...lines, known].join('\n'));
            const store = await MaterialStore.open(directory);
            expect(store.find('http://a/')).toMatchObject({ digest, size: 1 });
            for (const value of Object.values(store.find('http://a/')?.headers ?? {}))
              expect(typeof value).toBe('string');
          },
        ),
      );
    });
  });

  test.each(['ftp://x/', 'http://x/debian', 'https://x/', 'http://u:p@x/', 'http://x/?a=b/', 'x'])(
    'refuses a beginning that is none: %s',
    async (from) => {
      await expect(startArchiveProxy({ allow: [from] })).rejects.toThrow(
        expect.objectContaining({ code: 'INVALID_OPTIONS' }),
      );
    },
  );

  describe.skipIf(!available('docker-engine', 'buildkit', 'dpkg-deb'))(
    'between a build and an archive that died',
    () => {
      const install = [
        'FROM local/debian:bookworm-slim',
        "RUN echo 'deb [trusted=yes] http://gone.example.invalid/debian ./' > /etc/apt/sources.list && rm -rf /etc/apt/sources.list.d/* && apt-get update && apt-get install -y imagevet-probe && test -f /usr/share/imagevet-probe",
      ].join('\n');

      /** An archive of one package. */
      async function packageArchive() {
        const directory = mkdtempSync(join(tmpdir(), 'imagevet-archive-'));
        onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
        mkdirSync(join(directory, 'package', 'DEBIAN'), { recursive: true });
        mkdirSync(join(directory, 'package', 'usr', 'share'), { recursive: true });
        writeFileSync(join(directory, 'package', 'usr', 'share', 'imagevet-probe'), 'probe');
        const control =
          'Package: imagevet-probe\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <n@imagevet.example>\nDescription: probe\n';
        writeFileSync(join(directory, 'package', 'DEBIAN', 'control'), control);
        await promisify(execFile)('dpkg-deb', ['--root-owner-group', '--build', 'package', 'probe.deb'], {
          cwd: directory,
        });
        const deb = readFileSync(join(directory, 'probe.deb'));
        const packages = `${control}Filename: ./probe.deb\nSize: ${deb.length}\nSHA256: ${sha256(deb).slice(7)}\n\n`;
        return {
          deb,
          ...(await archive({
            '/debian/./Packages': packages,
            '/debian/Packages': packages,
            '/debian/./probe.deb': deb,
            '/debian/probe.deb': deb,
          })),
        };
      }

      test.each(['the classic builder', 'BuildKit'])(
        '%s builds the Dockerfile as it is',
        async (kind) => {
          const { url, deb, close } = await packageArchive();
          const moved = [{ from: 'http://gone.example.invalid/debian/', to: `${url}/debian/` }];
          const directory = mkdtempSync(join(tmpdir(), 'imagevet-materials-'));
          onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
          const proxy = await proxyOf({ moved, directory });
          const registry = await startRegistry();
          const client = new RegistryClient();
          onTestFinished(async () => {
            await client.close();
            await registry.close();
          });
          const platform = { os: 'linux', architecture: 'amd64' };
          const target = { registry: registry.host, repository: 'apt', tag: '1' };
          const plain = dockerEngineBuilder({ dockerHost, registry: client, network: 'host' });
          const ground = await plain.build({
            dockerfile: 'FROM local/debian:bookworm-slim',
            context: [],
            platform,
            target: { ...target, repository: 'debian' },
          });
          const pin = `${registry.host}/debian@${ground.reference.digest}`;
          const builderWith = (http: string | undefined): Builder => {
            const options = {
              registry: client,
              network: 'host' as const,
              ...(http === undefined ? {} : { proxy: { http } }),
            };
            return kind === 'BuildKit'
              ? buildkitBuilder({ ...options, address: buildkitHost ?? '', engine: true })
              : dockerEngineBuilder({ ...options, dockerHost });
          };
          const request = {
            dockerfile: install,
            unedited: { dockerfile: install, pins: { 'docker.io/local/debian:bookworm-slim': pin } },
            context: [],
            platform,
            target,
          };
          const without = builderWith(undefined);
          await expect(without.build(request)).rejects.toMatchObject({ code: 'BUILD_FAILED' });
          const builder = builderWith(proxy.url);
          const image = await builder.build(request);
          // The same again, when nothing answers any more.
          close();
          const offline = await proxyOf({ moved, directory, offline: true });
          const later = builderWith(offline.url);
          const again = await later.build({ ...request, target: { ...target, tag: '2' } });
          expect(again.diffIds).toHaveLength(image.diffIds.length);
          expect(offline.materials.map(({ digest }) => digest)).toContain(sha256(deb));
          for (const one of [plain, without, builder, later]) await one.release?.();
          const resolved = await resolveImage(image.reference, { source: client, platform });
          const { layers } = await scanImage(resolved, { source: client });
          expect(layers.at(-1)?.entries.map(({ path }) => path.replace(/^\//, ''))).toContain(
            'usr/share/imagevet-probe',
          );
          expect(proxy.materials.find(({ digest }) => digest === sha256(deb))).toMatchObject({
            status: 200,
            size: deb.length,
          });
          // No trace of the proxy stays in the image.
          expect(JSON.stringify(resolved.execution)).not.toContain(proxy.url);
        },
        90_000,
      );
    },
  );
});
