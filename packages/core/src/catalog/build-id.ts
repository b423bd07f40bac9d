import { parseReference } from '@imagevet/registry';
import { idOf } from '../lineage/base/names.ts';
import { ARCHITECTURES } from '../provenance/official-images/architectures.ts';
import type { LibraryBuild, LibraryEntry } from '../provenance/official-images/types.ts';

/** The id of an entry's build: its first tag and its platform, in the form of a lineage node's id. */
export function buildId(name: string, { tags }: LibraryEntry, { architecture }: LibraryBuild): string {
  return idOf(parseReference(`docker.io/library/${name}:${tags[0]}`), ARCHITECTURES.get(architecture)!);
}
