import { type Digest, formatReference, type ImageReference } from '@imagevet/registry';
import type { Lineage, LineageNode } from '../lineage/types.ts';

/** A tag or digest that lineages were resolved by; asked once, whoever uses it. */
export interface WatchedName {
  /** Canonical, by tag or by digest, never both. */
  readonly text: string;
  readonly reference: ImageReference;
  readonly uses: readonly NameUse[];
}

/** A node of a lineage that goes by a name. */
export interface NameUse {
  readonly lineage: Lineage;
  readonly node: LineageNode;
  /** What the lineage holds the name to be; absent when no registry showed it. */
  readonly was?: RecordedDigest;
}

/** A digest as a lineage holds it. */
export interface RecordedDigest {
  readonly digest: Digest;
  /** True when it may be one platform's manifest of the index the tag names: an index says nothing against it. */
  readonly partOfIndex: boolean;
}

/**
 * Lists every name the nodes of lineages go by, each once. A tag pinned by digest (`debian:12@sha256:...`) is two names: the
 * digest, which may go, and the tag, which may move on from it.
 */
export function watchedNames(lineages: readonly Lineage[]): readonly WatchedName[] {
  const names = new Map<string, { text: string; reference: ImageReference; uses: NameUse[] }>();
  for (const lineage of lineages) {
    const based = new Set(lineage.edges.flatMap(({ kind, to }) => (kind === 'base' ? [to] : [])));
    for (const node of lineage.nodes) {
      for (const { reference, was } of namesOf(node, based.has(node.id))) {
        const text = formatReference(reference);
        const name = names.get(text) ?? { text, reference, uses: [] };
        names.set(text, name);
        name.uses.push({ lineage, node, ...(was === undefined ? {} : { was }) });
      }
    }
  }
  return [...names.values()];
}

function namesOf(
  node: LineageNode,
  isBase: boolean,
): readonly { readonly reference: ImageReference; readonly was?: RecordedDigest }[] {
  const { registry, repository, tag, digest } = node.reference;
  const was = recorded(node, isBase);
  const byTag = { reference: { registry, repository, tag }, ...(was === undefined ? {} : { was }) };
  if (digest === undefined) return tag === undefined ? [] : [byTag];
  const byDigest = { reference: { registry, repository, digest }, was: { digest, partOfIndex: false } };
  return tag === undefined ? [byDigest] : [byTag, byDigest];
}

/**
 * What a tag is compared by: the digest it is pinned to, the index it showed, or else the manifest. A base may have been read
 * at a platform's digest that a claim names, so its manifest is the tag's own only when the tag names a manifest.
 */
function recorded({ reference, image }: LineageNode, isBase: boolean): RecordedDigest | undefined {
  const pinned = reference.digest;
  const index = image?.index?.digest;
  const digest = pinned ?? index ?? image?.manifest.digest;
  if (digest === undefined) return undefined;
  return { digest, partOfIndex: digest !== index && (isBase || pinned !== undefined) };
}
