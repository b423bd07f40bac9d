import { type ImageReference, ImagevetError, parseReference, type Repository } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';

/** Which internal name the rebuild of a public image gets. */
export interface NameRule {
  /**
   * Canonical names it is for: one repository (`docker.io/library/php`), all below a path (`docker.io/library/*`), or every image
   * (`*`).
   */
  readonly from: string;
  /**
   * The internal name, with its registry: `registry.corp/vetted/library/*`. The `*` is what that of `from` stands for; for
   * `from: '*'` the whole public name, without `docker.io`.
   */
  readonly to: string;
}

/** Finds the internal repository of a public image: that of the first rule that takes it. */
export type InternalNames = (image: Repository) => Repository | undefined;

/**
 * @throws {@link CoreError} `INVALID_OPTIONS` for a rule that names no repositories, or has a `*` elsewhere than at its end; the names
 * throw `NAME_UNMAPPED` for an image of whose name the rule that takes it makes no name of a repository
 */
export function readNameRules(rules: readonly NameRule[]): InternalNames {
  const readers = rules.map(readRule);
  return (image) => {
    for (const read of readers) {
      const named = read(image);
      if (named !== undefined) return named;
    }
    return undefined;
  };
}

function readRule({ from, to }: NameRule, index: number): InternalNames {
  const refuse = (problem: string) =>
    new CoreError('INVALID_OPTIONS', `name rule ${index + 1}, ${from} to ${to}: ${problem}`, {
      hint: "A rule is { from: 'docker.io/library/*', to: 'registry.corp/vetted/library/*' }.",
    });
  const all = from.endsWith('*');
  if (all !== to.endsWith('*')) throw refuse('both names must end with *, or none');
  const begins = all ? from.slice(0, -1) : from;
  // Two parts stand for *: of Docker Hub a single one would be read as below `library`.
  const example = all ? `${begins}x/x` : from;
  if (begins !== '' && nameOf(repositoryIn(example)) !== example) {
    throw refuse('from is no canonical name of repositories');
  }
  const target = repositoryIn(all ? `${to.slice(0, -1)}x` : to);
  if (nameOf(target) !== (all ? `${to.slice(0, -1)}x` : to)) throw refuse('to is no name with a registry');
  if (begins !== '' && all && !begins.endsWith('/')) throw refuse('* must stand for whole parts of a name');
  if (all && !to.endsWith('/*')) throw refuse('* must stand for whole parts of a name');
  return (image) => {
    const name = `${image.registry}/${image.repository}`;
    if (!all) return name === from ? target : undefined;
    if (!name.startsWith(begins)) return undefined;
    const rest = begins === '' ? pathOf(image) : name.slice(begins.length);
    const named = `${to.slice(0, -1)}${rest}`;
    const repository = repositoryIn(named);
    // The next rule might give it a name nobody meant for it.
    if (nameOf(repository) !== named) {
      throw new CoreError(
        'NAME_UNMAPPED',
        `name rule ${index + 1}, ${from} to ${to}, makes ${named} of ${name}`,
        {
          hint: 'That is no name of a repository. Give the image a rule of its own before this one.',
          details: { image: name },
        },
      );
    }
    return repository;
  };
}

/** Public `docker.io/library/php` is `library/php`; other registries keep their host in the path. */
export function pathOf({ registry, repository }: Repository): string {
  return registry === 'docker.io' ? repository : `${registry.replaceAll(/[^a-z0-9.]+/g, '-')}/${repository}`;
}

function nameOf(image: Repository | undefined): string | undefined {
  return image === undefined ? undefined : `${image.registry}/${image.repository}`;
}

function repositoryIn(name: string): Repository | undefined {
  try {
    const read: ImageReference = parseReference(name);
    if (read.tag !== undefined || read.digest !== undefined) return undefined;
    return { registry: read.registry, repository: read.repository };
  } catch (error) {
    if (ImagevetError.is(error)) return undefined;
    throw error;
  }
}
