import { formatReference } from '@imagevet/registry';
import type { Dockerfile } from '../dockerfile/types.ts';
import type { Gap } from '../errors.ts';
import { frontendOf } from './dockerfile/frontend.ts';
import type { LineageConflict, LineageEdge, LineageNode } from './types.ts';

/** An image of a lineage while it is being visited. */
export type DraftNode = { -readonly [K in keyof LineageNode]: LineageNode[K] };

/** What a walk has put together so far: each image once, in the order it was come to. */
export class LineageDraft {
  readonly nodes: DraftNode[] = [];
  readonly edges: LineageEdge[] = [];
  readonly conflicts: LineageConflict[] = [];
  readonly gaps: Gap[] = [];
  readonly #known = new Map<string, DraftNode>();

  node(id: string): LineageNode | undefined {
    return this.#known.get(id);
  }

  addNode(node: DraftNode): void {
    this.nodes.push(node);
    this.#known.set(node.id, node);
  }

  /** Says that something about an image could not be told. */
  gap(node: Pick<LineageNode, 'id'>, code: string, message: string, stage: Gap['stage'] = 'lineage'): void {
    this.gaps.push({ stage, code, message, node: node.id });
  }

  /** Says why a path ends at an image. */
  end(
    node: DraftNode,
    end: NonNullable<LineageNode['end']>,
    code: string,
    { reason, line }: { readonly reason: string; readonly line?: number },
  ): void {
    node.end = end;
    const where = line === undefined ? '' : ` (line ${line})`;
    this.gap(node, code, `${formatReference(node.reference)}: ${reason}${where}`);
  }

  /** An index and the manifest in it are one image: who names the one and who names the other do not disagree. */
  settle({ id }: LineageNode, digests: ReadonlySet<string>): void {
    const at = this.conflicts.findIndex(
      ({ node, about, statements }) =>
        node === id && about === 'base' && statements.every(({ value }) => digests.has(value)),
    );
    if (at >= 0) this.conflicts.splice(at, 1);
  }

  /** Takes back what was not known of an image and is now. */
  settleGap(node: string, code: string): void {
    const at = this.gaps.findIndex((gap) => gap.node === node && gap.code === code);
    if (at >= 0) this.gaps.splice(at, 1);
  }

  /** Names what reads the Dockerfile of an image. */
  addFrontend(node: LineageNode, dockerfile: Dockerfile | undefined): void {
    if (dockerfile?.syntax === undefined) return;
    const { gap, frontend, edge } = frontendOf(node, dockerfile.syntax);
    if (gap !== undefined) this.gaps.push(gap);
    if (frontend === undefined) return;
    this.edges.push(edge);
    if (!this.#known.has(frontend.id)) this.addNode(frontend);
  }
}
