// A real PKCS#11 token (SoftHSM) and a real notary-server; the stock clients accept what the token signed.
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOf } from '@imagevet/registry';
import { createKeyStore, createMemoryRotationJournal, resolveTrusted, rotateKey } from '@imagevet/trust';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  available,
  createDockerConfig,
  type NotaryService,
  startNotaryServer,
} from '../../../test/services.ts';
import { signWithToken } from './main.ts';
import { generateTokenKey, openTokenKey, type Token } from './token.ts';

const run = promisify(execFile);
const module =
  [
    '/usr/lib/softhsm/libsofthsm2.so',
    '/usr/lib64/softhsm/libsofthsm2.so',
    '/usr/lib64/pkcs11/libsofthsm2.so',
  ].find((path) => existsSync(path)) ?? '';

describe.skipIf(!available('notary-server', 'notary', 'docker', 'softhsm2-util', 'pkcs11-tool'))(
  'keys in a PKCS#11 token',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-pkcs11-'));
    let notary: NotaryService;
    let token: Token;

    beforeAll(async () => {
      const tokens = join(directory, 'tokens');
      mkdirSync(tokens);
      const configuration = join(directory, 'softhsm2.conf');
      writeFileSync(configuration, `directories.tokendir = ${tokens}\nlog.level = ERROR\n`);
      const environment = { SOFTHSM2_CONF: configuration };
      token = { module, label: 'imagevet', pin: '7351', environment };
      const init = ['--init-token', '--free', '--label', token.label, '--so-pin', '0000', '--pin', token.pin];
      await run('softhsm2-util', init, { env: { ...process.env, ...environment } });
      notary = await startNotaryServer();
    });
    afterAll(async () => {
      await notary.close();
      rmSync(directory, { recursive: true, force: true });
    });

    test('signWithToken() publishes what notary list, docker trust inspect and we accept', async () => {
      const collection = '127.0.0.1:5000/token/app';
      const server = { url: notary.url, ca: notary.ca };
      const digests = [digestOf('one'), digestOf('two')];
      const { rootKeyIds } = await signWithToken(token, {
        ...{ server, collection, tag: '1', digest: digests[0]!, size: 3 },
      });
      // The keys of the first time are found again.
      const second = await signWithToken(token, {
        ...{ server, collection, tag: '2', digest: digests[1]!, size: 3 },
      });
      expect(second.rootKeyIds).toEqual(rootKeyIds);

      const verified = await resolveTrusted(
        { collection, tag: '2' },
        { server, root: { keyIds: rootKeyIds } },
      );
      expect(verified.digest).toBe(digests[1]);
      expect(verified.keyIds).toEqual([(await openTokenKey(token, '02'))?.keyId]);

      const trust = ['-s', notary.url, '--tlscacert', notary.caFile, '-d', join(directory, 'trust')];
      const { stdout: list } = await run('notary', [...trust, 'list', collection]);
      for (const digest of digests) expect(list).toContain(digest.slice('sha256:'.length));

      const { stdout } = await run('docker', ['trust', 'inspect', collection], {
        env: {
          ...process.env,
          DOCKER_CONFIG: createDockerConfig(directory, notary),
          DOCKER_CONTENT_TRUST_SERVER: notary.url,
        },
      });
      const [inspected] = JSON.parse(stdout);
      expect(inspected.SignedTags.map(({ SignedTag }: { SignedTag: string }) => SignedTag).sort()).toEqual([
        '1',
        '2',
      ]);
      expect(inspected.AdministrativeKeys).toContainEqual({ Name: 'Root', Keys: [{ ID: rootKeyIds[0] }] });
    }, 60_000);

    test.each([
      ['targets', '03'],
      ['root', '04'],
    ] as const)(
      'rotateKey() hands the %s role from one key of the token to another',
      async (role, id) => {
        const collection = `127.0.0.1:5000/token/rotated-${role}`;
        const server = { url: notary.url, ca: notary.ca };
        const { rootKeyIds } = await signWithToken(token, {
          ...{ server, collection, tag: '1', digest: digestOf('one'), size: 3 },
        });
        const keys = createKeyStore();
        await keys.add((await openTokenKey(token, '01'))!, { role: 'root' });
        await keys.add((await openTokenKey(token, '02'))!, { role: 'targets', gun: collection });
        const newKey = await generateTokenKey(token, id, `${role}, second`);
        const journal = createMemoryRotationJournal();
        const rotated = await rotateKey(collection, role, { server, keys, journal, newKey });
        const verified = await resolveTrusted(
          { collection, tag: '1' },
          { server, root: { keyIds: [...rootKeyIds] } },
        );
        expect(rotated.oldKeyIds).toEqual([
          (await openTokenKey(token, role === 'root' ? '01' : '02'))?.keyId,
        ]);
        if (role === 'root') expect(verified.rootKeyIds).toEqual([rotated.newKeyId]);
        else expect(verified.keyIds).toEqual([newKey.keyId]);
        const trust = [
          '-s',
          notary.url,
          '--tlscacert',
          notary.caFile,
          '-d',
          join(directory, `trust-${role}`),
        ];
        const { stdout } = await run('notary', [...trust, 'list', collection]);
        expect(stdout).toContain(digestOf('one').slice('sha256:'.length));
      },
      60_000,
    );

    test('the private key cannot be read, and a wrong PIN signs nothing', async () => {
      const key = await generateTokenKey(token, '0a', 'kept');
      expect((await key.sign(Buffer.from('text'))).length).toBe(64);
      const { stdout } = await run(
        'pkcs11-tool',
        [
          ...['--module', module, '--token-label', token.label, '--login', '--pin', 'env:TOKEN_PIN'],
          ...['--list-objects', '--type', 'privkey'],
        ],
        { env: { ...process.env, ...token.environment, TOKEN_PIN: token.pin } },
      );
      expect(stdout.match(/Access:.*never extract/g)?.length).toBe(
        stdout.match(/Private Key Object/g)?.length,
      );
      await expect(openTokenKey({ ...token, pin: '0001' }, '0a')).rejects.toThrow();
      const controller = new AbortController();
      controller.abort(new Error('enough'));
      await expect(key.sign(Buffer.from('text'), { signal: controller.signal })).rejects.toBe(
        controller.signal.reason,
      );
    });

    test('NCC-6: the PIN is on no command line', async () => {
      const tool = join(directory, 'pkcs11-tool');
      const log = join(directory, 'arguments');
      writeFileSync(
        tool,
        `#!/bin/sh\necho "$@" >> '${log}'\nPATH='${process.env.PATH}' exec pkcs11-tool "$@"\n`,
      );
      chmodSync(tool, 0o755);
      const environment = { ...token.environment, PATH: `${directory}:${process.env.PATH}` };
      const key = await generateTokenKey({ ...token, environment }, '0b', 'watched');
      expect((await key.sign(Buffer.from('text'))).length).toBe(64);
      const lines = readFileSync(log, 'utf8').trim().split('\n');
      expect(lines.length).toBe(4);
      for (const line of lines) expect(line.split(' ')).not.toContain(token.pin);
    });
  },
);
