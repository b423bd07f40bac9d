// What the stock tools get wrong, beside what we do. The numbers are those of the list in docs/decisions/0015.
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  available,
  createDockerConfig,
  type NotaryService,
  startNotaryServer,
} from '../../../test/services.ts';
import { TrustedCollection } from './collection/trusted-collection.ts';
import { createKeyStore } from './keys/create-key-store.ts';
import { loadKeypair, parsePublicKey } from './keys/key-import.ts';
import type { KeyStore } from './keys/key-store.ts';
import { canonicalKeyId } from './keys/public-key.ts';
import { signTag } from './sign.ts';
import { type NotaryProxy, startNotaryProxy } from './testing/notary-proxy.ts';
import { resolveTrusted } from './verify.ts';

const PASSPHRASE = 'passphrase one';
const target = { tag: '1', digest: digestOf('1'), size: 1 };

describe.skipIf(!available('notary-server', 'docker', 'openssl'))('a defect of docker', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-defects-'));
  let notary: NotaryService;
  let proxy: NotaryProxy;
  let config: string;
  let keys: KeyStore;
  beforeAll(async () => {
    notary = await startNotaryServer();
    proxy = await startNotaryProxy({ server: { url: notary.url, ca: notary.ca }, tls: true });
    config = createDockerConfig(directory, { host: proxy.host, ca: proxy.ca ?? '' });
    keys = createKeyStore({ directory: join(config, 'trust'), passphrase: PASSPHRASE });
  });
  afterAll(async () => {
    await proxy.close();
    await notary.close();
    rmSync(directory, { recursive: true, force: true });
  });

  test('8.1.1: signer remove ends well and leaves the signer; removeSigner() removes them', async () => {
    const collection = 'defects.example.com/signers';
    const options = { server: proxy.server, keys };
    await signTag(target, { collection, ...options });
    for (const name of ['ann', 'bob']) {
      await docker('trust', 'key', 'generate', name, '--dir', directory);
      await docker('trust', 'signer', 'add', '--key', join(directory, `${name}.pub`), name, collection);
    }
    await signTag({ ...target, tag: '2' }, { collection, ...options });
    await docker('trust', 'signer', 'remove', '--force', 'bob', collection);
    expect(await signers(collection)).toEqual(['ann', 'bob']);
    await new TrustedCollection(collection, options).removeSigner('bob').publish();
    expect(await signers(collection)).toEqual(['ann']);
    const bob = parsePublicKey(readFileSync(join(directory, 'bob.pub'), 'utf8'));
    const { keyIds } = await resolveTrusted(
      { collection, tag: '2' },
      { ...options, root: { firstUse: true } },
    );
    expect(keyIds).toHaveLength(1);
    expect(keyIds).not.toContain(canonicalKeyId(bob));
  });

  test.each(['sec1', 'pkcs8'] as const)(
    '8.1.2: key load of an encrypted key (%s) succeeds and stores none; loadKeypair() reads it',
    async (type) => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const plain = privateKey.export({ type: 'pkcs8', format: 'pem' });
      const file = join(directory, `${type}.pem`);
      writeFileSync(`${file}.plain`, plain, { mode: 0o600 });
      // Docker says of keys that a newer function derives the cipher's key for that it cannot decrypt them.
      const encrypt =
        type === 'sec1' ? ['ec', '-aes-256-cbc'] : ['pkcs8', '-topk8', '-v2prf', 'hmacWithSHA1'];
      const passphrase = ['-passout', `pass:${PASSPHRASE}`];
      await promisify(execFile)('openssl', [...encrypt, '-in', `${file}.plain`, '-out', file, ...passphrase]);
      chmodSync(file, 0o600);
      const pem = readFileSync(file, 'utf8');
      expect(pem).toContain('ENCRYPTED');
      const before = stored();
      expect(await docker('trust', 'key', 'load', file, '--name', 'cleo')).toContain('Successfully imported');
      expect(stored()).toEqual(before);
      await keys.add(await loadKeypair(pem, PASSPHRASE), { role: 'cleo' });
      expect(stored()).toHaveLength(before.length + 1);
      await expect(loadKeypair(pem, 'another')).rejects.toMatchObject({ code: 'BAD_PASSPHRASE' });
    },
  );

  test('8.1.3: trust inspect updates three times; resolveTrusted() once', async () => {
    const collection = 'defects.example.com/updates';
    await signTag(target, { collection, server: proxy.server, keys });
    const timestamps = async (work: () => Promise<unknown>): Promise<number> => {
      const before = proxy.requests.length;
      await work();
      return proxy.requests.slice(before).filter((request) => request.endsWith('/timestamp.json')).length;
    };
    expect(await timestamps(() => signers(collection))).toBe(3);
    const read = () =>
      resolveTrusted({ collection, tag: '1' }, { server: proxy.server, root: { firstUse: true } });
    expect(await timestamps(read)).toBe(1);
  });

  async function docker(...args: readonly string[]): Promise<string> {
    const env = {
      ...process.env,
      DOCKER_CONFIG: config,
      DOCKER_CONTENT_TRUST_SERVER: proxy.url,
      DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: PASSPHRASE,
      DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: PASSPHRASE,
    };
    const { stdout, stderr } = await promisify(execFile)('docker', args, { env });
    return `${stdout}${stderr}`;
  }

  async function signers(collection: string): Promise<string[]> {
    const [inspected] = JSON.parse(await docker('trust', 'inspect', collection)) as {
      Signers: { Name: string }[];
    }[];
    return (inspected?.Signers ?? []).map(({ Name }) => Name).sort();
  }

  const stored = (): string[] => readdirSync(join(config, 'trust', 'private')).sort();
});
