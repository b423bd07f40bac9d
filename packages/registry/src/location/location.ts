import { type Digest, parseDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { formatReference, type ImageReference, isTag, parseReference, withDefaultTag } from '../reference.ts';

/** Where an image is or goes: a registry, an OCI layout on disk, or a docker-archive. Plain data. */
export type ImageLocation =
  | { readonly transport: 'docker'; readonly reference: ImageReference }
  | {
      readonly transport: 'oci';
      /** The layout's folder. */
      readonly path: string;
      readonly tag?: string;
      readonly digest?: Digest;
    }
  | {
      readonly transport: 'docker-archive';
      /** The archive's file. */
      readonly path: string;
      /** The image's name in the archive, with a tag. */
      readonly name?: ImageReference;
    };

const MAX_LENGTH = 4096;

/**
 * Parses where an image is, as skopeo and podman write it: `oci:folder[:tag][@digest]`, `docker-archive:file[:name[:tag]]`,
 * `docker://reference`, or a reference alone. A transport comes before a reference: an image named `oci` is
 * `docker://oci:1`. A path ends at its first colon.
 *
 * @throws {@link RegistryError} `INVALID_REFERENCE`, `INVALID_DIGEST`
 * @see containers-transports(5)
 */
export function parseLocation(text: string): ImageLocation {
  if (text.length > MAX_LENGTH) throw invalid(text, `it is longer than ${MAX_LENGTH} characters`);
  if (text.startsWith('docker://')) {
    return { transport: 'docker', reference: parseReference(text.slice('docker://'.length)) };
  }
  if (text.startsWith('oci:')) return parseLayout(text, text.slice('oci:'.length));
  if (text.startsWith('docker-archive:')) return parseArchive(text, text.slice('docker-archive:'.length));
  return { transport: 'docker', reference: parseReference(text) };
}

/** The text {@link parseLocation} parses to this location. */
export function formatLocation(location: ImageLocation): string {
  if (location.transport === 'docker') return `docker://${formatReference(location.reference)}`;
  if (location.transport === 'docker-archive') {
    const name = location.name === undefined ? '' : `:${formatReference(location.name)}`;
    return `docker-archive:${location.path}${name}`;
  }
  const tag = location.tag === undefined ? '' : `:${location.tag}`;
  const digest = location.digest === undefined ? '' : `@${location.digest}`;
  return `oci:${location.path}${tag}${digest}`;
}

function parseLayout(text: string, rest: string): ImageLocation {
  const at = rest.lastIndexOf('@');
  const suffix = at < 0 ? '' : rest.slice(at + 1);
  // An @ may be part of a path, unless what follows wants to be a digest.
  const named = /^sha\d+:/.test(suffix) ? rest.slice(0, at) : rest;
  const digest = named === rest ? undefined : parseDigest(suffix);
  const { path, name: tag } = splitPath(text, named);
  if (tag !== undefined && !isTag(tag)) throw invalid(text, `${JSON.stringify(tag)} is not a tag`);
  return {
    transport: 'oci',
    path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

function parseArchive(text: string, rest: string): ImageLocation {
  const { path, name } = splitPath(text, rest);
  if (name === undefined) return { transport: 'docker-archive', path };
  const reference = withDefaultTag(parseReference(name));
  if (reference.digest !== undefined) throw invalid(text, 'an archive knows images by tag only');
  return { transport: 'docker-archive', path, name: reference };
}

function splitPath(text: string, rest: string): { readonly path: string; readonly name?: string } {
  const colon = rest.indexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  if (path === '') throw invalid(text, 'it names no path');
  if (/\p{Cc}/u.test(path)) throw invalid(text, 'its path has control characters');
  return colon < 0 ? { path } : { path, name: rest.slice(colon + 1) };
}

function invalid(text: string, reason: string): RegistryError {
  const shown = JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}...` : text);
  return new RegistryError('INVALID_REFERENCE', `invalid image location ${shown}: ${reason}`, {
    hint: 'Write oci:folder[:tag][@digest], docker-archive:file[:name:tag] or docker://registry/repository:tag.',
  });
}
