// How the client treats a host: paces itself, hears what is left of an allowance, gives up on what trickles.
import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { available, startDockerRegistry } from '../../../../test/services.ts';
import { blobOf, readBlob } from '../content/read.ts';
import { digestOf } from '../digest.ts';
import { parseReference } from '../reference.ts';
import { pushTestImage } from '../testing/image.ts';
import { startRegistry } from '../testing/registry.ts';
import { RegistryClient } from './client.ts';
import type { RateLimitEvent } from './notices.ts';

const LAYERS = [[{ path: 'a', content: 'a' }]];

describe('RegistryClient', () => {
  test('waits for no more answers of one host at once than it may', async () => {
    let waiting = 0;
    let most = 0;
    await using registry = await startRegistry({
      intercept: async (_request, response) => {
        waiting += 1;
        most = Math.max(most, waiting);
        await new Promise((resolve) => setTimeout(resolve, 5));
        response.once('close', () => {
          waiting -= 1;
        });
        return false;
      },
    });
    await using client = new RegistryClient({ requestsAtOnce: 3 });
    const reference = parseReference(`${registry.host}/app:1`);
    await pushTestImage(client, reference, { layers: LAYERS });
    most = 0;
    await Promise.all(Array.from({ length: 12 }, () => client.fetchManifest(reference)));
    expect(most).toBeLessThanOrEqual(3);
    expect(most).toBeGreaterThan(1);
  });

  test('does not wait for itself when it copies within one host, one request at a time', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient({ requestsAtOnce: 1 });
    const bytes = Buffer.alloc(1_000_000, 'x');
    const descriptor = { mediaType: 'text/plain', digest: digestOf(bytes), size: bytes.byteLength };
    const from = parseReference(`${registry.host}/from`);
    const to = parseReference(`${registry.host}/to`);
    await client.pushBlob(from, blobOf(bytes, descriptor));
    const copied = await client.pushBlob(to, { descriptor, open: () => client.openBlob(from, descriptor) });
    expect(copied).toBe('uploaded');
  });

  test('tells what is left of an allowance once for each change', async () => {
    let remaining = 10;
    await using registry = await startRegistry({
      intercept: (_request, response) => {
        response.setHeader('ratelimit-limit', '100;w=21600');
        response.setHeader('ratelimit-remaining', `${remaining};w=21600`);
        return false;
      },
    });
    const events: RateLimitEvent[] = [];
    await using client = new RegistryClient({ onRateLimit: (event) => events.push(event) });
    const reference = parseReference(`${registry.host}/app:1`);
    await pushTestImage(client, reference, { layers: LAYERS });
    remaining = 9;
    await client.resolve(reference);
    await client.resolve(reference);
    const said = { registry: registry.host, endpoint: `${registry.url}/`, limit: 100, windowSeconds: 21600 };
    expect(events).toEqual([
      { ...said, remaining: 10 },
      { ...said, remaining: 9 },
    ]);
    expect((await client.ping(registry.host)).rateLimit).toMatchObject({ limit: 100, remaining: 9 });
  });

  test('gives up on a blob that trickles (S21)', async () => {
    const bytes = Buffer.alloc(10_000, 'x');
    const descriptor = { mediaType: 'text/plain', digest: digestOf(bytes), size: bytes.byteLength };
    const trickle = (response: ServerResponse) => {
      response.writeHead(200, { 'content-length': bytes.byteLength });
      const timer = setInterval(() => response.write('x'), 5);
      response.once('close', () => clearInterval(timer));
    };
    await using registry = await startRegistry({
      intercept: (_request, response) => {
        trickle(response);
        return true;
      },
    });
    await using client = new RegistryClient({
      minimumThroughput: { bytesPerSecond: 100_000, windowMs: 50 },
      baseDelayMs: 1,
    });
    const repository = parseReference(`${registry.host}/app`);
    await expect(readBlob(client, repository, descriptor, {})).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('expected 100000 a second'),
    });
    expect(registry.requests.length).toBeLessThan(6);
  });

  test('does not take a slow reader for a slow server', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient({ minimumThroughput: { bytesPerSecond: 1e6, windowMs: 20 } });
    const bytes = Buffer.alloc(300_000, 'x');
    const descriptor = { mediaType: 'text/plain', digest: digestOf(bytes), size: bytes.byteLength };
    const repository = parseReference(`${registry.host}/app`);
    await client.pushBlob(repository, blobOf(bytes, descriptor));
    let size = 0;
    for await (const chunk of client.openBlob(repository, descriptor)) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      size += chunk.byteLength;
    }
    expect(size).toBe(bytes.byteLength);
  });

  test('waits until the date a 429 names, and lets others of that host wait too', async () => {
    let refusals = 0;
    const early: number[] = [];
    let until = 0;
    await using registry = await startRegistry({
      intercept: (request, response) => {
        if (request.method !== 'HEAD') return false;
        if (refusals === 0) {
          refusals += 1;
          // A date has whole seconds.
          until = Math.floor(Date.now() / 1000) * 1000 + 2000;
          response.writeHead(429, { 'retry-after': new Date(until).toUTCString() }).end();
          return true;
        }
        if (Date.now() < until - 5) early.push(Date.now());
        return false;
      },
    });
    await using client = new RegistryClient({ baseDelayMs: 1 });
    const reference = parseReference(`${registry.host}/app:1`);
    await using pusher = new RegistryClient();
    refusals = 1;
    await pushTestImage(pusher, reference, { layers: LAYERS });
    refusals = 0;
    const first = client.resolve(reference);
    while (refusals === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await Promise.all([first, client.resolve(reference)]);
    expect(early).toEqual([]);
  });

  test('asks again in several lines where one long Accept gets schema 1', async () => {
    const accepted: number[] = [];
    await using registry = await startRegistry({
      intercept: (request, response) => {
        if (!request.url?.includes('/manifests/') || request.method === 'PUT') return false;
        const lines = request.headersDistinct.accept?.length ?? 0;
        accepted.push(lines);
        if (lines > 1) return false;
        const type = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
        response.writeHead(200, { 'content-type': type }).end('{}');
        return true;
      },
    });
    await using client = new RegistryClient();
    const reference = parseReference(`${registry.host}/app:1`);
    const image = await pushTestImage(client, reference, { layers: LAYERS });
    accepted.length = 0;
    expect(await client.resolve(reference)).toEqual(image.manifest);
    expect((await client.fetchManifest(reference)).descriptor).toEqual(image.manifest);
    expect(accepted.map((lines) => lines > 1)).toEqual([false, true, false, true]);
  });
});

describe('RegistryClient.ping()', () => {
  test.each([
    [{}, []],
    [{ basic: { username: 'a', password: 'b' } }, ['basic']],
    [{ bearer: {} }, ['bearer']],
  ] as const)('tells how %j lets callers in', async (options, authentication) => {
    await using registry = await startRegistry(options);
    await using client = new RegistryClient();
    expect(await client.ping(registry.host)).toMatchObject({
      registry: registry.host,
      endpoint: `${registry.url}/`,
      authentication,
    });
  });

  test.each([
    [{ 'x-jfrog-version': 'Artifactory/7' }, 'Artifactory'],
    [{ 'gitlab-container-registry-version': '4.0' }, 'GitLab'],
    [{ server: 'Nexus/3.70 (OSS)' }, 'Nexus'],
    [{ 'x-harbor-csrf-token': 'x' }, 'Harbor'],
    [{ server: 'nginx' }, undefined],
  ])('guesses from %j: %s', async (headers, product) => {
    await using registry = await startRegistry({
      intercept: (_request, response) => {
        response.writeHead(200, headers as Record<string, string>).end();
        return true;
      },
    });
    await using client = new RegistryClient();
    expect((await client.ping(registry.host)).product).toBe(product);
  });

  test('is a typed error where there is no registry', async () => {
    await using registry = await startRegistry({
      intercept: (_request, response) => {
        response.writeHead(404).end();
        return true;
      },
    });
    await using client = new RegistryClient();
    await expect(client.ping(registry.host)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test.skipIf(!available('docker-registry'))('knows the API of a real docker-registry', async () => {
    const registry = await startDockerRegistry();
    try {
      await using client = new RegistryClient();
      expect(await client.ping(registry.host)).toEqual({
        registry: registry.host,
        endpoint: `${registry.url}/`,
        api: 'registry/2.0',
        authentication: [],
      });
    } finally {
      await registry.close();
    }
  });
});
