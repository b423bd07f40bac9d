import type { Digest, OperationOptions, Resolver } from '@imagevet/registry';
import pLimit from 'p-limit';
import { CoreError } from '../errors.ts';
import type { Lineage, SourceHost } from '../lineage/types.ts';
import { ask } from './ask.ts';
import { sourceAsker } from './ask-source.ts';
import { compareNames } from './compare-names.ts';
import { compareSources } from './compare-sources.ts';
import type { Finding } from './finding.ts';
import type { DriftReport, RefReader } from './types.ts';
import { watchedNames } from './watched-names.ts';
import { watchedSources } from './watched-sources.ts';

/** Each name costs one small answer; more at a time than this and a public registry slows its caller down. */
export const DEFAULT_CONCURRENCY = 8;

/** Options of {@link checkDrift}. */
export interface CheckDriftOptions extends OperationOptions {
  /** Where references are resolved; a `RegistryClient` asks by HEAD. */
  readonly source: Resolver;
  /**
   * Reads repositories; without it none is asked, and without `refOf` no branch or tag is. Its answers are as fresh as its
   * own cache. @defaultValue none
   */
  readonly sources?: SourceHost & Partial<RefReader>;
  /** Questions under way at a time, 1 or more. @defaultValue 8 */
  readonly concurrency?: number;
}

/**
 * Tells what is no longer as lineages hold it: tags that moved or are gone, bases that moved under their children, sources
 * that moved or are lost. Asks one question for each distinct reference, however many lineages share it, and reads no image. What could not be asked is an
 * event too, never silence.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for a concurrency below 1.
 */
export async function checkDrift(
  lineages: readonly Lineage[],
  options: CheckDriftOptions,
): Promise<DriftReport> {
  return (await look(lineages, options)).report;
}

/** One look at everything lineages name. */
export interface Look {
  readonly report: DriftReport;
  readonly findings: readonly Finding[];
}

/** As {@link checkDrift}, with what `watch()` keeps. `baselines` say what names were that no lineage can say it of. */
export async function look(
  lineages: readonly Lineage[],
  options: CheckDriftOptions,
  baselines: ReadonlyMap<string, Digest> = new Map(),
): Promise<Look> {
  const { source, signal, concurrency = DEFAULT_CONCURRENCY } = options;
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    const message = `concurrency: expected a whole number above 0, received ${concurrency}`;
    throw new CoreError('INVALID_OPTIONS', message);
  }
  signal?.throwIfAborted();
  const limit = pLimit(concurrency);
  const askSource = sourceAsker(options.sources, { signal });
  const [names, places] = await Promise.all([
    Promise.all(
      watchedNames(lineages).map(async (name) => {
        const answer = await limit(() => ask(name, source, { signal }));
        const baseline = baselines.get(name.text);
        return { ...name, answer, ...(baseline === undefined ? {} : { baseline }) };
      }),
    ),
    Promise.all(
      watchedSources(lineages).map(async (place) => ({
        ...place,
        answer: await limit(() => askSource(place)),
      })),
    ),
  ]);
  const { findings: moved, references } = compareNames(names);
  const { findings: sourced, states: sources } = compareSources(places);
  const findings = [...moved, ...sourced];
  return { report: { events: findings.map(({ event }) => event), references, sources }, findings };
}
