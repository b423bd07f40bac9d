/**
 * Passes chunks on until the signal aborts, even while the source is silent.
 *
 * @throws `signal.reason` once aborted.
 */
export async function* abortable(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted();
  // One rejection at a time: racing each chunk against one long promise would keep them all in memory.
  let reject: (reason: unknown) => void = () => undefined;
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  const iterator = chunks[Symbol.asyncIterator]();
  const next = () =>
    new Promise<IteratorResult<Uint8Array>>((resolve, refuse) => {
      reject = refuse;
      signal.throwIfAborted();
      iterator.next().then(resolve, refuse);
    });
  try {
    for (let step = await next(); !step.done; step = await next()) yield step.value;
  } finally {
    signal.removeEventListener('abort', abort);
    // Not awaited: a silent source would never answer.
    Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}
