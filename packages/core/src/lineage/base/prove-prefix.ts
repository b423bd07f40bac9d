import type { Digest, ResolvedImage } from '@imagevet/registry';

/** diffIDs of layers without content: 1024 zero bytes, and the empty tar some builders write. */
const EMPTY_LAYERS: ReadonlySet<string> = new Set([
  'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef',
  'sha256:84ff92691f909a05b224e1c56abb4864f01b4f8e3c854e4bb4c7baf1d3f6d652',
]);

/** Whether a parent's layers are the first layers of a child, and its history the beginning of the child's. */
export interface PrefixProof {
  /**
   * `proven`: the parent's diffIDs are a prefix of the child's, with at least one layer of content. `vacuous`: they are,
   * but every one is empty, which proves nothing. `refuted`: they are not.
   */
  readonly result: 'proven' | 'vacuous' | 'refuted';
  /** Layers of the parent. */
  readonly layers: number;
  /** Whether the parent's history, times included, is also a prefix of the child's; false for a parent that has none. */
  readonly history: boolean;
  /**
   * Index of the first history entry made by another instruction than the parent's. Absent when the histories agree, when
   * only times differ (builders may rewrite those), and when the child has none, which says nothing.
   */
  readonly historyDiffersAt?: number;
  /** Index of the first layer that differs, when refuted. */
  readonly differsAt?: number;
}

/**
 * Proves that a child was built on a parent: diffIDs are compared, not compressed digests, which change when a
 * registry or an engine compresses again.
 *
 * @see OCI image-spec, config.md, "Layer ChainID"
 */
export function provePrefix(
  parent: Pick<ResolvedImage, 'diffIds' | 'history'>,
  child: Pick<ResolvedImage, 'diffIds' | 'history'>,
): PrefixProof {
  const layers = parent.diffIds.length;
  const same = (index: number, times: boolean) => {
    const [entry, own] = [parent.history[index], child.history[index]];
    return (
      own !== undefined &&
      own.created_by === entry?.created_by &&
      (own.empty_layer ?? false) === (entry?.empty_layer ?? false) &&
      (!times || own.created === entry?.created)
    );
  };
  const history = parent.history.length > 0 && parent.history.every((_entry, index) => same(index, true));
  const other = child.history.length === 0 ? -1 : parent.history.findIndex((_entry, at) => !same(at, false));
  const found = { layers, history, ...(other < 0 ? {} : { historyDiffersAt: other }) };
  const differsAt = parent.diffIds.findIndex((diffId, index) => child.diffIds[index] !== diffId);
  if (differsAt >= 0) return { result: 'refuted', ...found, differsAt };
  const content = parent.diffIds.some((diffId: Digest) => !EMPTY_LAYERS.has(diffId));
  return { result: content ? 'proven' : 'vacuous', ...found };
}
