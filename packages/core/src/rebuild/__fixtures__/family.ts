import { makeTar } from '@imagevet/registry/testing';
import { resolveLineage } from '../../lineage/resolve-lineage.ts';
import type { Lineage, ProvenanceSource, SourceEntry, SourceHost } from '../../lineage/types.ts';

const REPOSITORY = 'https://git.example/family';
const COMMIT = 'a'.repeat(40);

/** A family of four levels with a shared base and a multi-stage child: base <- lib <- app <- top, base <- tool. */
export async function family(): Promise<{ lineage(): Promise<Lineage>; readonly host: SourceHost }> {
  const rootfs = await makeTar([
    { path: 'etc/', mode: 0o755 },
    { path: 'etc/os-release', content: 'ID=test\n' },
  ]);
  const dockerfiles: Record<string, string> = {
    'base-1': 'FROM scratch\nADD rootfs.tar /\nCMD ["/none"]\n',
    'lib-1': 'ARG V=1\nFROM base:${V}\nCOPY lib /lib/\n',
    'tool-1': 'FROM base:1\nCOPY tool /bin/\n',
    'app-1':
      'FROM tool:1 AS t\nFROM lib:1\nCOPY --from=t /bin/tool /bin/tool\nCOPY --from=tool:1 /etc/os-release /tool-release\nENV A=1\n',
    'top-1': 'FROM app:1\nLABEL x=y\n',
  };
  const contexts: Record<string, readonly SourceEntry[]> = {
    'base-1': [{ path: 'rootfs.tar', type: 'file', content: rootfs }],
    'lib-1': [{ path: 'lib', type: 'file', content: Buffer.from('lib') }],
    'tool-1': [{ path: 'tool', type: 'executable', content: Buffer.from('#!/bin/sh\n') }],
  };
  const source: ProvenanceSource = {
    kind: 'official-images',
    async *claims({ reference }) {
      const directory = `${reference.repository.replace('library/', '')}-${reference.tag}`;
      const path = `${directory}/Dockerfile`;
      const location = { repository: REPOSITORY, commit: COMMIT, directory, path };
      yield { kind: 'official-images', foundAt: 'x', location };
    },
  };
  const host: SourceHost = {
    supports: () => true,
    readFile: async (_repository, _commit, path) => ({
      content: Buffer.from(dockerfiles[path.split('/')[0] ?? ''] ?? ''),
      url: path,
    }),
    async *readDirectory(_repository, _commit, directory) {
      yield* contexts[directory] ?? [];
    },
    commitOf: async () => COMMIT,
    reachability: async () => 'reachable',
  };
  return { lineage: () => resolveLineage('top:1', { sources: [source], host }), host };
}
