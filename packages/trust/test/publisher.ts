// Rotates a key or signs a tag, also as a process of its own that a test can kill:
// publisher.ts <url> <trust directory> <collection> <action> [<step of its own at which it kills itself>]
import { join } from 'node:path';
import { digestOf } from '@imagevet/registry';
import { createRotationJournal, type RotationJournal, rotateKey } from '../src/collection/rotation.ts';
import { createKeyStore } from '../src/keys/create-key-store.ts';
import type { KeyStore } from '../src/keys/key-store.ts';
import type { BaseRole } from '../src/metadata/types.ts';
import { signTag } from '../src/sign.ts';

/** What a publisher can be told to do: sign a tag, or replace the key of a role, the snapshot's to take it over. */
export type Action = 'publish' | BaseRole;

/** Passphrase of the keys. */
export const PASSPHRASE = 'passphrase one';

/**
 * Does it once, with the keys and the journal of a directory.
 *
 * @param step - Called before and after each thing that is kept: a new key, the journal's entry and its end.
 */
export async function act(
  action: Action,
  { url, directory, collection }: { url: string; directory: string; collection: string },
  step: () => void = () => {},
): Promise<void> {
  const keys = createKeyStore({ directory, passphrase: PASSPHRASE });
  const stepped: KeyStore = {
    list: (own) => keys.list(own),
    open: (keyId, own) => keys.open(keyId, own),
    add: (keypair, use) => keys.add(keypair, use),
    remove: (keyId) => keys.remove(keyId),
    generate: around(step, (use, own) => keys.generate(use, own)),
  };
  const options = { server: { url }, keys: stepped };
  if (action === 'publish') {
    await signTag({ tag: '1', digest: digestOf('1'), size: 1 }, { collection, ...options });
    return;
  }
  const files = createRotationJournal(join(directory, 'journal'));
  const journal: RotationJournal = {
    load: files.load,
    save: around(step, files.save),
    clear: around(step, files.clear),
  };
  await rotateKey(collection, action, { ...options, journal, holder: 'client' });
}

function around<A extends unknown[], R>(
  step: () => void,
  operation: (...args: A) => Promise<R>,
): (...args: A) => Promise<R> {
  return async (...args) => {
    step();
    const result = await operation(...args);
    step();
    return result;
  };
}

if (process.argv[1] === import.meta.filename) {
  const [url = '', directory = '', collection = '', action, last = ''] = process.argv.slice(2);
  let steps = 0;
  const step = (): void => {
    steps += 1;
    if (steps === Number(last)) process.kill(process.pid, 'SIGKILL');
  };
  act(action as Action, { url, directory, collection }, step).catch((error: unknown) => {
    process.stderr.write(`${error}\n`);
    process.exitCode = 1;
  });
}
