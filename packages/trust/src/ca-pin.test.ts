// A root pinned by the authority that issued its certificate: notary and we accept the same collections, and refuse them
// under another authority.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, type NotaryService, startNotaryServer } from '../../../test/services.ts';
import { TrustedCollection } from './collection/trusted-collection.ts';
import { createKeyStore } from './keys/create-key-store.ts';
import { loadKeypair, parsePublicKey } from './keys/key-import.ts';
import { signTag } from './sign.ts';
import { resolveTrusted } from './verify.ts';

const PASSPHRASE = 'passphrase one';
const target = { tag: '1', digest: digestOf('1'), size: 1 };

describe.skipIf(!available('notary-server', 'notary', 'openssl'))('a root pinned by its authority', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-ca-pin-'));
  const file = (name: string) => join(directory, name);
  const text = (name: string) => readFileSync(file(name), 'utf8');
  let server: NotaryService;

  beforeAll(async () => {
    server = await startNotaryServer();
    await issue('ours', { subject: 'our authority', ca: true });
    await issue('other', { subject: 'another authority', ca: true });
  });
  afterAll(async () => {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  test('is accepted by us as notary signed it, and refused under another authority', async () => {
    const collection = 'ca.example.com/notary';
    await issue('root', { subject: collection, issuer: 'ours' });
    const keys = createKeyStore({ directory: file('writer'), passphrase: PASSPHRASE });
    await keys.add(await loadKeypair(text('root.key')), { role: 'root' });
    await notary(file('writer'), 'init', collection, '--rootcert', file('root.crt'));
    const hash = target.digest.slice('sha256:'.length);
    await notary(file('writer'), 'addhash', collection, '1', '1', '--sha256', hash, '-p');
    await expectPinned(collection);
  });

  test('is accepted by notary as we signed it, through an authority between', async () => {
    const collection = 'ca.example.com/imagevet';
    await issue('between', { subject: 'authority between', ca: true, issuer: 'ours' });
    await issue('leaf', { subject: collection, issuer: 'between' });
    const keys = createKeyStore();
    const options = { server: { url: server.url, ca: server.ca }, keys };
    await signTag(target, { collection, ...options });
    await keys.add(await loadKeypair(text('leaf.key')), { role: 'root' });
    const chain = parsePublicKey(`${text('leaf.crt')}${text('between.crt')}`);
    await new TrustedCollection(collection, options)
      .stage({ type: 'role-keys', role: 'root', keys: [chain], threshold: 1 })
      .publish();
    await expectPinned(collection);
  });

  test('is refused by both through an authority that may not have another below it', async () => {
    const collection = 'ca.example.com/too-long';
    await issue('narrow', { subject: 'narrow authority', ca: true, pathLength: 0 });
    await issue('below-narrow', { subject: 'authority below', ca: true, issuer: 'narrow' });
    await issue('long', { subject: collection, issuer: 'below-narrow' });
    const keys = createKeyStore();
    const options = { server: { url: server.url, ca: server.ca }, keys };
    await signTag(target, { collection, ...options });
    await keys.add(await loadKeypair(text('long.key')), { role: 'root' });
    const chain = parsePublicKey(`${text('long.crt')}${text('below-narrow.crt')}`);
    await new TrustedCollection(collection, options)
      .stage({ type: 'role-keys', role: 'root', keys: [chain], threshold: 1 })
      .publish();
    await expect(read(collection, 'narrow')).rejects.toMatchObject({ code: 'ROOT_MISMATCH' });
    expect(await listedByNotary(collection, 'narrow')).toBe(false);
  });

  test('is not one that no authority issued', async () => {
    const collection = 'ca.example.com/self-signed';
    const options = { server: { url: server.url, ca: server.ca }, keys: createKeyStore() };
    await signTag(target, { collection, ...options });
    await expect(read(collection, 'ours')).rejects.toMatchObject({ code: 'ROOT_MISMATCH' });
    expect(await listedByNotary(collection, 'ours')).toBe(false);
  });

  async function expectPinned(collection: string): Promise<void> {
    expect((await read(collection, 'ours')).digest).toBe(target.digest);
    expect(await listedByNotary(collection, 'ours')).toBe(true);
    await expect(read(collection, 'other')).rejects.toMatchObject({ code: 'ROOT_MISMATCH' });
    expect(await listedByNotary(collection, 'other')).toBe(false);
  }

  async function read(collection: string, authority: string) {
    const place = { url: server.url, ca: server.ca };
    const root = { ca: text(`${authority}.crt`) };
    return resolveTrusted({ collection, tag: '1' }, { server: place, root });
  }

  /** Whether a notary that never saw the collection, and trusts nothing else, lists its tag. */
  async function listedByNotary(collection: string, authority: string): Promise<boolean> {
    const home = mkdtempSync(file('reader-'));
    const pinning = { disable_tofu: true, ca: { 'ca.example.com/': file(`${authority}.crt`) } };
    writeFileSync(join(home, 'pin.json'), JSON.stringify({ trust_pinning: pinning }));
    return notary(home, '-c', join(home, 'pin.json'), 'list', collection).then(
      (printed) => printed.includes(target.digest.slice('sha256:'.length)),
      (error: { stdout?: string; stderr?: string }) => {
        expect(`${error.stdout}${error.stderr}`).toMatch(/certificate|trust|root/i);
        return false;
      },
    );
  }

  async function notary(trust: string, ...args: readonly string[]): Promise<string> {
    const roles = ['ROOT', 'TARGETS', 'SNAPSHOT', 'DELEGATION'];
    const passphrases = Object.fromEntries(roles.map((role) => [`NOTARY_${role}_PASSPHRASE`, PASSPHRASE]));
    const options = ['-s', server.url, '--tlscacert', server.caFile, '-d', trust];
    const env = { ...process.env, ...passphrases };
    return (await promisify(execFile)('notary', [...options, ...args], { env })).stdout;
  }

  /** Makes `<name>.key` and `<name>.crt`, self-signed or by an issuer made before. */
  async function issue(
    name: string,
    options: { subject: string; issuer?: string; ca?: boolean; pathLength?: number },
  ): Promise<void> {
    const { subject, issuer, ca = false, pathLength } = options;
    const openssl = (...args: readonly string[]) => promisify(execFile)('openssl', args, { cwd: directory });
    await openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${name}.sec1`);
    await openssl('pkcs8', '-topk8', '-nocrypt', '-in', `${name}.sec1`, '-out', `${name}.key`);
    const usage = ca ? 'keyCertSign' : 'digitalSignature';
    const length = pathLength === undefined ? '' : `,pathlen:${pathLength}`;
    const extensions = `basicConstraints=critical,CA:${ca ? 'TRUE' : 'FALSE'}${length}\nkeyUsage=critical,${usage}\n`;
    writeFileSync(file(`${name}.ext`), extensions);
    await openssl(
      'req',
      '-new',
      '-key',
      `${name}.key`,
      '-subj',
      `/CN=${subject.replaceAll('/', '\\/')}`,
      '-out',
      `${name}.csr`,
    );
    const by =
      issuer === undefined
        ? ['-signkey', `${name}.key`]
        : ['-CA', `${issuer}.crt`, '-CAkey', `${issuer}.key`, '-CAcreateserial'];
    const made = ['-days', '30', '-extfile', `${name}.ext`, '-out', `${name}.crt`];
    await openssl('x509', '-req', '-in', `${name}.csr`, ...by, ...made);
  }
});
