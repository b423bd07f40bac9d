import type { ResolvedImage } from '@imagevet/registry';
import type { Attribution } from './attribution.ts';
import type { ConfigDifference } from './types.ts';

type Fields = Readonly<Record<string, unknown>>;

/** What the classic builder leaves of the container it built in; engines ignore it. */
const OF_BUILD_CONTAINER: ReadonlySet<string> = new Set([
  'Hostname',
  'Domainname',
  'Image',
  'AttachStdin',
  'AttachStdout',
  'AttachStderr',
  'Tty',
  'OpenStdin',
  'StdinOnce',
]);
/** Fields compared key by key. */
const MAPS: ReadonlySet<string> = new Set(['Labels', 'ExposedPorts', 'Volumes']);
/** Labels that name the build or the parent, so they differ by what a rebuild is. */
const EXPLAINED_LABELS: Readonly<Record<string, string>> = {
  'org.opencontainers.image.created': 'time of the build',
  'org.opencontainers.image.base.name': 'name of the parent, which was rebuilt',
  'org.opencontainers.image.base.digest': 'digest of the parent, which was rebuilt',
  'io.buildah.version': 'version of the builder, which Podman and buildah write down',
};

/**
 * Compares what the configs tell an engine to run. Empty and absent are the same; created, author and history do
 * not count.
 */
export function compareConfig(
  original: ResolvedImage,
  rebuilt: ResolvedImage,
  attribution: Attribution,
): readonly ConfigDifference[] {
  const [one, other] = [flatten(original), flatten(rebuilt)];
  const fields = [...new Set([...one.keys(), ...other.keys()])].sort();
  return fields
    .filter((field) => one.get(field) !== other.get(field))
    .map((field) => {
      const origin = attribution.ofField(field);
      return {
        field,
        ...(one.has(field) && { original: one.get(field)! }),
        ...(other.has(field) && { rebuilt: other.get(field)! }),
        ...explain(field),
        ...(origin !== undefined && { origin }),
      };
    });
}

/** One line of text for each field that says something. */
function flatten({ platform, execution }: ResolvedImage): Map<string, string> {
  const fields = new Map<string, string>();
  const set = (field: string, value: unknown) => {
    if (!isEmpty(value)) fields.set(field, typeof value === 'string' ? value : canonical(value));
  };
  for (const [name, value] of Object.entries(platform)) set(name, value);
  for (const [name, value] of Object.entries(execution as Fields)) {
    if (OF_BUILD_CONTAINER.has(name)) continue;
    if (name === 'Env' && Array.isArray(value)) setVariables(value, set);
    else if (MAPS.has(name) && isObject(value)) {
      // A port or volume says all by being there.
      for (const [key, item] of Object.entries(value))
        set(`${name}.${key}`, name === 'Labels' ? item : 'set');
    } else if (name !== 'WorkingDir' || value !== '/') set(name, value);
  }
  return fields;
}

/**
 * A variable set to nothing is still set. Of one that is set twice every value counts, as programs do not agree on which is
 * meant.
 */
function setVariables(variables: readonly unknown[], set: (field: string, value: unknown) => void): void {
  const values = new Map<string, string[]>();
  for (const variable of variables) {
    const [name = '', ...value] = String(variable).split('=');
    values.set(name, [...(values.get(name) ?? []), value.join('=')]);
  }
  for (const [name, all] of values) set(`Env.${name}`, all.map((value) => JSON.stringify(value)).join(' '));
}

function explain(field: string): { explanation?: string } {
  const label = field.startsWith('Labels.') ? field.slice(7) : '';
  const explanation = Object.hasOwn(EXPLAINED_LABELS, label) ? EXPLAINED_LABELS[label] : undefined;
  return explanation === undefined ? {} : { explanation };
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    isObject(item) ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))) : item,
  );
}
