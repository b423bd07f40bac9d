// The smallest program that lists a collection: trust-whole.ts <url> <CA file> <state directory> <collection> <root key id>
import { readFile } from 'node:fs/promises';
import { createTrustState, listTrusted } from '@imagevet/trust';

const [url = '', caFile = '', directory = '', collection = '', keyId = ''] = process.argv.slice(2);
const targets = await listTrusted(
  { collection },
  {
    server: { url, ca: await readFile(caFile, 'utf8') },
    root: { keyIds: [keyId] },
    state: createTrustState(directory),
  },
);
for (const { tag, digest } of targets) console.log(tag, digest);
