// Uploads as registries disturb them: mounts refused, limits, failures in the middle, sessions that move or are given up.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { staticKeychain } from '../auth/keychain.ts';
import { blobOf, readBlob } from '../content/read.ts';
import { digestOf } from '../digest.ts';
import type { Descriptor } from '../oci/types.ts';
import { parseReference } from '../reference.ts';
import { startRegistry, type TestRegistryOptions } from '../testing/registry.ts';
import { RegistryClient, type RegistryClientOptions } from './client.ts';

const CONTENT = Buffer.from('layer bytes '.repeat(50_000));
const BLOB: Descriptor = {
  mediaType: 'application/octet-stream',
  digest: digestOf(CONTENT),
  size: CONTENT.byteLength,
};

async function stage(options: TestRegistryOptions = {}, client: RegistryClientOptions = {}) {
  const registry = await startRegistry(options);
  const subject = new RegistryClient({ baseDelayMs: 1, headersTimeoutMs: 2000, ...client });
  return {
    registry,
    client: subject,
    from: parseReference(`${registry.host}/from`),
    to: parseReference(`${registry.host}/to`),
    [Symbol.asyncDispose]: async () => {
      await subject.close();
      await registry.close();
    },
  };
}

/** Answers a kind of request by hand, some times. */
function disturb(
  wanted: (request: IncomingMessage) => boolean,
  answer: (response: ServerResponse, request: IncomingMessage) => void,
  times = Number.POSITIVE_INFINITY,
): NonNullable<TestRegistryOptions['intercept']> {
  let left = times;
  return (request, response) => {
    if (left <= 0 || !wanted(request)) return false;
    left -= 1;
    request.resume();
    answer(response, request);
    return true;
  };
}

const isMount = ({ method, url = '' }: IncomingMessage) => method === 'POST' && url.includes('mount=');

describe('pushBlob() with mountFrom', () => {
  test.each([400, 401, 403, 404, 405])(
    'sends the blob where the mount is refused with %i',
    async (status) => {
      await using it = await stage({
        intercept: disturb(isMount, (response) => response.writeHead(status).end()),
      });
      await it.client.pushBlob(it.from, blobOf(CONTENT, BLOB));
      expect(await it.client.pushBlob(it.to, blobOf(CONTENT, BLOB), { mountFrom: it.from })).toBe('uploaded');
      expect(await readBlob(it.client, it.to, BLOB)).toEqual(CONTENT);
    },
  );

  test('sends the blob where the token server gives no token to read the other repository', async () => {
    await using it = await stage(
      {
        bearer: { username: 'u', password: 'p' },
        intercept: disturb(
          ({ url = '' }) => url.startsWith('/token') && url.includes('repository%3Afrom'),
          (response) => response.writeHead(403).end(),
        ),
      },
      {},
    );
    const keychain = staticKeychain({ [it.registry.host]: { kind: 'basic', username: 'u', password: 'p' } });
    await using client = new RegistryClient({ baseDelayMs: 1, keychain });
    expect(await client.pushBlob(it.to, blobOf(CONTENT, BLOB), { mountFrom: it.from })).toBe('uploaded');
  });

  test('sends the blob where the registry answers a mount with a session', async () => {
    await using it = await stage();
    expect(await it.client.pushBlob(it.to, blobOf(CONTENT, BLOB), { mountFrom: it.from })).toBe('uploaded');
    expect(it.registry.requests.filter((line) => line.startsWith('POST'))).toHaveLength(1);
  });

  test('does not take a registry that is down for one that refuses', async () => {
    await using it = await stage({
      intercept: disturb(isMount, (response) => response.writeHead(503).end()),
    });
    const pushing = it.client.pushBlob(it.to, blobOf(CONTENT, BLOB), { mountFrom: it.from });
    await expect(pushing).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });
});

describe('row 23: pushBlob() under a limit of requests', () => {
  test.each([
    ['starting', 0, ({ method }: IncomingMessage) => method === 'POST'],
    [
      'the whole blob',
      0,
      ({ method, url = '' }: IncomingMessage) => method === 'PUT' && url.includes('/uploads/'),
    ],
    ['a chunk', 100_000, ({ method }: IncomingMessage) => method === 'PATCH'],
  ] as const)('waits and goes on after a 429 to %s', async (_what, chunkBytes, wanted) => {
    let refused = 0;
    const intercept = disturb(
      wanted,
      (response) => {
        refused += 1;
        response.writeHead(429, { 'retry-after': '0' }).end();
      },
      2,
    );
    await using it = await stage({ intercept }, { chunkBytes });
    expect(await it.client.pushBlob(it.to, blobOf(CONTENT, BLOB))).toBe('uploaded');
    expect(refused).toBe(2);
    expect(await readBlob(it.client, it.to, BLOB)).toEqual(CONTENT);
  });

  test('ends as RATE_LIMITED when told to come back much later', async () => {
    const intercept = disturb(
      ({ method }) => method === 'POST',
      (response) => response.writeHead(429, { 'retry-after': '3600' }).end(),
    );
    await using it = await stage({ intercept });
    await expect(it.client.pushBlob(it.to, blobOf(CONTENT, BLOB))).rejects.toMatchObject({
      code: 'RATE_LIMITED',
      details: { retryAfterMs: 3_600_000 },
    });
    expect(it.registry.requests.filter((line) => line.startsWith('POST'))).toHaveLength(1);
  });
});

describe('pushBlob() in chunks', () => {
  test.each([500, 502, 503])('goes on after a %i in the middle', async (status) => {
    const third = (() => {
      let patches = 0;
      return ({ method }: IncomingMessage) => method === 'PATCH' && ++patches === 3;
    })();
    await using it = await stage(
      { intercept: disturb(third, (response) => response.writeHead(status).end()) },
      { chunkBytes: 100_000 },
    );
    expect(await it.client.pushBlob(it.to, blobOf(CONTENT, BLOB))).toBe('uploaded');
    expect(await readBlob(it.client, it.to, BLOB)).toEqual(CONTENT);
    // Seven chunks went up, one of them twice, in one session.
    expect(it.registry.requests.filter((line) => line.startsWith('PATCH'))).toHaveLength(7);
    expect(it.registry.requests.filter((line) => line.startsWith('POST'))).toHaveLength(1);
  });
});

describe('pushBlob() in chunks to a registry that forgets', () => {
  test.each(['0-99999', '0-0', '0-9999999', 'nonsense'])('ends when it says it has %s', async (range) => {
    let patches = 0;
    await using it = await stage(
      {
        intercept: (request, response) => {
          if (!request.url?.includes('/uploads/upload-')) return false;
          if (request.method === 'PATCH' && ++patches >= 3) {
            request.resume();
            response.writeHead(416).end();
            return true;
          }
          // Two chunks of 100,000 bytes were confirmed.
          if (request.method === 'GET') response.writeHead(204, { range }).end();
          return request.method === 'GET';
        },
      },
      { chunkBytes: 100_000 },
    );
    const pushing = it.client.pushBlob(it.to, blobOf(CONTENT, BLOB));
    await expect(pushing).rejects.toMatchObject({
      code: 'UPLOAD_FAILED',
      message: expect.stringContaining('does not get past byte 200000'),
    });
    expect(patches).toBe(3);
  });
});

describe('pushBlob() that is given up', () => {
  test('tells the registry that the session is of no more use when aborted', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let forgotten: (() => void) | undefined;
    const told = new Promise<void>((resolve) => {
      forgotten = resolve;
    });
    await using it = await stage({
      intercept: (request, response) => {
        if (request.method === 'DELETE') {
          response.writeHead(204).end();
          forgotten?.();
          return true;
        }
        if (request.method !== 'PUT') return false;
        request.resume();
        controller.abort(reason);
        return true;
      },
    });
    const pushing = it.client.pushBlob(it.to, blobOf(CONTENT, BLOB), { signal: controller.signal });
    await expect(pushing).rejects.toBe(reason);
    await told;
  });
});

describe('pushBlob() to a registry that takes its time', () => {
  test('gives it longer to take a large blob in than to answer anything else', async () => {
    await using it = await stage(
      {
        intercept: async ({ method, url = '' }) => {
          if (method === 'PUT' && url.includes('/uploads/'))
            await new Promise((done) => setTimeout(done, 1500));
          return false;
        },
      },
      { headersTimeoutMs: 200 },
    );
    expect(await it.client.pushBlob(it.to, blobOf(CONTENT, BLOB))).toBe('uploaded');
    expect(it.registry.requests.filter((line) => line.startsWith('PUT'))).toHaveLength(1);
  });
});
