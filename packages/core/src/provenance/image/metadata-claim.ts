import { isDigest } from '@imagevet/registry';
import type { ProvenanceClaim, ProvenanceKind } from '../../lineage/types.ts';
import { isCommitId } from '../location.ts';
import { parseSourceAnnotation } from './source-annotation.ts';

/** What annotations or labels say, under one set of names. */
export interface ImageMetadata {
  readonly source?: string;
  readonly revision?: string;
  readonly baseName?: string;
  readonly baseDigest?: string;
}

/** Reads the OCI keys; for labels also those of label-schema.org, which they replaced. */
export function readMetadata(values: Readonly<Record<string, string>>, legacy: boolean): ImageMetadata {
  const read = (name: string, old?: string): string | undefined => {
    const value =
      values[`org.opencontainers.image.${name}`] ??
      (legacy && old ? values[`org.label-schema.${old}`] : undefined);
    return value === undefined || value.trim() === '' ? undefined : value.trim();
  };
  return {
    source: read('source', 'vcs-url'),
    revision: read('revision', 'vcs-ref'),
    baseName: read('base.name'),
    baseDigest: read('base.digest'),
  };
}

/**
 * Turns metadata into a claim. Neither source nor revision names the Dockerfile: its place is a guess, except after
 * a fragment that names the build context.
 *
 * @returns undefined when it says nothing
 */
export function toMetadataClaim(
  kind: ProvenanceKind,
  foundAt: string,
  metadata: ImageMetadata,
): ProvenanceClaim | undefined {
  const { source, revision, baseName, baseDigest } = metadata;
  const notes: string[] = [];
  const place = toLocation(source, revision, notes);
  const base = toBase(baseName, baseDigest, notes);
  if (place === undefined && base === undefined && notes.length === 0) return undefined;
  return {
    kind,
    foundAt,
    ...(place === undefined ? {} : { location: place.location }),
    ...(base === undefined ? {} : { base }),
    ...(place?.guessed ? { heuristic: true } : {}),
    ...(notes.length === 0 ? {} : { note: notes.join('; ') }),
  };
}

function toLocation(
  source: string | undefined,
  revision: string | undefined,
  notes: string[],
): { readonly location: NonNullable<ProvenanceClaim['location']>; readonly guessed: boolean } | undefined {
  if (source === undefined) return undefined;
  const said = parseSourceAnnotation(source);
  if (said === undefined) {
    notes.push(`source is no repository: ${JSON.stringify(source.slice(0, 200))}`);
    return undefined;
  }
  const commit = [said.ref, revision].find((text) => text !== undefined && isCommitId(text));
  if (commit === undefined) {
    notes.push(`source names no commit: ${said.repository}`);
    return undefined;
  }
  if (said.ref !== undefined && isCommitId(said.ref) && revision !== undefined && revision !== said.ref) {
    notes.push(`source and revision name two commits: ${said.ref} and ${revision.slice(0, 80)}`);
  }
  const directory = said.directory ?? parent(said.path) ?? '.';
  const path = said.path ?? (directory === '.' ? 'Dockerfile' : `${directory}/Dockerfile`);
  if (said.path === undefined) notes.push('the file is not named; Dockerfile is the default');
  const { repository } = said;
  return {
    location: { repository, commit, directory, path },
    guessed: said.directory === undefined && said.path === undefined,
  };
}

function toBase(
  name: string | undefined,
  digest: string | undefined,
  notes: string[],
): ProvenanceClaim['base'] | undefined {
  const valid = digest !== undefined && isDigest(digest) ? digest : undefined;
  if (digest !== undefined && valid === undefined)
    notes.push(`base.digest is no digest: ${digest.slice(0, 200)}`);
  if (name === undefined) {
    if (valid !== undefined) notes.push(`base.digest without base.name: ${valid}`);
    return undefined;
  }
  const inName = /@(sha256:[0-9a-f]{64})$/.exec(name)?.[1];
  const named = valid ?? (inName !== undefined && isDigest(inName) ? inName : undefined);
  return { reference: name, ...(named === undefined ? {} : { digest: named }) };
}

function parent(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '.' : path.slice(0, slash);
}
