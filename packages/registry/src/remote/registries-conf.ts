import { join } from 'node:path';
import { RegistryError } from '../errors.ts';
import type { Repository } from '../reference.ts';
import { invalid, namesIn, readToml, type TomlTable } from './config-file.ts';
import { defaultUrl, type HostSource, type RegistryEndpoint } from './endpoints.ts';

/** Options of {@link readRegistriesConf}. */
export interface ReadRegistriesConfOptions {
  /** The file, normally `/etc/containers/registries.conf`. */
  readonly file: string;
  /** Folders whose `*.conf` files are read after it, by name, each overriding what came before. @defaultValue none */
  readonly directories?: readonly string[];
}

/** What a `registries.conf` says. */
export interface RegistriesConf extends HostSource {
  /** Registries a name without one is looked for in, in this order. */
  readonly unqualifiedSearchRegistries: readonly string[];
}

/** One `[[registry]]`. */
interface Rule {
  readonly prefix: string;
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly Mirror[];
}

interface Mirror {
  readonly location: string;
  readonly insecure: boolean;
  readonly pullFromMirror: NonNullable<RegistryEndpoint['pullFromMirror']>;
}

/**
 * Reads the registry configuration of podman, skopeo and buildah, version 2: mirrors, other locations, insecure and
 * blocked registries. The longest prefix that fits a repository decides. Whatever is not understood is an error, because
 * a block that is overlooked would not block.
 *
 * @throws {@link RegistryError} `INVALID_HOSTS_FILE`, also when `file` is not there
 * @see containers-registries.conf(5)
 */
export async function readRegistriesConf(options: ReadRegistriesConfOptions): Promise<RegistriesConf> {
  const main = await readToml(options.file);
  if (main === undefined) throw invalid(options.file, 'it is not there');
  const rules = new Map<string, Rule>();
  let search: readonly string[] = [];
  const take = (file: TomlTable) => {
    for (const rule of rulesOf(file)) rules.set(rule.prefix, rule);
    if (file.has('unqualified-search-registries')) search = file.texts('unqualified-search-registries');
  };
  take(main);
  for (const directory of options.directories ?? []) {
    for (const name of await namesIn(directory)) {
      const file = name.endsWith('.conf') ? await readToml(join(directory, name)) : undefined;
      if (file !== undefined) take(file);
    }
  }
  const byLength = [...rules.values()].sort((a, b) => b.prefix.length - a.prefix.length);
  return {
    unqualifiedSearchRegistries: search,
    endpoints: (repository) => endpointsOf(byLength, repository),
  };
}

function endpointsOf(rules: readonly Rule[], { registry, repository }: Repository) {
  const name = repository === '' ? registry : `${registry}/${repository}`;
  for (const rule of rules) {
    const length = matched(rule.prefix, name);
    if (length === undefined) continue;
    if (rule.blocked) {
      throw new RegistryError('REGISTRY_BLOCKED', `${name}: ${rule.prefix} is blocked by registries.conf`, {
        hint: 'Whoever keeps that file does not want images from there.',
        details: { prefix: rule.prefix },
      });
    }
    const rest = name.slice(length);
    const mirrors = rule.mirrors.flatMap(({ location, insecure, pullFromMirror }) =>
      at(`${location}${rest}`, insecure, { mirror: true, pullFromMirror }),
    );
    return [...mirrors, ...at(rule.location === '' ? name : `${rule.location}${rest}`, rule.insecure, {})];
  }
  return undefined;
}

/** How much of a name a prefix covers. `*.corp` covers the hosts below `corp`; a prefix without a port covers every port. */
function matched(prefix: string, name: string): number | undefined {
  const wildcard = prefix.startsWith('*.');
  const fixed = wildcard ? prefix.slice(1) : prefix;
  const start = name.indexOf(fixed);
  if (wildcard ? start < 0 || name.slice(0, start).includes('/') : start !== 0) return undefined;
  const end = start + fixed.length;
  return [undefined, '/', ':'].includes(name[end]) ? end : undefined;
}

/** A location as endpoints; an insecure one by https that is not verified, then by http, as podman tries them. */
function at(
  location: string,
  insecure: boolean,
  how: Pick<RegistryEndpoint, 'mirror' | 'pullFromMirror'>,
): readonly RegistryEndpoint[] {
  const slash = location.indexOf('/');
  const host = slash < 0 ? location : location.slice(0, slash);
  const repository = slash < 0 ? {} : { repository: location.slice(slash + 1) };
  if (host === 'docker.io') return [{ url: defaultUrl(host), ...repository, ...how }];
  const secure = { url: `https://${host}`, ...repository, ...how };
  return insecure
    ? [
        { ...secure, skipVerify: true },
        { ...secure, url: `http://${host}` },
      ]
    : [secure];
}

function rulesOf(file: TomlTable): readonly Rule[] {
  if (file.has('registries')) {
    throw invalid(file.path, 'it is of version 1, which is not read: write [[registry]] entries');
  }
  const rules = file.tables('registry').map((table) => {
    const location = locationOf(table, 'location');
    const prefix = locationOf(table, 'prefix') || location;
    if (prefix === '') throw invalid(file.path, 'a [[registry]] has neither prefix nor location');
    // A tag or digest after the path narrows an entry to one image.
    if (/@|:[^/]*$/.test(prefix.includes('/') ? prefix : '')) {
      throw invalid(file.path, `prefix ${prefix} names one image, which is not supported`);
    }
    if (location === '' && !prefix.startsWith('*.')) {
      throw invalid(file.path, `prefix ${prefix} has no location`);
    }
    return {
      prefix,
      location,
      insecure: table.flag('insecure') ?? false,
      blocked: table.flag('blocked') ?? false,
      mirrors: table
        .tables('mirror')
        .map((mirror) => mirrorOf(mirror, table.flag('mirror-by-digest-only') ?? false)),
    };
  });
  return distinct(rules, file.path);
}

function mirrorOf(table: TomlTable, byDigestOnly: boolean): Mirror {
  const location = locationOf(table, 'location');
  if (location === '') throw invalid(table.path, 'a [[registry.mirror]] has no location');
  const wanted = table.text('pull-from-mirror') ?? '';
  if (!['', 'all', 'digest-only', 'tag-only'].includes(wanted)) {
    throw invalid(table.path, `pull-from-mirror of ${location} is neither all, digest-only nor tag-only`);
  }
  if (byDigestOnly && wanted !== '') {
    throw invalid(table.path, `mirror ${location} sets pull-from-mirror below mirror-by-digest-only`);
  }
  const pullFromMirror = (wanted || (byDigestOnly ? 'digest-only' : 'all')) as Mirror['pullFromMirror'];
  return { location, insecure: table.flag('insecure') ?? false, pullFromMirror };
}

/** The first entry of a prefix counts; entries of one location may not disagree about what is refused. */
function distinct(rules: readonly Rule[], path: string): readonly Rule[] {
  const byPlace = new Map<string, Rule>();
  const byPrefix = new Map<string, Rule>();
  for (const rule of rules) {
    const place = rule.location || rule.prefix;
    const other = byPlace.get(place) ?? rule;
    if (other.blocked !== rule.blocked || other.insecure !== rule.insecure) {
      throw invalid(path, `two [[registry]] entries disagree whether ${place} is blocked or insecure`);
    }
    byPlace.set(place, rule);
    if (!byPrefix.has(rule.prefix)) byPrefix.set(rule.prefix, rule);
  }
  return [...byPrefix.values()];
}

function locationOf(table: TomlTable, name: 'location' | 'prefix'): string {
  const text = (table.text(name) ?? '').replace(/\/{1,8}$/, '');
  if (text.includes('://')) throw invalid(table.path, `${name} ${text} has a scheme`);
  return text;
}
