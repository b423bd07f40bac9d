import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { ScanPool } from './scan-pool.ts';

const { signal } = new AbortController();

async function* chunks(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

describe('ScanPool', () => {
  test('ScanPool.open() gives no pool when the worker cannot start', async () => {
    expect(await ScanPool.open(2, new URL('./no-such-worker.js', import.meta.url))).toBeUndefined();
  });

  test('ScanPool scans one layer after another in each thread', async () => {
    const pool = (await ScanPool.open(1))!;
    try {
      for (const size of [0, 1024, 5 * 2 ** 20]) {
        const archive = new Uint8Array(size);
        const scan = await pool.scan(chunks(archive), { digest: digestOf(archive) }, signal);
        expect(scan.uncompressedSize).toBe(size);
      }
    } finally {
      pool.close();
    }
  });

  test('ScanPool reports a thread that dies', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'imagevet-pool-'));
    try {
      const worker = join(directory, 'worker.mjs');
      writeFileSync(
        worker,
        `import { parentPort } from 'node:worker_threads';
         parentPort.on('message', () => { throw new Error('boom'); });
         parentPort.postMessage({ type: 'ready' });`,
      );
      const pool = (await ScanPool.open(1, pathToFileURL(worker)))!;
      const endless = async function* () {
        for (;;) yield new Uint8Array(65_536);
      };
      await expect(pool.scan(endless(), {}, signal)).rejects.toMatchObject({
        code: 'LIMIT_EXCEEDED',
        cause: { message: 'boom' },
      });
      pool.close();
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
