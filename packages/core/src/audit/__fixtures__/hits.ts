import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import type { Lineage, LineageNode } from '../../lineage/types.ts';
import { auditDockerfile } from '../audit.ts';
import type { Finding } from '../types.ts';

export const NOW: Date = new Date('2026-11-23T12:00:00Z');
export const PINNED: string = `FROM debian:trixie@sha256:${'a'.repeat(64)}`;
const EVERYWHERE: readonly string[] = ['VET050'];

/** Findings of a Dockerfile text. */
export function audit(text: string): readonly Finding[] {
  return auditDockerfile(parseDockerfile(text), { now: NOW, disable: EVERYWHERE });
}

/** `VET010:2` for each finding; of the given lines behind a pinned FROM, which is line 1. */
export function hits(...lines: readonly string[]): readonly string[] {
  return hitsOf([PINNED, ...lines].join('\n'));
}

/** The same for a whole text. */
export function hitsOf(text: string): readonly string[] {
  return audit(text).map(({ rule, lines }) => `${rule}:${lines?.startLine}`);
}

/** A node of a lineage with a Dockerfile text. */
export function node(name: string, text: string | undefined, change: Partial<LineageNode> = {}): LineageNode {
  const directory = name.replace(':', '/');
  return {
    id: `docker.io/library/${name} linux/amd64`,
    reference: { registry: 'docker.io', repository: `library/${name.split(':')[0]}`, tag: name.split(':')[1] },
    platform: { os: 'linux', architecture: 'amd64' },
    claims: [],
    dockerfile: {
      status: text === undefined ? 'not-named' : 'found',
      reachability: text === undefined ? 'unchecked' : 'reachable',
      consistency: 'unchecked',
      ...(text === undefined
        ? {}
        : {
            text,
            location: {
              repository: 'https://github.com/example/images',
              commit: '0123456789abcdef0123456789abcdef01234567',
              directory,
              path: `${directory}/Dockerfile`,
            },
          }),
    },
    ...change,
  };
}

/** A lineage of nodes, each built on the next. */
export function lineage(nodes: readonly LineageNode[], change: Partial<Lineage> = {}): Lineage {
  return {
    root: nodes[0]!.id,
    platform: { os: 'linux', architecture: 'amd64' },
    nodes,
    edges: nodes.slice(1).map((parent, index) => ({
      kind: 'base',
      from: nodes[index]!.id,
      to: parent.id,
      name: parent.id.split(' ')[0]!,
      line: 1,
      grade: 'claimed',
      evidence: [],
    })),
    conflicts: [],
    gaps: [],
    ...change,
  };
}
