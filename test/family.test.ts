// The whole chain on real services: a family of three images is vetted, rebuilt on a Docker Engine, pushed to
// docker-registry and signed at a notary-server; the stock docker CLI and notary client judge the result.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dockerEngineBuilder, publicServices, type VetReport, vet } from '@imagevet/core';
import { parseReference } from '@imagevet/registry';
import { createKeyStore, resolveTrusted } from '@imagevet/trust';
import { type NotaryProxy, startNotaryProxy } from '@imagevet/trust/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startWorld, type World } from '../examples/demo/src/index.ts';
import {
  available,
  createDockerConfig,
  dockerHost,
  type NotaryService,
  type RunningService,
  startDockerRegistry,
  startNotaryServer,
} from './services.ts';

const needed = ['docker-engine', 'docker', 'docker-registry', 'notary-server', 'notary', 'openssl', 'git'];

describe.skipIf(!available(...needed))('a family vetted on real services', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-family-'));
  let registry: RunningService;
  let notary: NotaryService;
  let proxy: NotaryProxy;
  let world: World;
  let report: VetReport;
  let dockerConfig: string;

  beforeAll(async () => {
    registry = await startDockerRegistry();
    notary = await startNotaryServer();
    // Everybody reaches the notary through somebody in between, who is honest until told otherwise.
    proxy = await startNotaryProxy({ server: { url: notary.url, ca: notary.ca }, tls: true });
    world = await startWorld({ internalRegistry: registry.host, notary: proxy.server });
    dockerConfig = createDockerConfig(directory, { ...notary, host: proxy.host, ca: proxy.ca ?? '' });
    report = await vet(world.image, {
      ...publicServices(world.serviceOptions),
      platform: world.platform,
      target: world.target,
      builder: dockerEngineBuilder({ dockerHost, registry: world.target.client }),
      trust: { server: proxy.server, keys: createKeyStore() },
    });
  }, 180_000);

  afterAll(async () => {
    for (const { collection, tags } of report?.endorsements ?? []) {
      await run('docker', ['image', 'rm', '-f', ...tags.map((tag) => `${collection}:${tag}`)], {});
    }
    await world?.close();
    await proxy?.close();
    await notary?.close();
    await registry?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const pull = (reference: string) =>
    run('docker', ['pull', reference], {
      DOCKER_HOST: dockerHost,
      DOCKER_CONFIG: dockerConfig,
      DOCKER_CONTENT_TRUST: '1',
      DOCKER_CONTENT_TRUST_SERVER: proxy.url,
    });
  const list = (collection: string) =>
    run(
      'notary',
      ['-s', notary.url, '--tlscacert', notary.caFile, '-d', join(directory, 'notary'), 'list', collection],
      {},
    );

  test('is allowed, every image rebuilt, compared and signed', () => {
    expect(report.verdict.reasons.filter(({ outcome }) => outcome !== 'pass')).toEqual([]);
    expect(report.verdict).toMatchObject({ decision: 'allow', complete: true });
    expect(report.rebuild?.outcomes.map(({ status }) => status)).toEqual(['built', 'built', 'built']);
    expect(Object.values(report.comparisons).map(({ grade }) => grade)).toEqual(
      Array(3).fill('same-content'),
    );
    expect(report.endorsements.map(({ verified }) => verified)).toEqual([true, true, true]);
    expect(report.verdict.pinned).toBe(
      `${report.endorsements.at(-1)?.collection}@${report.endorsements.at(-1)?.digest}`,
    );
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  test('docker pull with content trust takes every signed tag, at the digest we vetted', async () => {
    for (const { collection, tags, digest } of report.endorsements) {
      for (const tag of tags) {
        const pulled = await pull(`${collection}:${tag}`);
        expect(pulled).toMatchObject({ ok: true });
        expect(pulled.output).toContain(digest);
      }
    }
  });

  test('notary list shows every tag with the digest we vetted', async () => {
    for (const { collection, tags, digest } of report.endorsements) {
      const { ok, output } = await list(collection);
      expect(ok).toBe(true);
      for (const tag of tags) expect(output).toMatch(new RegExp(`^${tag}\\s+${digest.slice(7)}\\s`, 'm'));
    }
  });

  test('after one byte of the signature changes, docker and we refuse', async () => {
    const [endorsement] = report.endorsements;
    const reference = `${endorsement?.collection}:${endorsement?.tags[0]}`;
    const resolve = () =>
      resolveTrusted(parseReference(reference), { server: proxy.server, root: { keyIds: rootKeyIds } });
    const { rootKeyIds } = await resolveTrusted(parseReference(reference), {
      server: proxy.server,
      root: { firstUse: true },
    });
    await expect(resolve()).resolves.toMatchObject({ digest: endorsement?.digest });
    proxy.intercept = ({ path }, reply) =>
      path.endsWith('/timestamp.json') ? { ...reply, body: changeSignature(reply.body) } : reply;
    try {
      await expect(resolve()).rejects.toMatchObject({
        code: expect.stringMatching(/SIGNATURE|THRESHOLD/) as string,
      });
      expect(await pull(reference)).toMatchObject({ ok: false });
      const listed = await run(
        'notary',
        [
          '-s',
          proxy.url,
          '--tlscacert',
          join(dockerConfig, 'tls', proxy.host, 'ca.crt'),
          '-d',
          join(directory, 'notary-2'),
          'list',
          endorsement?.collection ?? '',
        ],
        {},
      );
      expect(listed).toMatchObject({ ok: false });
    } finally {
      proxy.intercept = undefined;
    }
  });

  test('an image that was tampered with is denied, unsigned, and gets no name', async () => {
    const denied = await vet(world.tamperedImage, {
      ...publicServices(world.serviceOptions),
      platform: world.platform,
      target: world.target,
      builder: dockerEngineBuilder({ dockerHost, registry: world.target.client }),
      trust: { server: proxy.server, keys: createKeyStore() },
    });
    expect(denied.verdict.decision).toBe('deny');
    expect(denied.verdict.pinned).toBeUndefined();
    expect(JSON.stringify(denied.verdict.reasons)).toContain('/usr/local/bin/.maintenance');
    expect(denied.endorsements).toEqual([]);
    const name = parseReference(`${registry.host}/vetted/library/press:4.9-tampered`);
    await expect(world.target.client.resolve(name)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }, 120_000);
});

/** Changes one bit of the first signature and leaves the document well-formed. */
function changeSignature(body: Uint8Array): Uint8Array {
  const document = JSON.parse(Buffer.from(body).toString('utf8')) as { signatures: { sig: string }[] };
  for (const signature of document.signatures) {
    const bytes = Buffer.from(signature.sig, 'base64');
    bytes[5] = (bytes[5] ?? 0) ^ 1;
    signature.sig = bytes.toString('base64');
  }
  return Buffer.from(JSON.stringify(document));
}

function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly ok: boolean; readonly output: string }> {
  return new Promise((resolve) => {
    execFile(
      program,
      [...args],
      { env: { ...process.env, ...env }, timeout: 60_000 },
      (error, stdout, stderr) => {
        resolve({ ok: error === null, output: `${stdout}${stderr}` });
      },
    );
  });
}
