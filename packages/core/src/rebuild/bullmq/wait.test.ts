import { expect, test } from 'vitest';
import { Wait } from './wait.ts';

test('an abort during a look rejects once, and leaves no promise behind that nobody waits for', async () => {
  const abort = new AbortController();
  const reason = new Error('enough');
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', note);
  try {
    const wait = new Wait(60_000, undefined, abort.signal);
    void wait.next();
    const look = wait.unlessAborted(new Promise<never>(() => {}));
    abort.abort(reason);
    await expect(look).rejects.toBe(reason);
    wait.end();
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  } finally {
    process.off('unhandledRejection', note);
  }
});
