import type { ResolvedImage } from '@imagevet/registry';
import type { Dockerfile } from '../../dockerfile/types.ts';
import { provePrefix } from '../base/prove-prefix.ts';
import { alignHistory } from '../history/align-history.ts';
import type { DockerfileRecord, LineageNode } from '../types.ts';

/**
 * Holds a node's Dockerfile against its image's history, once the base's part of the history is known.
 *
 * @param parent the base's image, when proven
 */
export function alignNode(
  node: Pick<LineageNode, 'image' | 'end'> & { dockerfile: DockerfileRecord },
  dockerfile: Dockerfile | undefined,
  parent: ResolvedImage | undefined,
): void {
  if (dockerfile === undefined || node.image === undefined) return;
  const proven = parent !== undefined && provePrefix(parent, node.image).history;
  const { consistency, inconsistency } = alignHistory(dockerfile, node.image.history, {
    ...(proven
      ? { parentEntries: parent.history.length }
      : node.end === 'scratch' || node.end === 'rootfs-import'
        ? { parentEntries: 0 }
        : {}),
    ...(parent === undefined ? {} : { base: parent.execution }),
    layers: node.image.diffIds.length,
  });
  node.dockerfile = {
    ...node.dockerfile,
    consistency,
    ...(inconsistency === undefined ? {} : { inconsistency }),
  };
}
