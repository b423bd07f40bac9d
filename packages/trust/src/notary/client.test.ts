import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { decodeMultipart } from '../testing/multipart-reader.ts';
import { startNotary } from '../testing/notary.ts';
import { createServerCertificate } from '../testing/server-certificate.ts';
import { NotaryClient } from './client.ts';
import { type NotaryCredentials, parseChallenge } from './credentials.ts';
import { encodeMultipart } from './multipart.ts';
import { refusal } from './refusal.ts';

const collection = 'private.example.com/app';
const running: Server[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  running.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A token service that gives out one token, and a notary that wants it. */
async function startProtected(options: { readonly realmHost?: string; readonly scheme?: string } = {}) {
  const seen: { host: string; authorization?: string; url: string; body: string }[] = [];
  const record = async (request: IncomingMessage, host: string): Promise<void> => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { authorization } = request.headers;
    seen.push({
      host,
      url: request.url ?? '',
      body,
      ...(authorization === undefined ? {} : { authorization }),
    });
  };
  const tokens = await listen(async (request, response) => {
    await record(request, 'tokens');
    const known = request.headers.authorization !== undefined || request.method === 'POST';
    if (!known) {
      response.writeHead(401).end();
      return;
    }
    response.end(JSON.stringify({ token: 'granted', expires_in: 300 }));
  });
  const notary = await listen(async (request, response) => {
    await record(request, 'notary');
    if (request.headers.authorization !== undefined) {
      response.end('{}');
      return;
    }
    const port = tokens.split(':')[1];
    const realm = `http://${options.realmHost ?? '127.0.0.1'}:${port}/token`;
    const challenge =
      options.scheme === 'basic'
        ? 'Basic realm="x"'
        : `Bearer realm="${realm}",service="test",scope="registry:catalog:*"`;
    response.writeHead(401, { 'www-authenticate': challenge }).end('{}');
  });
  return { url: `http://${notary}`, seen };
}

const password: NotaryCredentials = { username: 'alice', password: 'open sesame' };

describe('NotaryClient', () => {
  test('obtains a token for its own scope, once', async () => {
    const { url, seen } = await startProtected();
    const client = new NotaryClient({ url, credentials: password });
    await client.fetchMetadata(collection, 'root');
    await client.fetchMetadata(collection, 'targets');
    await client.close();
    expect(seen.map(({ host }) => host)).toEqual(['notary', 'tokens', 'notary', 'notary']);
    const query = new URL(seen[1]?.url ?? '', url).searchParams;
    expect(Object.fromEntries(query)).toEqual({
      account: 'alice',
      scope: `repository:${collection}:pull`,
      service: 'test',
    });
    expect(seen[1]?.authorization).toBe(`Basic ${Buffer.from('alice:open sesame').toString('base64')}`);
    expect(seen[3]?.authorization).toBe('Bearer granted');
  });

  test('exchanges an identity token without showing it in a URL', async () => {
    const { url, seen } = await startProtected();
    const client = new NotaryClient({ url, credentials: { identityToken: 'refresh me' } });
    await client.fetchMetadata(collection, 'root');
    await client.close();
    const form = new URLSearchParams(seen[1]?.body);
    expect(form.get('grant_type')).toBe('refresh_token');
    expect(form.get('refresh_token')).toBe('refresh me');
    expect(seen[1]?.url).toBe('/token');
  });

  test('answers a basic challenge, and hands a ready token over', async () => {
    const basic = await startProtected({ scheme: 'basic' });
    for (const credentials of [password, { token: 'ready' }]) {
      const client = new NotaryClient({ url: basic.url, credentials });
      await client.fetchMetadata(collection, 'root');
      await client.close();
    }
    expect(basic.seen.flatMap(({ authorization }) => authorization?.split(' ')[0] ?? [])).toEqual([
      'Basic',
      'Bearer',
    ]);
  });

  test('gives credentials to no host the server names, unless it is allowed', async () => {
    const { url, seen } = await startProtected({ realmHost: 'localhost' });
    const refused = new NotaryClient({ url, credentials: password });
    const error = await refused.fetchMetadata(collection, 'root').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'DENIED', hint: expect.stringContaining('tokenHosts') });
    expect(JSON.stringify(error)).not.toContain('sesame');
    expect(seen.map(({ host }) => host)).toEqual(['notary']);
    const allowed = new NotaryClient({ url, credentials: password, tokenHosts: ['localhost'] });
    await allowed.fetchMetadata(collection, 'root');
    await Promise.all([refused.close(), allowed.close()]);
    expect(seen.at(-1)?.authorization).toBe('Bearer granted');
  });

  test.each<[string, NotaryCredentials]>([
    ['a password', password],
    ['an identity token', { identityToken: 'refresh me' }],
    ['a ready token', { token: 'ready made' }],
  ])('sends nothing that came of %s over plain http to another machine', async (_, credentials) => {
    const sent: (string | undefined)[] = [];
    const dispatcher = new (await import('undici')).MockAgent();
    dispatcher.disableNetConnect();
    const headersOf = (headers: unknown) => (headers as Record<string, string>).authorization;
    dispatcher
      .get('http://notary.example.com')
      .intercept({ path: /./, method: 'GET' })
      .reply(({ headers }) => {
        sent.push(headersOf(headers));
        const challenge = 'Bearer realm="https://auth.example.com/token",service="s"';
        return {
          statusCode: 401,
          data: '{}',
          responseOptions: { headers: { 'www-authenticate': challenge } },
        };
      })
      .persist();
    dispatcher
      .get('https://auth.example.com')
      .intercept({ path: /./, method: () => true })
      .reply(200, { token: 'granted' })
      .persist();
    const client = new NotaryClient({
      url: 'http://notary.example.com',
      credentials,
      tokenHosts: ['auth.example.com'],
      dispatcher,
    });
    await expect(client.fetchMetadata(collection, 'root')).rejects.toMatchObject({
      code: 'DENIED',
      message: expect.stringContaining('plain http'),
    });
    expect(sent).toEqual([undefined]);
    await client.close();
    await dispatcher.close();
  });

  test('tells that credentials are wanted', async () => {
    const { url } = await startProtected({ scheme: 'basic' });
    const client = new NotaryClient({ url });
    await expect(client.fetchMetadata(collection, 'root')).rejects.toMatchObject({ code: 'AUTH_REQUIRED' });
    await client.close();
  });

  test("trusts the certificates it is given beside the system's, and no others", async () => {
    const system = getCACertificates('default');
    const [secure, other] = [await startNotary({ tls: true }), await createServerCertificate()];
    const fetchWith = async (ca: string) => {
      const client = new NotaryClient({ url: secure.url, ca });
      return client.fetchMetadata(collection, 'root').finally(() => client.close());
    };
    try {
      await expect(fetchWith(other.cert)).rejects.toMatchObject({ code: 'UNREACHABLE' });
      expect(await fetchWith(secure.server.ca ?? '')).toBeUndefined();
      setDefaultCACertificates([secure.server.ca ?? '']);
      expect(await fetchWith(other.cert)).toBeUndefined();
    } finally {
      setDefaultCACertificates(system);
      await secure.close();
    }
  });

  test('stops when it is told to, with the reason it is given', async () => {
    const url = `http://${await listen(() => undefined)}`;
    const client = new NotaryClient({ url });
    const reason = new Error('enough');
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 20);
    const waiting = client.fetchMetadata(collection, 'root', { signal: controller.signal });
    await expect(waiting).rejects.toBe(reason);
    await client.close();
  });

  test.each(['ftp://a', 'https://user:secret@a', 'https://a/?x=1', 'not a url', ''])(
    'refuses the URL %j',
    (url) => {
      try {
        new NotaryClient({ url });
        expect.unreachable();
      } catch (error) {
        expect(error).toMatchObject({ code: 'INVALID_OPTIONS' });
        expect((error as Error).message).not.toContain('secret');
      }
    },
  );

  test('changes() lists what was published, page after page', async () => {
    const notary = await startNotary();
    for (let version = 1; version <= 250; version += 1) {
      notary.store.put(collection, 'timestamp', Buffer.from(`${version}`), version, new Date(0));
    }
    const client = new NotaryClient(notary.server);
    const versions: number[] = [];
    for await (const change of client.changes(collection)) versions.push(change.version);
    expect(versions).toEqual(Array.from({ length: 250 }, (_, index) => index + 1));
    await client.close();
    await notary.close();
  });
});

describe('parseChallenge()', () => {
  test('reads any header without failing', () => {
    fc.assert(fc.property(fc.string(), (header) => void parseChallenge(header)));
    expect(parseChallenge('Bearer realm="https://a/t?x=1,2",service="s"')).toEqual({
      scheme: 'bearer',
      parameters: { realm: 'https://a/t?x=1,2', service: 's' },
    });
  });
});

describe('encodeMultipart()', () => {
  test('is read back whole, whatever the bytes', () => {
    const part = fc.record({ role: fc.constantFrom('root', 'targets/a'), bytes: fc.uint8Array() });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 4 }), (parts) => {
        const { contentType, body } = encodeMultipart(parts);
        const read = decodeMultipart(contentType, body)?.map(({ role, bytes }) => [
          role,
          Buffer.from(bytes).toString('hex'),
        ]);
        expect(read).toEqual(parts.map(({ role, bytes }) => [role, Buffer.from(bytes).toString('hex')]));
      }),
    );
  });
});

describe('refusal()', () => {
  const answer = (status: number, error?: object) => ({
    status,
    body: Buffer.from(error === undefined ? '<html>' : JSON.stringify({ errors: [error] })),
  });

  test.each([
    [answer(400, { code: 'VERSION', detail: {} }), 'VERSION_CONFLICT', /somebody else/],
    [
      answer(400, { code: 'INVALID_UPDATE', detail: { Name: 'ErrBadRoot', Error: { Msg: 'why' } } }),
      'SERVER_REFUSED',
      /ErrBadRoot: why/,
    ],
    [answer(400, { code: 'INVALID_ROLE', detail: 'releases' }), 'SERVER_REFUSED', /publish/],
    [answer(400), 'SERVER_REFUSED', /no reason given/],
    [answer(403), 'DENIED', /do not allow/],
    [answer(404), 'NOT_SIGNED', /does not know/],
    [answer(500, { code: 'NO_STORAGE' }), 'UNREACHABLE', /500 NO_STORAGE/],
  ])('makes of %j %s', (reply, code, message) => {
    expect(refusal('publish x', reply)).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test.each([
    [
      'ErrBadRoot',
      'could not validate the path to a trusted root: unable to retrieve valid leaf certificates',
    ],
    ['ErrBadTargets', 'targets expired at Sun Aug 16 00:41:58 UTC 2026'],
  ])('thinks of a wrong clock: %s: %s', (Name, Msg) => {
    const reply = answer(400, { code: 'INVALID_UPDATE', detail: { Name, Error: { Msg } } });
    expect(refusal('publish x', reply).hint).toContain('clock');
  });

  test('explains a server that cuts delegation names', () => {
    const error = refusal('publish x', answer(400, { code: 'INVALID_ROLE', detail: 'releases' }));
    expect(error.hint).toContain('Go 1.17');
  });
});
