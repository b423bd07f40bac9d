import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { AnswerCache } from './answer-cache.ts';
import { type HttpOptions, WebClient } from './web-client.ts';

const directory = mkdtempSync(join(tmpdir(), 'imagevet-web-'));
const requests: { readonly url: string; readonly etag: string | undefined }[] = [];
let content: string;
let respond: (request: IncomingMessage, response: ServerResponse) => void;
const server = createServer((request, response) => {
  requests.push({ url: request.url ?? '', etag: request.headers['if-none-match'] });
  respond(request, response);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

beforeEach(() => {
  rmSync(directory, { recursive: true, force: true });
  requests.splice(0);
  content = 'one';
  respond = (request, response) => {
    const etag = `"${content}"`;
    if (request.headers['if-none-match'] === etag) response.writeHead(304, { etag }).end();
    else response.writeHead(content === 'gone' ? 404 : 200, { etag }).end(content);
  };
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  rmSync(directory, { recursive: true, force: true });
});

const client = (options: HttpOptions = {}) => new WebClient({ retries: 0, ...options }, 1024 * 1024);
const onDisk = (options: HttpOptions = {}) => client({ cache: new AnswerCache({ directory }), ...options });
const question = { operation: 'ask', maxBytes: 1000 };
const forever = { ...question, keep: 'forever' } as const;
const read = async (web: WebClient, asked = question, path = '/x') =>
  (await web.read(`${base}${path}`, asked)).body.toString();

describe.each([
  ['memory', () => [client()].flatMap((web) => [web, web])],
  ['a folder', () => [onDisk(), onDisk()]],
] as const)('WebClient with answers in %s', (_name, make) => {
  it('asks once for what never changes', async () => {
    const [one, two] = make();
    expect(await read(one!, forever)).toBe('one');
    content = 'two';
    expect(await read(two!, forever)).toBe('one');
    expect(requests.length).toBe(1);
  });

  it('asks again for what may, with the tag it was given, and believes "not modified"', async () => {
    const [one, two] = make();
    expect([await read(one!), await read(two!)]).toEqual(['one', 'one']);
    content = 'two';
    expect(await read(two!)).toBe('two');
    expect(requests.map(({ etag }) => etag)).toEqual([undefined, '"one"', '"one"']);
  });

  it('never takes for granted that something is still not there', async () => {
    content = 'gone';
    const [one, two] = make();
    const status = async (web: WebClient) => (await web.read(`${base}/x`, forever)).status;
    expect([await status(one!), await status(two!)]).toEqual([404, 404]);
    content = 'one';
    expect(await status(two!)).toBe(200);
    expect(requests.every(({ etag }) => etag === undefined)).toBe(true);
  });

  it('keeps nothing that fails a check', async () => {
    const [one, two] = make();
    const check = ({ body }: { readonly body: Buffer }) => {
      if (body.toString() === 'one') throw new Error('wrong');
    };
    await expect(read(one!, { ...forever, check } as never)).rejects.toThrow('wrong');
    content = 'two';
    expect(await read(two!, { ...forever, check } as never)).toBe('two');
  });
});

describe('WebClient', () => {
  it('lets one of many ask, and each give up for itself', async () => {
    const web = client();
    const controller = new AbortController();
    const waiting: (() => void)[] = [];
    const honest = respond;
    respond = (request, response) => void waiting.push(() => honest(request, response));
    const first = once(server, 'request');
    const asked = [controller.signal, undefined, undefined].map((signal) =>
      web.read(`${base}/x`, { ...question, ...(signal === undefined ? {} : { signal }) }),
    );
    const settled = Promise.allSettled(asked);
    await first;
    const second = once(server, 'request');
    const reason = new Error('enough');
    controller.abort(reason);
    await second;
    for (const go of waiting) go();
    const [aborted, ...others] = await settled;
    expect(aborted).toMatchObject({ status: 'rejected', reason });
    expect(others.map((one) => one.status)).toEqual(['fulfilled', 'fulfilled']);
    expect(requests.length).toBe(2);
  });

  it('takes an answer that is young enough for true', async () => {
    const web = client({ maxAgeMs: 60_000 });
    expect([await read(web), await read(web)]).toEqual(['one', 'one']);
    expect(requests.length).toBe(1);
  });

  it('sends nothing that a service has said it will refuse', async () => {
    const reset = `${Math.floor(Date.now() / 1000) + 600}`;
    respond = (_request, response) =>
      void response.writeHead(200, { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': reset }).end('x');
    const web = client({ reserve: 1 });
    await read(web);
    await expect(read(web)).rejects.toMatchObject({
      code: 'SOURCE_RATE_LIMITED',
      details: { remaining: 1, retryAt: new Date(Number(reset) * 1000).toISOString() },
    });
    respond = (_request, response) => void response.writeHead(429, { 'retry-after': '600' }).end();
    const refused = client();
    await expect(read(refused)).rejects.toMatchObject({ code: 'SOURCE_RATE_LIMITED' });
    await expect(read(refused)).rejects.toMatchObject({ code: 'SOURCE_RATE_LIMITED' });
    expect(requests.length).toBe(2);
  });

  it('counts requests, repeated ones too, and nothing that was kept', async () => {
    const web = client({ maxRequests: 2, retries: 5 });
    await read(web, forever);
    await read(web, forever);
    respond = (_request, response) => void response.writeHead(503).end();
    await expect(read(web, question, '/y')).rejects.toMatchObject({
      code: 'SOURCE_RATE_LIMITED',
      details: { maxRequests: 2 },
    });
    expect(requests.length).toBe(2);
  });

  it('answers offline from what is kept, and says what is not', async () => {
    await read(onDisk());
    content = 'gone';
    await read(onDisk(), question, '/gone');
    const offline = onDisk({ offline: true });
    const asked = requests.length;
    expect(await read(offline)).toBe('one');
    expect((await offline.read(`${base}/gone`, question)).status).toBe(404);
    const missing = { code: 'OFFLINE', details: { url: `${base}/y` } };
    await expect(read(offline, question, '/y')).rejects.toMatchObject(missing);
    await expect(offline.open(`${base}/y`, forever)).rejects.toMatchObject(missing);
    await expect(read(client({ offline: true }))).rejects.toMatchObject({ code: 'OFFLINE' });
    expect(requests.length).toBe(asked);
  });

  it('uses nothing that was changed on disk: asks for it again, and offline does without', async () => {
    await read(onDisk(), forever);
    const tamper = () => {
      for (const folder of readdirSync(directory).filter((name) => name !== 'new')) {
        for (const name of readdirSync(join(directory, folder))) {
          const path = join(directory, folder, name);
          writeFileSync(
            path,
            Buffer.from(readFileSync(path).toString('latin1').replace(/one$/, 'evl'), 'latin1'),
          );
        }
      }
    };
    tamper();
    await expect(read(onDisk({ offline: true }), forever)).rejects.toMatchObject({ code: 'OFFLINE' });
    await read(onDisk(), forever);
    tamper();
    expect(await read(onDisk(), forever)).toBe('one');
    expect(requests.length).toBe(3);
  });

  it('keeps a download that was read to its end', async () => {
    const download = async (web: WebClient) => {
      const { body } = await web.open(`${base}/x`, forever);
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      return Buffer.concat(chunks).toString();
    };
    expect(await download(onDisk())).toBe('one');
    expect(await download(onDisk({ offline: true }))).toBe('one');
    expect(requests.length).toBe(1);
  });
});
