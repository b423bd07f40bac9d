import { ImagevetError, type OperationOptions } from '@imagevet/registry';
import { CoreError } from '../errors.ts';
import type { Builder } from './types.ts';

/** Options of {@link builderPool}. */
export interface BuilderPoolOptions {
  /** Builds one builder is given at the same time. @defaultValue 1 */
  readonly each?: number;
  /** How long a builder whose engine went away is left alone, in milliseconds. @defaultValue 30000 */
  readonly restMs?: number;
}

interface Member {
  readonly builder: Builder;
  running: number;
  /** Not given anything before, as milliseconds since 1970. */
  restsUntil: number;
}

/** What says that an engine is not there. */
const GONE: ReadonlySet<string> = new Set(['ENGINE_LOST', 'ENGINE_UNREACHABLE']);

/**
 * Makes one builder of several: each build goes to the one with the least to do. A builder whose engine goes away is left
 * alone for a while, and the build fails with `ENGINE_LOST`, which `rebuild()` tries again, then on another. Give
 * `rebuild()` a concurrency of builders times `each`.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for no builder
 */
export function builderPool(builders: readonly Builder[], options: BuilderPoolOptions = {}): Builder {
  const { each = 1, restMs = 30_000 } = options;
  const [first] = builders;
  if (first === undefined || !Number.isSafeInteger(each) || each < 1) {
    throw new CoreError(
      'INVALID_OPTIONS',
      'a pool needs a builder, and a positive whole number of builds for each',
    );
  }
  const members = builders.map((builder): Member => ({ builder, running: 0, restsUntil: 0 }));
  const queue: (() => void)[] = [];
  const free = () => {
    const now = performance.now();
    const awake = members.filter(({ restsUntil }) => restsUntil <= now);
    // When every engine went away, one is asked all the same: it may be back, and its error says what is wrong.
    return (awake.length > 0 ? awake : members)
      .filter(({ running }) => running < each)
      .sort((a, b) => a.running - b.running || a.restsUntil - b.restsUntil)[0];
  };
  const lease = async ({ signal }: OperationOptions): Promise<Member> => {
    for (;;) {
      signal?.throwIfAborted();
      const member = free();
      if (member !== undefined) {
        member.running += 1;
        return member;
      }
      await turn(queue, signal);
    }
  };
  if (builders.some(({ variant }) => variant !== first.variant)) {
    throw new CoreError('INVALID_OPTIONS', 'the builders of a pool build differently', {
      hint: 'Give all of them the same settings, such as sourceDateEpoch.',
    });
  }
  return {
    name: `pool of ${builders.length}`,
    ...(first.variant === undefined ? {} : { variant: first.variant }),
    async probe(operation) {
      const answers = await Promise.allSettled(builders.map((builder) => builder.probe(operation)));
      const there = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
      const [one] = there;
      const refused = answers.find((answer) => answer.status === 'rejected');
      if (one === undefined) throw refused?.reason;
      const versions = [...new Set(there.map(({ name, version }) => `${name} ${version}`))];
      return { ...one, name: `${there.length} of ${builders.length} engines`, version: versions.join(', ') };
    },
    async build(request, operation = {}) {
      const member = await lease(operation);
      try {
        return await member.builder.build(request, operation);
      } catch (error) {
        if (isGone(error)) member.restsUntil = performance.now() + restMs;
        throw error;
      } finally {
        member.running -= 1;
        queue.shift()?.();
      }
    },
    ...(first.find === undefined ? {} : { find: first.find.bind(first) }),
    ...(first.importImage === undefined ? {} : { importImage: first.importImage.bind(first) }),
    async release() {
      await Promise.all(builders.map((builder) => builder.release?.()));
    },
  };
}

/** Waits in line. Who gives up leaves it. */
async function turn(queue: (() => void)[], signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const leave = () => {
    const place = queue.indexOf(resolve);
    if (place >= 0) queue.splice(place, 1);
    // Its turn had come already: the next may go.
    else queue.shift()?.();
    reject(signal?.reason);
  };
  queue.push(resolve);
  signal?.addEventListener('abort', leave, { once: true });
  try {
    await promise;
  } finally {
    signal?.removeEventListener('abort', leave);
  }
}

function isGone(error: unknown): error is ImagevetError {
  return ImagevetError.is(error) && GONE.has(error.code);
}
