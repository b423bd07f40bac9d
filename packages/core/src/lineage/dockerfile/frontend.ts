import { ImagevetError, parseReference, withDefaultTag } from '@imagevet/registry';
import type { Dockerfile } from '../../dockerfile/types.ts';
import type { Gap } from '../../errors.ts';
import { idOf } from '../base/names.ts';
import type { LineageEdge, LineageNode } from '../types.ts';

/** The image that reads a Dockerfile, or why it cannot be told. */
export type FrontendUse =
  | { readonly gap: Gap; readonly frontend?: undefined; readonly edge?: undefined }
  | { readonly gap?: undefined; readonly frontend: LineageNode; readonly edge: LineageEdge };

/** A frontend reads the Dockerfile in the builder; it is named, not followed. */
export function frontendOf(node: LineageNode, syntax: NonNullable<Dockerfile['syntax']>): FrontendUse {
  const { text, line } = syntax;
  try {
    const reference = withDefaultTag(parseReference(text));
    const id = idOf(reference, node.platform);
    const message = `the Dockerfile names it in line ${line}`;
    return {
      frontend: {
        ...{ id, reference, platform: node.platform, claims: [] },
        dockerfile: { status: 'not-named', reachability: 'unchecked', consistency: 'unchecked' },
      },
      edge: {
        ...{ kind: 'frontend', from: node.id, to: id, name: text, line, grade: 'claimed' },
        evidence: [{ kind: 'dockerfile', verdict: 'supports', message }],
      },
    };
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    const message = `# syntax: ${error.message}`;
    return { gap: { stage: 'lineage', code: error.code, message, node: node.id } };
  }
}
