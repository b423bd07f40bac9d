// Rotates a key or signs a tag, also as a process of its own that a test can kill:
// publisher.ts <url> <trust directory> <collection> <action>
import { join } from 'node:path';
import { digestOf } from '@imagevet/registry';
import { createRotationJournal, rotateKey } from '../src/collection/rotation.ts';
import { createKeyStore } from '../src/keys/key-store.ts';
import { signTag } from '../src/sign.ts';

/** What a publisher can be told to do. */
export type Action = 'root' | 'targets' | 'publish';

/** Does it once, with the keys and the journal of a directory. */
export async function act(
  action: Action,
  { url, directory, collection }: { url: string; directory: string; collection: string },
): Promise<void> {
  const keys = createKeyStore({ directory, passphrase: 'passphrase one' });
  const server = { url };
  if (action === 'publish') {
    await signTag({ tag: '1', digest: digestOf('1'), size: 1 }, { collection, server, keys });
  } else {
    await rotateKey(collection, action, {
      server,
      keys,
      journal: createRotationJournal(join(directory, 'journal')),
    });
  }
}

if (process.argv[1] === import.meta.filename) {
  const [url = '', directory = '', collection = '', action] = process.argv.slice(2);
  act(action as Action, { url, directory, collection }).catch((error: unknown) => {
    process.stderr.write(`${error}\n`);
    process.exitCode = 1;
  });
}
