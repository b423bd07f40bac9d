import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRepository, makeTar } from '@imagevet/registry/testing';
import { resolveLineage } from '../../lineage/resolve-lineage.ts';
import type { Lineage, ProvenanceSource, SourceHost } from '../../lineage/types.ts';
import { gitMirrorHost } from '../../provenance/hosts/git/git-mirror.ts';

const REPOSITORY = 'https://git.example/org/family';

/** A family of images, its sources in a git repository on disk. */
export interface Family {
  lineage(): Promise<Lineage>;
  readonly host: SourceHost;
  /** The commit all sources are at. */
  readonly commit: string;
  close(): void;
}

/** A family of four levels with a shared base and a multi-stage child: base <- lib <- app <- top, base <- tool. */
export async function family(): Promise<Family> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-family-'));
  const rootfs = await makeTar([
    { path: 'etc/', mode: 0o755 },
    { path: 'etc/os-release', content: 'ID=test\n' },
  ]);
  const files = {
    'base-1/Dockerfile': 'FROM scratch\nADD rootfs.tar /\nCMD ["/none"]\n',
    'base-1/rootfs.tar': rootfs,
    'lib-1/Dockerfile': 'ARG V=1\nFROM base:${V}\nCOPY lib /lib/\n',
    'lib-1/lib': 'lib',
    'tool-1/Dockerfile': 'FROM base:1\nCOPY tool /bin/\n',
    'tool-1/tool': { executable: '#!/bin/sh\n' },
    'app-1/Dockerfile':
      'FROM tool:1 AS t\nFROM lib:1\nCOPY --from=t /bin/tool /bin/tool\nCOPY --from=tool:1 /etc/os-release /tool-release\nENV A=1\n',
    'top-1/Dockerfile': 'FROM app:1\nLABEL x=y\n',
  };
  const { path: remote, commits } = await createRepository(directory, [
    { files, message: 'Add the family', date: '2026-01-02T03:04:05Z' },
  ]);
  const [commit = ''] = commits;
  const source: ProvenanceSource = {
    kind: 'official-images',
    async *claims({ reference }) {
      const name = `${reference.repository.replace('library/', '')}-${reference.tag}`;
      const location = { repository: REPOSITORY, commit, directory: name, path: `${name}/Dockerfile` };
      yield { kind: 'official-images', foundAt: 'x', location };
    },
  };
  const host = gitMirrorHost({ directory, remotes: { [REPOSITORY]: remote }, hosts: [] });
  return {
    lineage: () => resolveLineage('top:1', { sources: [source], host }),
    host,
    commit,
    close: () => rmSync(directory, { recursive: true, force: true }),
  };
}
