import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createSecureServer } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificates, type TestCertificates } from '../testing/tls.ts';
import { chunksOf } from './chunks.ts';
import { ReceiveMemory } from './receive-memory.ts';
import { Transport } from './transport.ts';

let certificates: TestCertificates;
beforeAll(async () => {
  certificates = await makeCertificates();
});
const servers: { close(): unknown }[] = [];
afterAll(() => servers.map((server) => server.close()));

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

/** Sends every connection the same pieces. */
async function serve(pieces: readonly Uint8Array[], tls: boolean): Promise<number> {
  const send = async (socket: Socket) => {
    socket.on('error', () => {});
    for (const piece of pieces) {
      if (!socket.write(piece)) await once(socket, 'drain');
    }
    socket.end();
  };
  return listen(tls ? createTlsServer(certificates.server, send) : createServer(send));
}

const open = (port: number, tls: boolean, { onread }: ReceiveMemory): Socket =>
  tls
    ? connectTls({ host: '127.0.0.1', port, ca: certificates.ca, ...{ onread } })
    : connect({ host: '127.0.0.1', port, onread });

describe('ReceiveMemory', () => {
  test.each([false, true])('keeps every byte that was not given back (TLS: %s)', async (tls) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 700_000 }), { minLength: 1, maxLength: 6 }),
        fc.infiniteStream(fc.boolean()),
        fc.infiniteStream(fc.boolean()),
        async (sizes, gives, dawdles) => {
          const content = randomBytes(sizes.reduce((sum, size) => sum + size, 0));
          const pieces = sizes.map((size, index) => {
            const start = sizes.slice(0, index).reduce((sum, before) => sum + before, 0);
            return content.subarray(start, start + size);
          });
          const port = await serve(pieces, tls);
          const memory = new ReceiveMemory();
          const read = async () => {
            const copies: Buffer[] = [];
            const kept: { readonly chunk: Uint8Array; readonly copy: Buffer }[] = [];
            for await (const chunk of chunksOf(open(port, tls, memory))) {
              const copy = Buffer.from(chunk);
              copies.push(copy);
              if (gives.next().value === true) memory.release(chunk);
              else kept.push({ chunk, copy });
              if (dawdles.next().value === true) await new Promise((resolve) => setImmediate(resolve));
            }
            expect(Buffer.concat(copies).equals(content)).toBe(true);
            return kept;
          };
          const kept = await Promise.all([read(), read(), read()]);
          for (const { chunk, copy } of kept.flat()) expect(copy.equals(chunk)).toBe(true);
        },
      ),
      { numRuns: 12 },
    );
  });

  test.each([true, false])('receives again into what was given back (%s)', async (given) => {
    const size = 32 * 2 ** 20;
    const port = await serve([randomBytes(size)], false);
    const memory = new ReceiveMemory();
    const seen = new Set<ArrayBufferLike>();
    let received = 0;
    for await (const chunk of chunksOf(open(port, false, memory))) {
      seen.add(chunk.buffer);
      received += chunk.byteLength;
      if (given) memory.release(chunk);
    }
    expect(received).toBe(size);
    // What waits for the reader is held meanwhile.
    if (given) expect(seen.size).toBeLessThan(16);
    else expect(seen.size).toBeGreaterThanOrEqual(64);
  });

  test('spends no slab on a few bytes', async () => {
    const port = await serve([Buffer.from('hello')], false);
    for await (const chunk of chunksOf(open(port, false, new ReceiveMemory()))) {
      expect(Buffer.from(chunk).toString()).toBe('hello');
      expect(chunk.buffer.byteLength).toBeLessThan(128 * 1024);
    }
  });

  test('ignores bytes of other origin', () => {
    const memory = new ReceiveMemory();
    const bytes = randomBytes(64);
    const before = Buffer.from(bytes);
    memory.release(bytes);
    expect(bytes.equals(before)).toBe(true);
  });
});

describe('Transport', () => {
  test('reads from a server that speaks HTTP/2', async () => {
    const content = randomBytes(3 * 2 ** 20);
    const versions: string[] = [];
    const server = createSecureServer(certificates.server, (request, response) => {
      versions.push(request.httpVersion);
      response.end(content);
    });
    const port = await listen(server);
    const transport = new Transport({ ca: certificates.ca });
    try {
      const response = await transport.send({ method: 'GET', url: new URL(`https://127.0.0.1:${port}/x`) });
      const chunks: Uint8Array[] = [];
      for await (const chunk of response.body) chunks.push(chunk);
      expect(Buffer.concat(chunks).equals(content)).toBe(true);
      expect(versions).toEqual(['2.0']);
    } finally {
      await transport.close();
    }
  });
});
