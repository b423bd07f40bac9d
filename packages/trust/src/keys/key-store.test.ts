import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { digestOf } from '@imagevet/registry';
import { afterAll, describe, expect, test } from 'vitest';
import { available } from '../../../../test/services.ts';
import { TrustedCollection } from '../collection/trusted-collection.ts';
import { diagnoseCollection } from '../doctor/diagnose-collection.ts';
import { signTag } from '../sign.ts';
import { startNotary } from '../testing/notary.ts';
import { createKeyStore } from './create-key-store.ts';
import { passphrasesFromEnvironment } from './environment-passphrases.ts';
import type { KeyStore, StoredKey } from './key-store.ts';
import { SoftwareKeypair } from './keypair.ts';

const temporary = mkdtempSync(join(tmpdir(), 'imagevet-key-store-'));
const directoryOf = () => mkdtempSync(join(temporary, 'k-'));
afterAll(() => rmSync(temporary, { recursive: true }));

async function listed(keys: KeyStore): Promise<StoredKey[]> {
  const found: StoredKey[] = [];
  for await (const key of keys.list()) found.push(key);
  return found;
}

const byId = (left: StoredKey, right: StoredKey) => (left.keyId < right.keyId ? -1 : 1);
const write = (path: string, text: string) => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
};

describe('passphrasesFromEnvironment()', () => {
  const environment = {
    DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: 'docker root',
    DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: 'docker repository',
    NOTARY_ROOT_PASSPHRASE: 'notary root',
    NOTARY_TARGETS_PASSPHRASE: 'notary targets',
    NOTARY_SNAPSHOT_PASSPHRASE: 'notary snapshot',
    NOTARY_DELEGATION_PASSPHRASE: 'notary delegation',
  };

  test.each([
    ['root', 'docker root', 'notary root'],
    ['targets', 'docker repository', 'notary targets'],
    ['snapshot', 'docker repository', 'notary snapshot'],
    ['alice', 'docker repository', 'notary delegation'],
    ['targets/releases', 'docker repository', 'notary delegation'],
  ])("opens a %s key of docker and of notary, and makes docker's", async (role, docker, notary) => {
    const directory = directoryOf();
    for (const passphrase of [docker, notary]) {
      const { keyId } = await createKeyStore({ directory, passphrase }).generate({ role });
      const keys = createKeyStore({ directory, passphrase: passphrasesFromEnvironment(environment) });
      expect((await keys.open(keyId)).keyId).toBe(keyId);
    }
    const made = await createKeyStore({
      directory,
      passphrase: passphrasesFromEnvironment(environment),
    }).generate({ role });
    expect((await createKeyStore({ directory, passphrase: docker }).open(made.keyId)).keyId).toBe(made.keyId);
  });

  test('says which variable is missing, and that one is wrong', async () => {
    const directory = directoryOf();
    const { keyId } = await createKeyStore({ directory, passphrase: 'another' }).generate({ role: 'root' });
    const openWith = (given: Record<string, string>) =>
      createKeyStore({ directory, passphrase: passphrasesFromEnvironment(given) }).open(keyId);
    await expect(openWith({ NOTARY_TARGETS_PASSPHRASE: 'another' })).rejects.toMatchObject({
      code: 'BAD_PASSPHRASE',
      hint: 'Set DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE or NOTARY_ROOT_PASSPHRASE.',
    });
    await expect(openWith(environment)).rejects.toMatchObject({
      code: 'BAD_PASSPHRASE',
      message: expect.stringContaining('does not open the file'),
    });
  });
});

describe('a key store with files it cannot use', () => {
  const collection = 'registry.example.com/app';
  const damaged: [string, (path: string) => void][] = [
    ['no PEM', (path) => writeFileSync(path, 'garbage')],
    [
      'cut off',
      (path) => writeFileSync(path, '-----BEGIN ENCRYPTED PRIVATE KEY-----\nrole: alice\n\nMIHu\n'),
    ],
    [
      'encrypted in no known way',
      (path) =>
        writeFileSync(
          path,
          '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n',
        ),
    ],
    ['a directory', (path) => mkdirSync(path)],
  ];

  test.each(damaged)('lists one that is %s with the reason, and uses the others', async (_, damage) => {
    const directory = directoryOf();
    const keys = createKeyStore({ directory, passphrase: 'a passphrase' });
    const notary = await startNotary();
    const { server } = notary;
    const target = { tag: '1', digest: digestOf('1'), size: 1 };
    const { rootKeyIds } = await signTag(target, { collection, server, keys });
    const keyId = 'f'.repeat(64);
    const path = join(directory, 'private', `${keyId}.key`);
    damage(path);
    const all = await listed(createKeyStore({ directory }));
    expect(all).toHaveLength(3);
    expect(all[2]).toMatchObject({ keyId, unreadable: expect.stringMatching(/./) });
    expect(all.slice(0, 2).map(({ unreadable }) => unreadable)).toEqual([undefined, undefined]);
    await expect(keys.open(keyId)).rejects.toMatchObject({ code: 'INVALID_KEY', details: { path } });
    expect((await signTag({ ...target, tag: '2' }, { collection, server, keys })).versions.targets).toBe(2);
    const found = await diagnoseCollection(collection, { server, keys, root: { keyIds: rootKeyIds } });
    expect(found.map(({ code }) => code)).toEqual(['unreadable-key']);
    await notary.close();
  });

  test('says that the key a publish needs is there and damaged', async () => {
    const directory = directoryOf();
    const keys = createKeyStore({ directory, passphrase: 'a passphrase' });
    const notary = await startNotary();
    const { server } = notary;
    const options = { collection, server, snapshotKey: 'client' as const };
    const { rootKeyIds } = await signTag({ tag: '1', digest: digestOf('1'), size: 1 }, { ...options, keys });
    for (const role of ['targets', 'snapshot']) {
      const key = (await listed(keys)).find((candidate) => candidate.role === role);
      const path = join(directory, 'private', `${key?.keyId}.key`);
      const saved = join(directory, 'saved');
      cpSync(path, saved);
      writeFileSync(path, 'garbage');
      const publish = () =>
        new TrustedCollection(collection, {
          ...options,
          keys: createKeyStore({ directory, passphrase: 'a passphrase' }),
          root: { keyIds: rootKeyIds },
        })
          .witness('targets')
          .publish();
      await expect(publish()).rejects.toMatchObject({ code: 'INVALID_KEY', details: { path } });
      cpSync(saved, path);
      expect((await publish()).roles).toEqual(['targets']);
    }
    await notary.close();
  });

  test('a directory that cannot be written: what is there signs, and nothing is made', async () => {
    const directory = directoryOf();
    // What holds for everybody, root too: the place of the directory is taken by a file.
    writeFileSync(join(directory, 'private'), '');
    const keys = createKeyStore({ directory, passphrase: 'a passphrase' });
    expect(await listed(keys)).toEqual([]);
    await expect(keys.generate({ role: 'root' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
    expect(await listed(keys)).toEqual([]);
  });
});

describe('the layout of before Notary 0.4', () => {
  const passphrase = 'legacy pass';
  /** A file as notary 0.3 wrote it: OpenSSL's old encryption, no headers but its own. */
  const pemOf = (key: KeyObject) =>
    key.export({ format: 'pem', type: 'sec1', cipher: 'aes-256-cbc', passphrase }).toString();

  function makeLegacy(directory: string) {
    const made = (role: string, at: (keyId: string) => string, gun?: string): StoredKey => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const { keyId } = new SoftwareKeypair(privateKey);
      write(join(directory, 'private', at(keyId)), pemOf(privateKey));
      return { keyId, role, ...(gun === undefined ? {} : { gun }) };
    };
    const gun = 'registry.example.com:5000/team/app';
    return [
      made('root', (keyId) => `root_keys/${keyId}_root.key`),
      made('targets', (keyId) => `tuf_keys/${gun}/${keyId}_targets.key`, gun),
      made('snapshot', (keyId) => `tuf_keys/${gun}/${keyId}_snapshot.key`, gun),
      made('alice', (keyId) => `tuf_keys/${keyId}_alice.key`),
    ].sort(byId);
  }

  test('is listed, opened, signed with, and removed', async () => {
    const directory = directoryOf();
    const made = makeLegacy(directory);
    const keys = createKeyStore({ directory, passphrase });
    expect(await listed(keys)).toEqual(made);
    for (const { keyId } of made) expect((await keys.open(keyId)).keyId).toBe(keyId);
    const notary = await startNotary();
    const published = await signTag(
      { tag: '1', digest: digestOf('1'), size: 1 },
      { collection: 'registry.example.com:5000/team/app', server: notary.server, keys },
    );
    expect(published.keyIds).toEqual(made.filter(({ role }) => role === 'targets').map(({ keyId }) => keyId));
    await notary.close();
    // Nothing was made beside them.
    expect(await listed(keys)).toEqual(made);
    expect(existsSync(join(directory, 'private/root_keys'))).toBe(true);
    for (const { keyId } of made)
      expect([await keys.remove(keyId), await keys.remove(keyId)]).toEqual([true, false]);
    expect(await listed(keys)).toEqual([]);
  });

  test.skipIf(!available('notary'))('is what notary makes of it when it moves the files', async () => {
    const directory = directoryOf();
    const made = makeLegacy(directory);
    const before = await listed(createKeyStore({ directory }));
    execFileSync('notary', ['-d', directory, 'key', 'list'], { stdio: 'pipe' });
    expect(readdirSync(join(directory, 'private')).sort()).toEqual(made.map(({ keyId }) => `${keyId}.key`));
    const keys = createKeyStore({ directory, passphrase });
    expect(await listed(keys)).toEqual(before);
    for (const { keyId } of made) expect((await keys.open(keyId)).keyId).toBe(keyId);
  });
});
