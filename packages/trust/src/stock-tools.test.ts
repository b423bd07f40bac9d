// The stock docker CLI and notary client, a real registry and a real notary-server: what they sign we verify, what we
// sign they accept, and what is forged all of us refuse.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOf } from '@imagevet/registry';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  available,
  createDockerConfig,
  dockerHost,
  type NotaryService,
  type RunningService,
  startDockerRegistry,
  startNotaryServer,
} from '../../../test/services.ts';
import { signDetached } from './collection/ceremony.ts';
import { createMemoryRotationJournal, rotateKey } from './collection/rotation.ts';
import { TrustedCollection } from './collection/trusted-collection.ts';
import { createKeyStore } from './keys/create-key-store.ts';
import type { KeyStore } from './keys/key-store.ts';
import { tufKeyId } from './keys/public-key.ts';
import { issueRootCertificate } from './keys/root-certificate.ts';
import { signTag, signTags } from './sign.ts';
import { type NotaryProxy, startNotaryProxy } from './testing/notary-proxy.ts';
import { createMemoryTrustState } from './verify/state.ts';
import { listTrusted, resolveTrusted } from './verify.ts';

const ROOT = 'root passphrase';
const REPOSITORY = 'repository passphrase';

interface Outcome {
  readonly ok: boolean;
  readonly output: string;
}

interface Stage {
  readonly registry: RunningService;
  readonly notary: NotaryService;
  /** The notary through a proxy that can lie. */
  readonly proxy: NotaryProxy;
  readonly config: string;
  readonly keys: KeyStore;
}

describe.skipIf(!available('docker', 'docker-engine', 'docker-registry', 'notary-server', 'notary'))(
  'stock tools',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-stock-'));
    const images: string[] = [];
    let stage: Stage;

    beforeAll(async () => {
      const [registry, notary] = await Promise.all([startDockerRegistry(), startNotaryServer()]);
      const proxy = await startNotaryProxy({ server: { url: notary.url, ca: notary.ca }, tls: true });
      const config = createDockerConfig(directory, { ...notary, host: proxy.host, ca: proxy.ca ?? '' });
      const passphrase = { root: ROOT, targets: REPOSITORY, snapshot: REPOSITORY, delegation: REPOSITORY };
      const keys = createKeyStore({ directory: join(config, 'trust'), passphrase });
      stage = { registry, notary, proxy, config, keys };
    });

    afterAll(async () => {
      if (images.length > 0) await run('docker', ['rmi', '-f', ...images]);
      await Promise.all([stage.registry.close(), stage.notary.close(), stage.proxy.close()]);
      rmSync(directory, { recursive: true, force: true });
    });

    test('docker pull with content trust accepts a tag we signed, and refuses an unsigned one', async () => {
      const image = await pushImage('accept', '1');
      const { rootKeyIds } = await signTag(image.target, { ...image, ...ours() });
      const pulled = await docker(true, 'pull', image.reference);
      expect(pulled.output).toContain(image.target.digest);
      expect(pulled.ok).toBe(true);
      const unsigned = await pushImage('accept', '2');
      expect(await docker(true, 'pull', unsigned.reference)).toMatchObject({
        ok: false,
        output: expect.stringContaining('No valid trust data for 2'),
      });
      await expect(verify(unsigned, { root: { keyIds: rootKeyIds } })).rejects.toMatchObject({
        code: 'TAG_NOT_SIGNED',
      });
    });

    test('notary list shows what we signed, and docker trust inspect our root key', async () => {
      const image = await pushImage('list', '1');
      const signed = await signTags({
        ...image,
        ...ours(),
        targets: [image.target, { ...image.target, tag: 'one' }],
      });
      const list = await notary('list', image.collection);
      expect(list.output).toMatch(
        new RegExp(`one +${image.target.digest.slice(7)} +${image.target.size} +targets`),
      );
      const inspect = JSON.parse((await docker(false, 'trust', 'inspect', `${image.name}`)).output);
      expect(inspect[0].AdministrativeKeys).toContainEqual({
        Name: 'Root',
        Keys: [{ ID: signed.rootKeyIds[0] }],
      });
      expect(inspect[0].SignedTags.map(({ SignedTag }: { SignedTag: string }) => SignedTag)).toEqual([
        '1',
        'one',
      ]);
    });

    test('one altered byte of a signature is refused by docker, by notary and by us', async () => {
      const image = await pushImage('forged', '1');
      await signTag(image.target, { ...image, ...ours() });
      stage.proxy.intercept = (request, reply) => {
        if (!request.path.endsWith('/timestamp.json') || reply.status !== 200) return reply;
        const file = JSON.parse(Buffer.from(reply.body).toString());
        const signature = Buffer.from(file.signatures[0].sig, 'base64');
        signature[5] = (signature[5] ?? 0) ^ 1;
        file.signatures[0].sig = signature.toString('base64');
        return { ...reply, body: Buffer.from(JSON.stringify(file)) };
      };
      const fresh = join(directory, 'forged-notary');
      const outcomes = [
        await docker(true, 'pull', image.reference),
        await notaryIn(fresh, 'list', image.collection),
      ];
      await expect(verify(image)).rejects.toMatchObject({ code: 'INVALID_SIGNATURE' });
      stage.proxy.intercept = undefined;
      expect(outcomes.map(({ ok }) => ok)).toEqual([false, false]);
      expect((await docker(true, 'pull', image.reference)).ok).toBe(true);
      expect((await verify(image)).digest).toBe(image.target.digest);
    });

    test('resolveTrusted() verifies what docker push signed', async () => {
      const image = await pushImage('docker-signed', '1', true);
      expect(await verify(image)).toMatchObject({ digest: image.target.digest, length: image.target.size });
    });

    test('resolveTrusted() verifies what notary init and addhash signed', async () => {
      const image = await pushImage('notary-signed', '1');
      await must(notary('init', image.collection, '-p'));
      const hash = image.target.digest.slice(7);
      await must(notary('addhash', image.collection, '1', `${image.target.size}`, '--sha256', hash, '-p'));
      expect(await verify(image)).toMatchObject({ digest: image.target.digest, role: 'targets' });
    });

    test('docker, notary and imagevet sign one collection in turn', async () => {
      const image = await pushImage('turns', '1', true);
      const { collection } = image;
      const two = await pushImage('turns', '2');
      await signTag(two.target, { collection, ...ours() });
      await must(notary('addhash', collection, 'three', '3', '--sha256', digestOf('three').slice(7), '-p'));
      await pushImage('turns', '4', true);
      await signTag({ ...two.target, tag: 'five' }, { collection, ...ours() });
      const listed = await listTrusted(
        { collection },
        { server: stage.proxy.server, root: { firstUse: true } },
      );
      expect(listed.map(({ tag }) => tag)).toEqual(['1', '2', '4', 'five', 'three']);
      expect((await docker(true, 'pull', `${image.name}:2`)).ok).toBe(true);
    });

    test('docker trust signer add and sign work on a collection we set up', async () => {
      const image = await pushImage('signer', '1');
      const { collection } = image;
      await signTag(image.target, { collection, ...ours() });
      await must(docker(false, 'trust', 'key', 'generate', 'alice', '--dir', directory));
      await must(
        docker(false, 'trust', 'signer', 'add', '--key', join(directory, 'alice.pub'), 'alice', image.name),
      );
      await must(docker(false, 'trust', 'sign', image.reference));
      const verified = await verify(image);
      expect(verified).toMatchObject({ digest: image.target.digest, role: 'targets/releases' });
      // And we sign with the signer's key, as docker would.
      const two = await pushImage('signer', '2');
      const { roles } = await signTag(two.target, { collection, ...ours() });
      expect([...roles].sort()).toEqual(['targets/alice', 'targets/releases']);
      const inspect = JSON.parse((await docker(false, 'trust', 'inspect', image.name)).output);
      expect(inspect[0].SignedTags).toContainEqual(
        expect.objectContaining({ SignedTag: '2', Signers: ['alice'] }),
      );
      expect((await docker(true, 'pull', two.reference)).ok).toBe(true);
    });

    test('docker pull follows delegations and revocations we publish', async () => {
      const image = await pushImage('delegation', '1');
      const { collection } = image;
      await signTag(image.target, { collection, ...ours() });
      const bob = await stage.keys.generate({ role: 'bob' });
      const delegation = { keys: [bob.publicKey], threshold: 1, paths: [''] };
      await new TrustedCollection(collection, ours())
        .setDelegation({ name: 'targets/releases', ...delegation })
        .publish();
      const two = await pushImage('delegation', '2');
      await signTag(two.target, { collection, ...ours() });
      expect((await docker(true, 'pull', two.reference)).ok).toBe(true);
      await new TrustedCollection(collection, ours()).removeTarget('2').publish();
      expect(await docker(true, 'pull', two.reference)).toMatchObject({
        ok: false,
        output: expect.stringContaining('No valid trust data for 2'),
      });
    });

    test('docker pull follows a 2-of-3 release, a root of 2 keys and rotations of every key', async () => {
      const image = await pushImage('threshold', '1');
      const { collection } = image;
      const { rootKeyIds } = await signTag(image.target, { collection, ...ours() });
      expect((await docker(true, 'pull', image.reference)).ok).toBe(true);
      const team = [createKeyStore(), createKeyStore(), createKeyStore()];
      const algorithms = ['ecdsa-p256', 'ed25519', 'rsa-3072'] as const;
      const members = await Promise.all(
        team.map((store, index) =>
          store.generate({ role: 'member', algorithm: algorithms[index] ?? 'ecdsa-p256' }),
        ),
      );
      const keys = members.map(({ publicKey }) => publicKey);
      await new TrustedCollection(collection, ours())
        .setDelegation({ name: 'targets/releases', keys, threshold: 2, paths: [''] })
        .publish();
      const two = await pushImage('threshold', '2');
      const draft = () =>
        new TrustedCollection(collection, {
          ...ours(),
          keys: createKeyStore(),
          root: { keyIds: rootKeyIds },
        });
      const request = await draft()
        .setTarget(two.target, { roles: ['targets/releases'] })
        .prepare();
      const signatures = await Promise.all(team.slice(1).map((store) => signDetached(request, store)));
      await expect(draft().publishPrepared(request, signatures.slice(1))).rejects.toMatchObject({
        code: 'THRESHOLD',
      });
      expect((await docker(true, 'pull', two.reference)).ok).toBe(false);
      await draft().publishPrepared(request, signatures);
      expect((await docker(true, 'pull', two.reference)).ok).toBe(true);
      const certificates = await Promise.all(
        [await stage.keys.generate({ role: 'root' }), await stage.keys.generate({ role: 'root' })].map(
          (keypair) => issueRootCertificate(keypair, collection),
        ),
      );
      const owner = { ...ours(), root: { keyIds: rootKeyIds } };
      await new TrustedCollection(collection, owner)
        .stage({ type: 'role-keys', role: 'root', keys: certificates, threshold: 2 })
        .publish();
      for (const role of ['targets', 'snapshot', 'timestamp'] as const) {
        await rotateKey(collection, role, { ...owner, journal: createMemoryRotationJournal() });
        expect((await docker(true, 'pull', two.reference)).ok).toBe(true);
      }
      expect((await verify(two, { root: { keyIds: rootKeyIds } })).versions.root).toBe(5);
    });

    test('docker pull follows a collection set up under a root of 2 keys by a ceremony, and its change by another', async () => {
      const image = await pushImage('root-ceremony', '1');
      const { collection } = image;
      // Each signer has one key in a store of their own; the publisher has no root key at all.
      const signers = [createKeyStore(), createKeyStore(), createKeyStore()];
      const certificates = await Promise.all(
        signers.map(async (store) =>
          issueRootCertificate(await store.generate({ role: 'root' }), collection),
        ),
      );
      const publisher = createKeyStore();
      const draft = () =>
        new TrustedCollection(collection, {
          server: stage.proxy.server,
          keys: publisher,
          root: { keyIds: certificates.slice(0, 2).map(tufKeyId) },
        });
      const rootOf = (keys: typeof certificates) =>
        ({ type: 'role-keys', role: 'root', keys, threshold: 2 }) as const;
      const first = await draft()
        .stage(rootOf(certificates.slice(0, 2)))
        .setTarget(image.target)
        .prepare();
      const own = await signDetached(first, publisher);
      const [ann, bob] = await Promise.all(signers.slice(0, 2).map((store) => signDetached(first, store)));
      await expect(draft().publishPrepared(first, [own, ann!])).rejects.toMatchObject({ code: 'THRESHOLD' });
      expect((await docker(true, 'pull', image.reference)).ok).toBe(false);
      await draft().publishPrepared(first, [own, ann!, bob!]);
      expect((await docker(true, 'pull', image.reference)).output).toContain(image.target.digest);
      // Ann hands over to the third: the two who were and the two who will be have to sign.
      const change = await draft()
        .stage(rootOf(certificates.slice(1)))
        .prepare();
      const all = await Promise.all(signers.map((store) => signDetached(change, store)));
      for (const missing of [0, 1, 2]) {
        const few = all.filter((_, index) => index !== missing);
        await expect(draft().publishPrepared(change, few)).rejects.toMatchObject({ code: 'THRESHOLD' });
      }
      await draft().publishPrepared(change, all);
      expect((await docker(true, 'pull', image.reference)).ok).toBe(true);
      rmSync(join(stage.config, 'trust', 'tuf', collection), { recursive: true });
      expect((await docker(true, 'pull', image.reference)).output).toContain(image.target.digest);
      expect((await verify(image)).versions.root).toBe(2);
    });

    test('7.2: docker pulls a digest nobody signed; resolveTrusted() refuses it', async () => {
      const signed = await pushImage('by-digest', '1');
      await signTag(signed.target, { ...signed, ...ours() });
      const unsigned = await pushImage('by-digest', '2');
      const { digest } = unsigned.target;
      expect((await docker(true, 'pull', `${unsigned.name}@${digest}`)).ok).toBe(true);
      const image = { registry: stage.registry.host, repository: 'by-digest', digest };
      const options = { server: stage.proxy.server, root: { firstUse: true } } as const;
      await expect(resolveTrusted(image, options)).rejects.toMatchObject({ code: 'DIGEST_NOT_SIGNED' });
    });

    test('3: docker answers from its cache when the notary does not; resolveTrusted() never', async () => {
      const image = await pushImage('cached', '1');
      await signTag(image.target, { ...image, ...ours() });
      const state = createMemoryTrustState();
      expect((await docker(true, 'pull', image.reference)).ok).toBe(true);
      expect((await verify(image, { state })).digest).toBe(image.target.digest);
      stage.proxy.block = () => ({ status: 503, body: Buffer.from('{}') });
      const cached = await docker(true, 'pull', image.reference);
      const ourAnswer = await verify(image, { state }).catch((error: { code: string }) => error.code);
      stage.proxy.block = undefined;
      expect(cached).toMatchObject({ ok: true, output: expect.stringContaining(image.target.digest) });
      expect(ourAnswer).toBe('UNREACHABLE');
    });

    test('8.3: a rotation the server refuses costs notary the key, and us nothing', async () => {
      const stock = await pushImage('rotation-notary', '1');
      await must(notary('init', stock.collection, '-p'));
      const own = await pushImage('rotation-ours', '1');
      await signTag(own.target, { collection: own.collection, ...ours() });
      stage.proxy.block = ({ method }) =>
        method === 'POST' ? { status: 503, body: Buffer.from('{}') } : undefined;
      const rotation = await notary('key', 'rotate', stock.collection, 'targets');
      const journal = createMemoryRotationJournal();
      const rotate = () => rotateKey(own.collection, 'targets', { ...ours(), journal });
      await expect(rotate()).rejects.toMatchObject({ code: 'UNREACHABLE' });
      stage.proxy.block = undefined;
      expect(rotation.ok).toBe(false);
      const afterwards = await notary(
        'addhash',
        stock.collection,
        'x',
        '1',
        '--sha256',
        '0'.repeat(64),
        '-p',
      );
      expect(afterwards).toMatchObject({ ok: false, output: expect.stringContaining('signing keys') });
      const two = await pushImage('rotation-ours', '2');
      await signTag(two.target, { collection: own.collection, ...ours() });
      expect(await rotate()).toMatchObject({ resumed: true });
      expect((await docker(true, 'pull', two.reference)).ok).toBe(true);
    });

    const ours = () => ({ server: stage.proxy.server, keys: stage.keys });

    const verify = async (
      image: { readonly collection: string; readonly target: { readonly tag: string } },
      options: Parameters<typeof resolveTrusted>[1] = {},
    ) =>
      resolveTrusted(
        { collection: image.collection, tag: image.target.tag },
        { server: stage.proxy.server, root: { firstUse: true }, ...options },
      );

    /** Makes an image of one small file and pushes it, signed by docker when `trust` is on. */
    async function pushImage(repository: string, tag: string, trust = false) {
      const collection = `${stage.registry.host}/${repository}`;
      const reference = `${collection}:${tag}`;
      const context = mkdtempSync(join(directory, 'context-'));
      writeFileSync(join(context, 'file'), `${repository} ${tag} ${Math.random()}`);
      await must(run('tar', ['-C', context, '-cf', `${context}.tar`, 'file']));
      await must(docker(false, 'import', `${context}.tar`, reference));
      images.push(reference);
      await must(docker(trust, 'push', reference));
      const { body, headers } = await request(`${stage.registry.url}/v2/${repository}/manifests/${tag}`, {
        headers: { accept: 'application/vnd.docker.distribution.manifest.v2+json' },
      });
      const manifest = Buffer.from(await body.arrayBuffer());
      expect(headers['docker-content-digest']).toBe(digestOf(manifest));
      return {
        collection,
        name: collection,
        reference,
        target: { tag, digest: digestOf(manifest), size: manifest.length },
      };
    }

    async function docker(trust: boolean, ...args: readonly string[]): Promise<Outcome> {
      return run('docker', args, {
        DOCKER_HOST: dockerHost,
        DOCKER_CONFIG: stage.config,
        DOCKER_CONTENT_TRUST: trust ? '1' : '0',
        DOCKER_CONTENT_TRUST_SERVER: stage.proxy.url,
        DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: ROOT,
        DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: REPOSITORY,
      });
    }

    async function notary(...args: readonly string[]): Promise<Outcome> {
      return notaryIn(join(stage.config, 'trust'), ...args);
    }

    async function notaryIn(trustDirectory: string, ...args: readonly string[]): Promise<Outcome> {
      const ca = join(directory, 'proxy-ca.crt');
      writeFileSync(ca, stage.proxy.ca ?? '');
      return run('notary', ['-s', stage.proxy.url, '--tlscacert', ca, '-d', trustDirectory, ...args], {
        NOTARY_ROOT_PASSPHRASE: ROOT,
        NOTARY_TARGETS_PASSPHRASE: REPOSITORY,
        NOTARY_SNAPSHOT_PASSPHRASE: REPOSITORY,
        NOTARY_DELEGATION_PASSPHRASE: REPOSITORY,
      });
    }
  },
);

async function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, { env: { ...process.env, ...env } });
    return { ok: true, output: `${stdout}${stderr}` };
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return { ok: false, output: `${stdout}${stderr}` };
  }
}

async function must(outcome: Promise<Outcome>): Promise<string> {
  const { ok, output } = await outcome;
  if (!ok) throw new Error(output);
  return output;
}
