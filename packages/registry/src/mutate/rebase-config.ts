import { historyExplainsLayers } from '../oci/config.ts';
import type { ExecutionConfig, HistoryEntry, ImageConfig } from '../oci/types.ts';

/** A config and the members on which image and new base disagree. */
export interface MergedExecution {
  readonly execution: Document;
  /** What both the image and the new base changed, as `Env.PATH` or `User`; the image's value was kept. */
  readonly conflicts: readonly string[];
}

type Document = Readonly<Record<string, unknown>>;

const VALUES = ['User', 'WorkingDir', 'StopSignal', 'Entrypoint', 'Cmd', 'Shell', 'Healthcheck'] as const;
const MAPS = ['Labels', 'ExposedPorts', 'Volumes'] as const;

/**
 * Merges what an image inherited from its old base with what it would have inherited from the new one. A value the image
 * has from the old base becomes the new base's; one of its own stays. ONBUILD is not inherited, so it stays too.
 */
export function mergeExecution(
  image: ExecutionConfig | undefined,
  oldBase: ExecutionConfig | undefined,
  newBase: ExecutionConfig | undefined,
): MergedExecution {
  const [own, before, after] = [image ?? {}, oldBase ?? {}, newBase ?? {}];
  const execution: Record<string, unknown> = { ...own };
  const conflicts: string[] = [];
  for (const name of VALUES) {
    const chosen = choose(own[name], before[name], after[name], () => conflicts.push(name));
    if (chosen === undefined) delete execution[name];
    else execution[name] = chosen;
  }
  const conflict = (map: string) => (key: string) => conflicts.push(`${map}.${key}`);
  for (const name of MAPS) {
    const merged = mergeMaps(own[name], before[name], after[name], conflict(name));
    if (merged.size > 0 || own[name]) execution[name] = Object.fromEntries(merged);
  }
  const env = mergeMaps(...([own.Env, before.Env, after.Env].map(mapOf) as Triple), conflict('Env'));
  if (env.size > 0 || own.Env) execution.Env = [...env].map(([name, value]) => `${name}${value}`);
  return { execution, conflicts };
}

/**
 * The history of an image whose first `baseLayers` layers were replaced, or undefined when one of the histories does not
 * say which entry made which layer.
 */
export function rebaseHistory(
  image: ImageConfig,
  oldBase: ImageConfig,
  newBase: ImageConfig,
): readonly HistoryEntry[] | undefined {
  const [own = [], before = [], after = []] = [image.history, oldBase.history, newBase.history];
  if (!explains(own, image) || !explains(after, newBase)) return undefined;
  const isPrefix = explains(before, oldBase) && before.every((entry, index) => same(entry, own[index]));
  return [...after, ...own.slice(isPrefix ? before.length : lengthOf(own, oldBase.rootfs.diff_ids.length))];
}

type Values = Readonly<Record<string, unknown>> | null | undefined;
type Triple = [Values, Values, Values];

function choose(own: unknown, before: unknown, after: unknown, onConflict: () => void): unknown {
  if (same(own, before)) return after;
  if (!same(before, after) && !same(own, after)) onConflict();
  return own;
}

/** Keys in the new base's order, then the image's own. */
function mergeMaps(
  own: Values,
  before: Values,
  after: Values,
  onConflict: (key: string) => void,
): Map<string, unknown> {
  const [mine, old, now] = [own, before, after].map((values) => new Map(Object.entries(values ?? {})));
  const merged = new Map<string, unknown>();
  for (const key of new Set([...now!.keys(), ...mine!.keys()])) {
    const [own, before, after] = [mine!.get(key), old!.get(key), now!.get(key)];
    if (identical(own, before)) {
      if (now!.has(key)) merged.set(key, after);
    } else if (mine!.has(key)) {
      merged.set(key, own);
      if (!identical(before, after) && !identical(own, after)) onConflict(key);
    }
  }
  return merged;
}

/** `NAME=value` by name; the value keeps its `=`, and a name without one has none. */
function mapOf(env: readonly string[] | null | undefined): Values {
  return Object.fromEntries(
    (env ?? []).map((text) => {
      const equals = text.indexOf('=');
      return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals)];
    }),
  );
}

function explains(history: readonly HistoryEntry[], { rootfs }: ImageConfig): boolean {
  return historyExplainsLayers({ history, rootfs });
}

/** How many entries it takes to make this many layers. */
function lengthOf(history: readonly HistoryEntry[], layers: number): number {
  let left = layers;
  const last = history.findIndex((entry) => entry.empty_layer !== true && --left === 0);
  return last < 0 ? history.length : last + 1;
}

/** Docker writes an empty text for what is not set. */
function same(left: unknown, right: unknown): boolean {
  return JSON.stringify(left || null) === JSON.stringify(right || null);
}

/** In a map an empty text is a value. */
function identical(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
