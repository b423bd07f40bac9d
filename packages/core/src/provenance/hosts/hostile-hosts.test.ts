// What a host that lies, or somebody in its place, can make of its answers.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { ImagevetError } from '@imagevet/registry';
import fc from 'fast-check';
import { pack } from 'tar-stream';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { RefReader } from '../../drift/types.ts';
import type { SourceHost } from '../../lineage/types.ts';
import { collect } from '../__fixtures__/collect.ts';
import { bitbucketHost } from './api/bitbucket.ts';
import { cgitHost } from './api/cgit.ts';
import type { ApiHostOptions } from './api/dialect.ts';
import { giteaHost } from './api/gitea.ts';
import { gitHubHost } from './api/github.ts';
import { gitLabHost } from './api/gitlab.ts';

const SHA = 'a'.repeat(40);
const idOf = (content: string) =>
  createHash('sha1')
    .update(`blob ${Buffer.byteLength(content)}\0${content}`)
    .digest('hex');

let answer: (request: IncomingMessage, response: ServerResponse) => void = (_request, response) =>
  void response.end();
const requests: string[] = [];
const server = createServer((request, response) => {
  requests.push(request.url ?? '');
  answer(request, response);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

afterEach(() => requests.splice(0));
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

type Connect = (options?: ApiHostOptions & { readonly token?: string }) => SourceHost & Partial<RefReader>;

const HOSTS: readonly [name: string, repository: string, connect: Connect][] = [
  [
    'GitHub',
    'https://github.com/acme/app',
    (options) =>
      gitHubHost({ apiUrl: `${url}/api`, rawUrl: `${url}/raw`, archiveUrl: url, retries: 0, ...options }),
  ],
  [
    'GitLab',
    'https://gitlab.com/acme/sub/app',
    (options) => gitLabHost({ apiUrl: `${url}/api`, retries: 0, ...options }),
  ],
  [
    'Bitbucket',
    'https://bitbucket.org/acme/app',
    (options) => bitbucketHost({ apiUrl: `${url}/api`, archiveUrl: url, retries: 0, ...options }),
  ],
  [
    'Gitea',
    'https://codeberg.org/acme/app',
    (options) => giteaHost({ apiUrl: `${url}/api`, retries: 0, ...options }),
  ],
  [
    'cgit',
    'https://git.launchpad.net/~acme/+git/app',
    (options) => cgitHost({ rawUrl: url, retries: 0, ...options }),
  ],
];
const APIS = HOSTS.filter(([name]) => name !== 'cgit');

/** Answers everything with this. */
function always(body: unknown, headers: Record<string, string> = {}, status = 200): void {
  answer = (_request, response) =>
    void response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body));
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return error.code;
  }
}

/** Every question a host can be asked. */
function questions(host: SourceHost & Partial<RefReader>, repository: string): readonly Promise<unknown>[] {
  return [
    host.readFile(repository, SHA, 'Dockerfile'),
    collect(host.readDirectory(repository, SHA, 'web')),
    host.commitOf(repository, 'Dockerfile'),
    host.commitOf(repository, 'Dockerfile', { asOf: new Date('2020-01-01') }),
    host.reachability(repository, SHA, { ref: 'refs/heads/main' }),
    ...(host.refOf === undefined
      ? []
      : [host.refOf(repository, 'HEAD'), host.refOf(repository, 'refs/tags/v1')]),
    host.treeOf?.(repository, SHA, 'web') ?? Promise.resolve(),
    host.identityOf?.(repository) ?? Promise.resolve(),
  ];
}

describe.each(HOSTS)('%s', (_name, repository, connect) => {
  it('ends, or throws an error of its own, whatever JSON it is answered', async () => {
    const name = fc.constantFrom(
      ...['tree', 'sha', 'id', 'path', 'mode', 'type', 'values', 'next', 'name', 'commit', 'target', 'hash'],
      ...['default_branch', 'mainbranch', 'object', 'status', 'truncated', 'size', 'attributes', 'content'],
      ...['encoding', 'date', 'total_commits', 'full_name', 'created_at', '__proto__', 'constructor'],
    );
    const leaf = fc.oneof(
      fc.constantFrom(SHA, '100644', '160000', 'blob', 'tree', 'web/x', '../x', '/etc/passwd', 'web/../../x'),
      fc.constantFrom(
        'commit_file',
        'commit_directory',
        'base64',
        'identical',
        true,
        null,
        0,
        -1,
        1e300,
        'tag',
      ),
      fc.string(),
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        leaf,
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(name, tie('value'), { maxKeys: 5 }),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(value, async (body) => {
        always(body);
        const codes = await Promise.all(questions(connect({ token: 't' }), repository).map(codeOf));
        const allowed = [
          ...['none', 'SOURCE_NOT_FOUND', 'SOURCE_COMMIT_NOT_FOUND', 'SOURCE_INVALID'],
          ...['SOURCE_LIMIT_EXCEEDED', 'SOURCE_UNSUPPORTED'],
        ];
        expect(codes.filter((code) => !allowed.includes(code))).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('reads no more than it was told to', async () => {
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const chunk = Buffer.alloc(1024 * 1024, ' ');
      const write = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on('drain', write);
      write();
    };
    const host = connect({ maxFileBytes: 1024 * 1024 });
    expect(await codeOf(host.readFile(repository, SHA, 'Dockerfile'))).toBe('SOURCE_LIMIT_EXCEEDED');
    if (host.identityOf !== undefined)
      expect(await codeOf(host.identityOf(repository))).toBe('SOURCE_LIMIT_EXCEEDED');
  });

  it.each([
    'http://169.254.169.254/latest/',
    'http://127.0.0.2:9/x',
    'file:///etc/passwd',
    '//evil.example/x',
  ])('does not follow a redirect to %s', async (location) => {
    answer = (_request, response) => void response.writeHead(302, { location }).end();
    const host = connect({ token: 'secret-token' });
    const codes = await Promise.all(questions(host, repository).map(codeOf));
    const allowed = ['SOURCE_INVALID', 'SOURCE_UNSUPPORTED', 'none'];
    expect(codes.filter((code) => !allowed.includes(code))).toEqual([]);
    expect(await codeOf(host.readFile(repository, SHA, 'x'))).toBe('SOURCE_INVALID');
  });

  it('ends redirects that go round', async () => {
    answer = (request, response) => void response.writeHead(301, { location: request.url ?? '/' }).end();
    expect(await codeOf(connect().readFile(repository, SHA, 'x'))).toBe('SOURCE_INVALID');
  });
});

describe.each(APIS)('a list of %s', (name, repository, connect) => {
  const entry = (path: string, content = 'x') => ({
    ...{ path, mode: '100644', type: name === 'Bitbucket' ? 'commit_file' : 'blob', size: content.length },
    ...(name === 'GitLab' ? { id: idOf(content) } : { sha: idOf(content) }),
  });
  /** A page of entries, as this host writes it. */
  const list = (entries: readonly unknown[], more: string | undefined): [unknown, Record<string, string>] => {
    if (name === 'GitLab') return [entries, more === undefined ? {} : { link: `<${more}>; rel="next"` }];
    if (name === 'Bitbucket') return [{ values: entries, ...(more === undefined ? {} : { next: more }) }, {}];
    return [{ tree: entries, truncated: name === 'Gitea' && more !== undefined }, {}];
  };
  const read = (options?: ApiHostOptions) =>
    codeOf(collect(connect(options).readDirectory(repository, SHA, 'web')));

  it.each(['web/../../etc/passwd', 'web//x', 'web/./x', 'web/x/..', 'web/\0x'])(
    'with the path %j is refused',
    async (path) => {
      always(...list([entry('web/a'), entry(path)], undefined));
      expect(await read()).toBe('SOURCE_INVALID');
    },
  );

  it('leaves out what is not below the directory', async () => {
    always(
      ...list(
        [entry('webx/a'), entry('/web/a'), entry('other')].slice(0, name === 'Bitbucket' ? 1 : 3),
        undefined,
      ),
    );
    expect(['SOURCE_NOT_FOUND', 'SOURCE_INVALID']).toContain(await read());
  });

  it('that has no end is left', async () => {
    if (name === 'GitHub') {
      always({ tree: [entry('web/a')], truncated: true });
      expect(await read()).toBe('SOURCE_LIMIT_EXCEEDED');
      return;
    }
    let page = 0;
    answer = (request, response) => {
      page += 1;
      const [body, headers] = list([entry(`web/${page}`)], `${url}${request.url}&again=${page}`);
      response.writeHead(200, headers).end(JSON.stringify(body));
    };
    expect(await read({ maxEntries: 100 })).toBe('SOURCE_LIMIT_EXCEEDED');
    expect(requests.length).toBeLessThan(110);
  });

  it('is not followed out of the API, where the token would go too', async () => {
    if (name === 'GitHub' || name === 'Gitea') return; // their pages are numbered
    for (const elsewhere of [
      'http://127.0.0.2:9/api/x',
      `${url}/other/api`,
      `${url}/apix`,
      'http://[bad',
      `${url}/api/../x`,
    ]) {
      always(...list([entry('web/a')], elsewhere));
      expect(await read()).toBe('SOURCE_INVALID');
    }
    expect(requests.every((path) => path.startsWith('/api/'))).toBe(true);
  });

  it('of other objects than the files are is refused', async () => {
    const tar = pack();
    tar.entry({ name: 'x/web/a' }, 'other');
    tar.entry({ name: 'x/web/../../b' }, 'other');
    tar.finalize();
    const archive = gzipSync(Buffer.concat(await collect(tar as AsyncIterable<Uint8Array>)));
    answer = (request, response) => {
      const path = request.url ?? '';
      if (/tarball|archive|\/get\//.test(path)) response.end(archive);
      else if (/\/(?:raw|files|src\/a+\/web\/a)/.test(path)) response.end('other, again');
      else response.end(JSON.stringify(list([entry('web/a', 'mine')], undefined)[0]));
    };
    expect(await read()).toBe('SOURCE_INVALID');
    expect(requests.some((path) => /tarball|archive|\/get\//.test(path))).toBe(true);
  });
});

it('gitLabHost() refuses a file that is not the object GitLab says it is', async () => {
  always('FROM evil', { 'x-gitlab-blob-id': idOf('FROM scratch') });
  const host = gitLabHost({ apiUrl: `${url}/api`, retries: 0 });
  expect(await codeOf(host.readFile('https://gitlab.com/acme/app', SHA, 'Dockerfile'))).toBe(
    'SOURCE_INVALID',
  );
  always('FROM scratch', { 'x-gitlab-blob-id': idOf('FROM scratch') });
  expect(await codeOf(host.readFile('https://gitlab.com/acme/app', SHA, 'Dockerfile'))).toBe('none');
});

it('gitHubHost() takes its token out of a download that is redirected', async () => {
  const seen: (string | undefined)[] = [];
  const archives = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => archives.listen(0, '127.0.0.1', resolve));
  const archiveUrl = `http://127.0.0.1:${(archives.address() as AddressInfo).port}`;
  answer = (request, response) => {
    if (request.url?.includes('tarball')) response.writeHead(302, { location: `${archiveUrl}/x` }).end();
    else
      response.end(
        JSON.stringify({ tree: [{ path: 'a', mode: '100644', type: 'blob', sha: SHA, size: 1 }] }),
      );
  };
  const host = gitHubHost({
    apiUrl: `${url}/api`,
    rawUrl: `${url}/raw`,
    archiveUrl,
    token: 'secret',
    retries: 0,
  });
  await codeOf(collect(host.readDirectory('https://github.com/acme/app', SHA, '.')));
  expect(seen).toEqual([undefined]);
  archives.close();
  archives.closeAllConnections();
});
