// What a daemon may ask of the session of a build, and what it gets.
import type { IncomingHttpHeaders } from 'node:http';
import { digestOf, staticKeychain } from '@imagevet/registry';
import { describe, expect, test } from 'vitest';
import { serveContext } from './context-upload.ts';
import { credentialsFor } from './credentials.ts';
import { serveFile } from './file-sync.ts';
import type { GrpcHandler } from './grpc-server.ts';
import { fieldsOf } from './protobuf.ts';

async function answers(handler: GrpcHandler, headers: IncomingHttpHeaders, asked: readonly Buffer[] = []) {
  const found: Buffer[] = [];
  for await (const message of handler(asked as never as AsyncIterable<Buffer>, headers)) {
    found.push(Buffer.from(message));
  }
  return found;
}

describe('a session of BuildKit', () => {
  test('row 39: tells credentials of no other host than the registries of the build', async () => {
    const basic = (username: string) => ({ kind: 'basic', username, password: 'secret' }) as const;
    const keychain = staticKeychain({
      'target.example': basic('pusher'),
      'base.example': basic('puller'),
      'docker.io': basic('hub'),
      'evil.example': basic('other'),
    });
    const pin = `base.example/x@${digestOf('x')}`;
    const request = {
      target: { registry: 'target.example', repository: 'vetted/x', tag: '1' },
      unedited: { dockerfile: '', pins: { 'docker.io/library/x:1': pin } },
    };
    const told = async (host: string) => (await credentialsFor(host, request, { keychain }))?.username;
    expect(await told('target.example')).toBe('pusher');
    expect(await told('base.example')).toBe('puller');
    for (const host of ['evil.example', 'registry-1.docker.io', 'docker.io', '', 'target.example:443']) {
      expect(await told(host)).toBeUndefined();
    }
    const hub = { ...request.unedited, pins: { x: `docker.io/library/x@${digestOf('x')}` } };
    const found = await credentialsFor('registry-1.docker.io', { ...request, unedited: hub }, { keychain });
    expect(found).toEqual({ username: 'hub', secret: 'secret' });
  });

  test('gives the context to whoever knows its address', async () => {
    const handler = serveContext('address', async function* () {
      yield Buffer.alloc(300 * 1024, 'x');
    });
    const messages = await answers(handler, { urlpath: '/address' });
    expect(messages.map((message) => new Map(fieldsOf(message)).get(1)?.length)).toEqual([262144, 45056]);
    for (const urlpath of ['/other', '/', undefined, '/address/']) {
      await expect(answers(handler, { urlpath })).rejects.toThrow('not the context');
    }
  });

  test('gives the Dockerfile as a directory of its own, when it is asked for it', async () => {
    const content = Buffer.alloc(300 * 1024, 'x');
    const handler = serveFile('dockerfile', 'Dockerfile', content);
    const asked = [Buffer.from([0x08, 1]), Buffer.from([0x08, 3])];
    const iterable = (async function* () {
      yield* asked;
    })();
    const found: Buffer[] = [];
    for await (const message of handler(iterable, { 'dir-name': 'dockerfile' }))
      found.push(Buffer.from(message));
    const stat = new Map(fieldsOf(new Map(fieldsOf(found[0]!)).get(2)!));
    expect(stat.get(1)?.toString()).toBe('Dockerfile');
    expect(found[1]).toEqual(Buffer.alloc(0));
    const data = found.slice(2).map((message) => new Map(fieldsOf(message)).get(4)?.length ?? 0);
    expect(data).toEqual([262144, 45056, 0, 0]);
    await expect(answers(handler, { 'dir-name': 'context' }, asked)).rejects.toThrow('not a directory');
  });
});
