import { isIPv6 } from 'node:net';
import { type Digest, isDigest } from './digest.ts';
import { RegistryError } from './errors.ts';

/** A repository of a registry: `docker.io` and `library/php`. */
export interface Repository {
  /** Domain with optional port, as in the canonical name: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** Path below the domain: `library/php`. */
  readonly repository: string;
}

/** An image reference in canonical form; plain data. @see distribution/reference grammar */
export interface ImageReference extends Repository {
  readonly tag?: string;
  readonly digest?: Digest;
}

/** The registry a name without a domain belongs to. */
const DEFAULT_REGISTRY = 'docker.io';
const HUB_ALIASES: ReadonlySet<string> = new Set(['index.docker.io', 'registry-1.docker.io', 'docker.io']);

/** Longest path below the domain. @see distribution/reference, `RepositoryNameTotalLengthMax` */
const MAX_PATH_LENGTH = 255;
/** No valid reference is longer: domain (255), path, tag (128) and a sha512 digest. */
const MAX_LENGTH = 1024;

// distribution/reference, regexp.go. Each alternative consumes at least one character: linear time.
const DOMAIN =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const BARE_ID = /^(?:sha256:)?[a-f0-9]{64}$|^sha512:[a-f0-9]{128}$/;

/**
 * Parses an image reference as people write it into its canonical form: `php` is `docker.io/library/php`.
 * A missing tag stays missing; see {@link withDefaultTag}.
 *
 * @throws {@link RegistryError} `INVALID_REFERENCE`; `INVALID_DIGEST` for a digest of another algorithm or length.
 * @see distribution/reference, `ParseNormalizedNamed`
 */
export function parseReference(text: string): ImageReference {
  if (text.length === 0) throw invalid(text, 'it is empty');
  if (text.length > MAX_LENGTH) throw invalid(text, `it is longer than ${MAX_LENGTH} characters`);
  if (BARE_ID.test(text)) throw invalid(text, 'an id or digest alone names no repository');

  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : readDigest(text, text.slice(at + 1));
  const named = at < 0 ? text : text.slice(0, at);
  const { domain, rest } = splitDomain(named);
  const colon = rest.lastIndexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);

  if (domain.startsWith('[') && !isIPv6(domain.slice(1, domain.indexOf(']')))) {
    throw invalid(text, `${JSON.stringify(domain)} is not an IPv6 address`);
  }
  if (!DOMAIN.test(domain)) throw invalid(text, `${JSON.stringify(domain)} is not a registry host`);
  if (tag !== undefined && !TAG.test(tag))
    throw invalid(text, `${JSON.stringify(tag.slice(0, 140))} is not a tag`);
  if (path.length > MAX_PATH_LENGTH)
    throw invalid(text, `its path is longer than ${MAX_PATH_LENGTH} characters`);
  checkPath(text, path);
  const registry = HUB_ALIASES.has(domain) ? DEFAULT_REGISTRY : domain;
  return {
    registry,
    repository: registry === DEFAULT_REGISTRY && !path.includes('/') ? `library/${path}` : path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The canonical text of a reference or repository: `docker.io/library/php:8@sha256:...`. */
export function formatReference(reference: ImageReference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

/** The short text people use: `php:8` for `docker.io/library/php:8`. */
export function familiarReference(reference: ImageReference): string {
  const canonical = formatReference(reference);
  if (reference.registry !== DEFAULT_REGISTRY) return canonical;
  const path = canonical.slice(DEFAULT_REGISTRY.length + 1);
  const short = path.startsWith('library/') ? path.slice('library/'.length) : path;
  return short.split(/[:@]/)[0]?.includes('/') === true && path.startsWith('library/') ? path : short;
}

/** The reference with tag `latest` when it has neither tag nor digest. */
export function withDefaultTag(reference: ImageReference): ImageReference {
  if (reference.tag !== undefined || reference.digest !== undefined) return reference;
  return { ...reference, tag: 'latest' };
}

/** Tells whether a text is a tag. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** Tells whether a text is a repository's path below its registry. */
export function isRepositoryPath(text: string): boolean {
  return (
    text.length <= MAX_PATH_LENGTH && text.split('/').every((component) => PATH_COMPONENT.test(component))
  );
}

/** What comes before the first slash is a domain when it has a dot, a colon or an upper-case letter, or is localhost. */
function splitDomain(named: string): { readonly domain: string; readonly rest: string } {
  const slash = named.indexOf('/');
  const first = slash < 0 ? '' : named.slice(0, slash);
  const isDomain = /[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first;
  if (slash < 0 || !isDomain) return { domain: DEFAULT_REGISTRY, rest: named };
  return { domain: first, rest: named.slice(slash + 1) };
}

function checkPath(text: string, path: string): void {
  for (const component of path.split('/')) {
    if (PATH_COMPONENT.test(component)) continue;
    if (component.toLowerCase() !== component && PATH_COMPONENT.test(component.toLowerCase())) {
      throw invalid(text, 'a repository name must be lower case');
    }
    throw invalid(text, `${JSON.stringify(component)} is not a path component`);
  }
}

function readDigest(text: string, digest: string): Digest {
  if (isDigest(digest)) return digest;
  throw new RegistryError('INVALID_DIGEST', `invalid digest in image reference ${quote(text)}`, {
    hint: 'A digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal characters.',
  });
}

function invalid(text: string, reason: string): RegistryError {
  return new RegistryError('INVALID_REFERENCE', `invalid image reference ${quote(text)}: ${reason}`, {
    hint: 'Write [registry[:port]/]repository[:tag][@digest], for example docker.io/library/php:8.3-apache.',
  });
}

function quote(text: string): string {
  return JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}...` : text);
}
