import type { Digest, Platform } from '@imagevet/registry';

/** One platform of a tag, as a page records it. */
export interface RepoInfoPlatform {
  /** Absent for an attestation (`unknown; unknown`) and for a platform that cannot be read. */
  readonly platform?: Platform;
  /** Digest of the manifest. */
  readonly digest: Digest;
  /** Digest of the config. */
  readonly config?: Digest;
  /** Digests of the layers as they are stored, the base's first. */
  readonly layers: readonly Digest[];
}

/** What a tag stood for when a page was written. */
export interface RepoInfoImage {
  /** As written: `debian`. */
  readonly name: string;
  readonly tag: string;
  /** Digest of what the tag named: an index, or the manifest itself. */
  readonly digest?: Digest;
  readonly platforms: readonly RepoInfoPlatform[];
}

interface Draft {
  digest?: Digest;
  config?: Digest;
  readonly layers: Digest[];
  readonly platform?: Platform;
}

/** Sections read; the page of one tag has one, the older page of all tags some hundred. */
const MAX_IMAGES = 5000;

/**
 * Reads a page of the `repo-info` repository: one tag (`remote/<tag>.md`) or all tags of an image (`tag-details.md`).
 * What it does not know is passed over, and so is what stands in the history of an image. Takes time linear in the length of
 * the text.
 */
export function parseRepoInfo(markdown: string): readonly RepoInfoImage[] {
  const images: { name: string; tag: string; own: Draft; platforms: Draft[] }[] = [];
  let current: Draft | undefined;
  let fence: string | undefined;
  for (const line of markdown.split('\n')) {
    if (fence === undefined ? line.startsWith('```') : line.trimEnd() === '```') {
      fence = fence === undefined ? line.slice(3, 40).trim() : undefined;
      continue;
    }
    if (fence !== undefined) {
      const digest = fence === 'console' ? pulledDigest(line) : undefined;
      if (current !== undefined) current.digest ??= digest;
      continue;
    }
    const heading = readHeading(line);
    if (heading !== undefined) {
      current = { layers: [], ...(heading.platform === undefined ? {} : { platform: heading.platform }) };
      const { name, tag } = heading;
      const last = images.at(-1);
      if (heading.level === 2) {
        if (images.length >= MAX_IMAGES) break;
        images.push({ name, tag, own: current, platforms: [] });
      } else if (last?.name === name && last.tag === tag) last.platforms.push(current);
      else current = undefined;
      continue;
    }
    if (current === undefined) continue;
    const config = /^-\tImage ID: `(sha256:[0-9a-f]{64})`/.exec(line)?.[1];
    const layer = /^\t-\t`(sha256:[0-9a-f]{64})`/.exec(line)?.[1];
    if (config !== undefined) current.config ??= config as Digest;
    if (layer !== undefined) current.layers.push(layer as Digest);
  }
  return images.map(({ name, tag, own, platforms }) => ({
    name,
    tag,
    ...(own.digest === undefined ? {} : { digest: own.digest }),
    platforms: platforms.flatMap(({ digest, ...rest }) =>
      digest === undefined ? [] : [{ digest, ...rest }],
    ),
  }));
}

function readHeading(
  line: string,
):
  | { readonly level: 2 | 3; readonly name: string; readonly tag: string; readonly platform?: Platform }
  | undefined {
  const match = /^(##|###) `([a-z0-9._/-]{1,200}):(\w[\w.-]{0,127})`(?: - (.{1,200}))?\s{0,8}$/.exec(line);
  if (match === null) return undefined;
  const [, marks, name = '', tag = '', text] = match;
  const platform = text === undefined ? undefined : readPlatform(text);
  return { level: marks === '##' ? 2 : 3, name, tag, ...(platform === undefined ? {} : { platform }) };
}

/** `linux; arm variant v7`, `windows version 10.0.20348.1; amd64` */
function readPlatform(text: string): Platform | undefined {
  const match = /^([a-z0-9]+)(?: version ([\w.]+))?; ([a-z0-9]+)(?: variant (\w+))?$/.exec(text.trim());
  if (match === null) return undefined;
  const [, os = '', version, architecture = '', variant] = match;
  if (os === 'unknown') return undefined;
  return {
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    ...(version === undefined ? {} : { 'os.version': version }),
  };
}

function pulledDigest(line: string): Digest | undefined {
  return /^\$ docker pull [^@\s]{1,300}@(sha256:[0-9a-f]{64})\s{0,8}$/.exec(line)?.[1] as Digest | undefined;
}
