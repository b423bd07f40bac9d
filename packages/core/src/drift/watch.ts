import { setTimeout as delay } from 'node:timers/promises';
import { type Digest, formatReference, type OperationOptions } from '@imagevet/registry';
import pLimit from 'p-limit';
import { CoreError } from '../errors.ts';
import type { Lineage } from '../lineage/types.ts';
import { failureOf } from './ask.ts';
import { type CheckDriftOptions, DEFAULT_CONCURRENCY, type Look, look } from './check-drift.ts';
import type { Finding } from './finding.ts';
import type { DriftEvent, DriftFailure } from './types.ts';

/** Options of {@link watch}. */
export interface WatchOptions extends CheckDriftOptions {
  /**
   * Longest time between two looks, in milliseconds, 1 to 2147483647; each wait is up to a tenth shorter, so that many
   * watchers do not ask at once. @defaultValue 3600000
   */
  readonly intervalMs?: number;
  /**
   * Resolves a lineage again once something it holds has moved: the canonical reference of its root, for its platform.
   * What it returns is watched in the old one's place.
   */
  readonly resolve?: (
    reference: string,
    options: OperationOptions & { readonly platform: Lineage['platform'] },
  ) => Promise<Lineage>;
}

/** An event, and the lineages it concerns. */
export interface DriftNotice {
  readonly event: DriftEvent;
  /** RFC 3339 time of the look that saw it. */
  readonly seenAt: string;
  readonly lineages: readonly DriftedLineage[];
}

/** A lineage that is no longer so. */
export interface DriftedLineage {
  /** As it was before the event. */
  readonly lineage: Lineage;
  /** As it is now; absent without `resolve`, when nothing moved that could be resolved, and after a failure. */
  readonly now?: Lineage;
  /** Why it could not be resolved again. The old lineage stays watched. */
  readonly failure?: DriftFailure;
}

const MAX_INTERVAL_MS = 2 ** 31 - 1;

/**
 * Watches lineages: looks again and again as `checkDrift()` does, and yields what is new, each event once for as long as it
 * lasts. What cannot be asked is one event until it answers again; nothing but an abort ends the watch.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for an interval or a concurrency out of range; `signal.reason` once aborted.
 */
export async function* watch(
  lineages: readonly Lineage[],
  options: WatchOptions,
): AsyncGenerator<DriftNotice, never, void> {
  const { intervalMs = 3_600_000, signal } = options;
  if (!Number.isSafeInteger(intervalMs) || intervalMs < 1 || intervalMs > MAX_INTERVAL_MS) {
    const message = `intervalMs: expected a whole number from 1 to ${MAX_INTERVAL_MS}, received ${intervalMs}`;
    throw new CoreError('INVALID_OPTIONS', message);
  }
  let watched = [...new Set(lineages)];
  let standing: readonly Finding[] = [];
  const baselines = new Map<string, Digest>();
  for (;;) {
    const seen = await look(watched, options, baselines);
    const seenAt = new Date().toISOString();
    for (const { reference, now } of seen.report.references) {
      if (now !== undefined && !baselines.has(reference)) baselines.set(reference, now);
    }
    const known = new Set(standing.map(({ key }) => key));
    standing = [...seen.findings, ...unseen(standing, seen)];
    const renewing = renewals(options);
    for (const { event, key, lineages: concerned } of seen.findings) {
      if (known.has(key)) continue;
      const drifted = isMove(event)
        ? await Promise.all(concerned.map(renewing))
        : concerned.map((lineage) => ({ lineage }));
      const renewed = new Map(drifted.map((each: DriftedLineage) => [each.lineage, each.now]));
      watched = watched.map((lineage) => renewed.get(lineage) ?? lineage);
      signal?.throwIfAborted();
      yield { event, seenAt, lineages: drifted };
    }
    await pause(intervalMs, signal);
  }
}

/** What stood before and could not be looked at now still stands: an outage must not make it new again. */
function unseen(standing: readonly Finding[], { findings }: Look): readonly Finding[] {
  const keys = new Set(findings.map(({ key }) => key));
  const failed = new Set(findings.filter(({ event }) => isFailure(event)).flatMap(({ needs }) => needs));
  return standing.filter(
    ({ event, key, needs }) => !keys.has(key) && !isFailure(event) && needs.some((need) => failed.has(need)),
  );
}

function isFailure({ type }: DriftEvent): boolean {
  return type === 'unreachable' || type === 'source-unreachable';
}

function isMove({ type }: DriftEvent): boolean {
  return type === 'tag-moved' || type === 'base-moved' || type === 'source-moved';
}

/** Resolves lineages again, each once, however many events concern it. */
function renewals(options: WatchOptions): (lineage: Lineage) => Promise<DriftedLineage> {
  const limit = pLimit(options.concurrency ?? DEFAULT_CONCURRENCY);
  const started = new Map<Lineage, Promise<DriftedLineage>>();
  return (lineage) => {
    const renewal = started.get(lineage) ?? limit(() => renew(lineage, options));
    started.set(lineage, renewal);
    return renewal;
  };
}

async function renew(lineage: Lineage, { resolve, signal }: WatchOptions): Promise<DriftedLineage> {
  const root = lineage.nodes.find(({ id }) => id === lineage.root);
  if (resolve === undefined || root === undefined) return { lineage };
  signal?.throwIfAborted();
  try {
    const { platform } = lineage;
    return { lineage, now: await resolve(formatReference(root.reference), { signal, platform }) };
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    return { lineage, failure: failureOf(error) };
  }
}

async function pause(intervalMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(intervalMs * (1 - Math.random() / 10), undefined, { signal });
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    throw error;
  }
}
