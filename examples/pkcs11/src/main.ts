// Which digest may a tag name? Signed with keys that only a hardware token holds.
// main.ts <token library> <token label> <notary URL> <collection> <tag> <digest> <size>, with the PIN in TOKEN_PIN
import { parseDigest } from '@imagevet/registry';
import {
  createKeyStore,
  type Keypair,
  type NotaryServer,
  type PublishResult,
  signTag,
} from '@imagevet/trust';
import { generateTokenKey, openTokenKey, type Token } from './token.ts';

/** Ids the keys have in the token. */
const ROOT_ID = '01';
const TARGETS_ID = '02';

/** Signs a tag with the root and the targets key of a token, and makes the keys when it has none. */
export async function signWithToken(
  token: Token,
  options: {
    readonly server: NotaryServer;
    readonly collection: string;
    readonly tag: string;
    readonly digest: string;
    readonly size: number;
  },
): Promise<PublishResult> {
  const { server, collection, tag, digest, size } = options;
  const keys = createKeyStore();
  await keys.add(await key(token, ROOT_ID, 'root'), { role: 'root' });
  await keys.add(await key(token, TARGETS_ID, 'targets'), { role: 'targets', gun: collection });
  return signTag({ tag, digest: parseDigest(digest), size }, { server, collection, keys });
}

async function key(token: Token, id: string, label: string): Promise<Keypair> {
  return (await openTokenKey(token, id)) ?? generateTokenKey(token, id, label);
}

if (process.argv[1] === import.meta.filename) {
  const [module = '', label = '', url = '', collection = '', tag = '', digest = '', size = ''] =
    process.argv.slice(2);
  const { rootKeyIds } = await signWithToken(
    { module, label, pin: process.env.TOKEN_PIN ?? '' },
    { server: { url }, collection, tag, digest, size: Number(size) },
  );
  console.log(`${collection}:${tag} is signed; root keys ${rootKeyIds.join(', ')}`);
}
