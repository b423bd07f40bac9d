import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, RegistryClient } from '@imagevet/registry';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeBuildkitTrace } from './buildkit-trace.ts';
import { dockerEngineBuilder } from './docker-engine-builder.ts';
import type { EngineTls } from './engine.ts';

const ID = `sha256:${'1'.repeat(64)}`;
const VERSION = {
  Version: '20.10.24',
  ApiVersion: '1.41',
  Os: 'linux',
  Arch: 'amd64',
  Components: [{ Name: 'Engine' }],
};
const REQUEST = {
  dockerfile: 'FROM scratch\nCOPY x /\nCMD x',
  context: [],
  platform: { os: 'linux', architecture: 'amd64' },
  target: { registry: '127.0.0.1:1', repository: 'r', tag: 't' },
};

/** An engine whose answer to a build is written by the test, as real engines misbehave. */
async function scripted(
  answer: (response: ServerResponse, stop: () => Promise<void>) => void | Promise<void>,
) {
  const server = createServer((request, response) => {
    request.resume();
    if (request.url === '/version') return void response.end(JSON.stringify(VERSION));
    if (request.url === '/info') return void response.end('{}');
    if (request.url?.startsWith('/build') === true) return void answer(response.writeHead(200), stop);
    response.writeHead(request.url === '/_ping' ? 200 : 404).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const dockerHost = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const log: string[] = [];
  const builder = dockerEngineBuilder({ dockerHost, registry: new RegistryClient(), maxLogBytes: 1_000_000 });
  const error: unknown = await builder
    .build(REQUEST, { onProgress: (event) => log.push(event.text) })
    .catch((reason: unknown) => reason)
    .finally(stop);
  return { error, log };
}

describe('dockerEngineBuilder() with an engine that misbehaves', () => {
  test('reads an error in a last line without a newline', async () => {
    const { error } = await scripted(
      (response) => void response.end('{"stream":"Step 1/3 : FROM scratch\\n"}\n{"error":"boom"}'),
    );
    expect(error).toMatchObject({ code: 'BUILD_FAILED', details: { line: 1 } });
    expect(String(error)).toContain('boom');
  });

  test('does not take an answer that ends without an image for success', async () => {
    const { error } = await scripted(
      (response) => void response.end('{"stream":"Step 1/3 : FROM scratch\\n"}\n'),
    );
    expect(error).toMatchObject({ code: 'ENGINE_LOST' });
  });

  test('tells an engine that dies in the middle from a build that fails', async () => {
    const { error } = await scripted((response) => {
      response.write('{"stream":"Step 1/3 : FROM scratch\\n"}\n', () => response.destroy());
    });
    expect(error).toMatchObject({ code: 'ENGINE_LOST' });
  });

  test('tells an engine that is shut down, which kills the build first, from a build that fails', async () => {
    const killed = '{"errorDetail":{"code":137,"message":"returned a non-zero code: 137"}}\n';
    const shutDown = await scripted((response, stop) => void response.end(killed, () => void stop()));
    expect(shutDown.error).toMatchObject({ code: 'ENGINE_LOST' });
    const alive = await scripted((response) => void response.end(killed));
    expect(alive.error).toMatchObject({ code: 'BUILD_FAILED', details: { exitCode: 137 } });
  });

  test('does not believe an image it cannot find', async () => {
    const { error } = await scripted((response) => void response.end(`{"aux":{"ID":"${ID}"}}\n`));
    expect(error).toMatchObject({ code: 'BUILD_FAILED', details: { built: ID } });
  });

  test('passes on what is no JSON as log, without control characters', async () => {
    const lines = [
      'not json',
      '{"stream":"\\u001b[31mred\\u001b[0m \\u0007bell\\n"}',
      '[1]',
      'null',
      '{"stream":7}',
    ];
    const { log } = await scripted((response) => void response.end(lines.join('\n')));
    expect(log).toEqual(['not json', 'red  bell']);
  });

  test('joins characters that were cut', async () => {
    const bytes = Buffer.from('{"stream":"für\\n"}\n');
    const { log } = await scripted(async (response) => {
      for (const byte of bytes) {
        response.write(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    });
    expect(log).toEqual(['für']);
  });

  test('stops reading a log without end, and a line without end', async () => {
    for (const text of ['{"stream":"x"}\n', 'x']) {
      const { error } = await scripted((response) => {
        const more = () => {
          while (!response.destroyed && response.write(text.repeat(10_000)));
          if (!response.destroyed) response.once('drain', more);
        };
        more();
      });
      expect(error).toMatchObject({ code: 'BUILD_LIMIT_EXCEEDED' });
    }
  });
});

describe('dockerEngineBuilder() over TCP', () => {
  test("shows the engine its certificate, and asks for the engine's", async () => {
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-tls-'));
    // One certificate is authority, server and client.
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
        ...[
          '-keyout',
          'key.pem',
          '-out',
          'cert.pem',
          '-subj',
          '/CN=test',
          '-addext',
          'subjectAltName=IP:127.0.0.1',
        ],
      ],
      { cwd: directory, stdio: 'ignore' },
    );
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => readFileSync(join(directory, name), 'utf8'));
    rmSync(directory, { recursive: true });
    const server = createTlsServer(
      { key, cert, ca: cert, requestCert: true, rejectUnauthorized: true },
      (_, response) => {
        response.end(JSON.stringify(VERSION));
      },
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const dockerHost = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const probe = (tls: EngineTls | undefined) =>
      dockerEngineBuilder({ dockerHost, tls, registry: new RegistryClient() }).probe();
    expect(await probe({ ca: cert, cert, key })).toMatchObject({ version: VERSION.Version });
    await expect(probe({ ca: cert })).rejects.toThrow(
      expect.objectContaining({ code: 'ENGINE_UNREACHABLE' }),
    );
    await expect(probe({ cert, key })).rejects.toThrow(
      expect.objectContaining({ code: 'ENGINE_UNREACHABLE' }),
    );
    await expect(probe(undefined)).rejects.toThrow(expect.objectContaining({ code: 'ENGINE_LOST' }));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('decodeBuildkitTrace()', () => {
  const field = (number: number, value: string | Buffer) => {
    const bytes = Buffer.from(value);
    return Buffer.concat([Buffer.of(number * 8 + 2, bytes.length), bytes]);
  };

  test('reads steps, their errors and what they print', () => {
    const digest = digestOf('x');
    const vertex = Buffer.concat([
      field(1, digest),
      field(3, '[2/2] RUN x'),
      Buffer.of(4 * 8, 1),
      field(7, 'exit code: 1'),
    ]);
    const log = Buffer.concat([field(1, digest), Buffer.of(3 * 8, 1), field(4, 'out\n')]);
    const { vertexes, logs } = decodeBuildkitTrace(
      Buffer.concat([field(1, vertex), field(3, log)]).toString('base64'),
    );
    expect(vertexes).toEqual([{ digest, name: '[2/2] RUN x', error: 'exit code: 1' }]);
    expect(logs.map(({ bytes, ...rest }) => ({ ...rest, text: Buffer.from(bytes).toString() }))).toEqual([
      { vertex: digest, text: 'out\n' },
    ]);
  });

  test('survives any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const { vertexes, logs } = decodeBuildkitTrace(Buffer.from(bytes).toString('base64'));
        expect(vertexes.length + logs.length).toBeLessThanOrEqual(bytes.length);
      }),
    );
    expect(decodeBuildkitTrace({})).toEqual({ vertexes: [], logs: [] });
  });
});
