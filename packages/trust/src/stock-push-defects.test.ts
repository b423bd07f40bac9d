// What docker push leaves unsigned, beside what we do. The numbers are those of the list in docs/decisions/0015.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type ImageReference, parseReference, RegistryClient } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  available,
  buildkitHost,
  createDockerConfig,
  dockerHost,
  type NotaryService,
  type RunningService,
  startDockerRegistry,
  startNotaryServer,
} from '../../../test/services.ts';
import { createKeyStore } from './keys/create-key-store.ts';
import { signTag } from './sign.ts';
import { type NotaryProxy, startNotaryProxy } from './testing/notary-proxy.ts';
import { resolveTrusted } from './verify.ts';

const PASSPHRASE = 'passphrase one';

describe.skipIf(!available('notary-server', 'docker', 'docker-engine', 'docker-registry'))(
  'a defect of docker push',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-push-'));
    const imported: [host: string | undefined, reference: string][] = [];
    let registry: RunningService;
    let notary: NotaryService;
    let proxy: NotaryProxy;
    let config: string;
    beforeAll(async () => {
      [registry, notary] = await Promise.all([startDockerRegistry(), startNotaryServer()]);
      proxy = await startNotaryProxy({ server: { url: notary.url, ca: notary.ca }, tls: true });
      config = createDockerConfig(directory, { host: proxy.host, ca: proxy.ca ?? '' });
      writeFileSync(join(directory, 'file'), 'content');
      await promisify(execFile)('tar', ['-C', directory, '-cf', join(directory, 'image.tar'), 'file']);
    });
    afterAll(async () => {
      for (const [host, reference] of imported) await docker(host, false, 'rmi', '-f', reference);
      await Promise.all([registry.close(), notary.close(), proxy.close()]);
      rmSync(directory, { recursive: true, force: true });
    });

    test('8.1.4: push of all tags signs none and ends with 0; signTag() signs what the registry has', async () => {
      const image = await importImage(dockerHost, 'all', '1');
      const pushed = await docker(dockerHost, true, 'push', '--all-tags', `${image.registry}/all`);
      expect(pushed).toMatchObject({ code: 0 });
      expect(pushed.output).toContain('No tag specified, skipping trust metadata push');
      await expect(verify(image)).rejects.toMatchObject({ code: 'NOT_SIGNED' });
      await signAsRegistryHasIt(image);
      expect((await docker(dockerHost, true, 'pull', name(image))).code).toBe(0);
    });

    test('8.1.5: trust sign without login fails and leaves a root nobody has; signTag() needs no login', async () => {
      const image = await importImage(dockerHost, 'login', '1');
      const signed = await docker(dockerHost, true, 'trust', 'sign', name(image));
      expect(signed.code).not.toBe(0);
      expect(signed.output).toContain('invalid delegation role name');
      await docker(dockerHost, false, 'push', name(image));
      await signAsRegistryHasIt(image);
      // The root docker made and did not publish stays in its trust directory; others know nothing of it.
      expect((await docker(dockerHost, true, 'pull', name(image))).output).toContain('new trusted root');
      forget(image);
      expect((await docker(dockerHost, true, 'pull', name(image))).code).toBe(0);
    });

    test.skipIf(!available('buildkit'))(
      '8.1.6: push from the containerd image store signs nothing; signTag() signs by the digest in the registry',
      async () => {
        const image = await importImage(buildkitHost, 'containerd', '1');
        const pushed = await docker(buildkitHost, true, 'push', name(image));
        expect(pushed.code).not.toBe(0);
        expect(pushed.output).toContain('no hashes specified for target');
        await expect(verify(image)).rejects.toMatchObject({ code: 'NOT_SIGNED' });
        const digest = await signAsRegistryHasIt(image);
        forget(image);
        const pulled = await docker(dockerHost, true, 'pull', name(image));
        imported.push([dockerHost, name(image)]);
        expect(pulled.output).toContain(digest);
        expect(pulled.code).toBe(0);
      },
    );

    async function importImage(host: string | undefined, repository: string, tag: string) {
      const image = parseReference(`${registry.host}/${repository}:${tag}`);
      const result = await docker(host, false, 'import', join(directory, 'image.tar'), name(image));
      expect(result).toMatchObject({ code: 0 });
      imported.push([host, name(image)]);
      return image;
    }

    async function signAsRegistryHasIt(image: ImageReference): Promise<string> {
      const client = new RegistryClient();
      const { digest, size } = await client.resolve(image);
      const keys = createKeyStore({ directory: join(config, 'trust'), passphrase: PASSPHRASE });
      const collection = `${image.registry}/${image.repository}`;
      await signTag({ tag: image.tag ?? '', digest, size }, { collection, server: proxy.server, keys });
      expect((await verify(image)).digest).toBe(digest);
      return digest;
    }

    function forget({ registry: host, repository }: ImageReference): void {
      rmSync(join(config, 'trust', 'tuf', host, repository), { recursive: true });
    }

    const verify = (image: ImageReference) =>
      resolveTrusted(image, { server: proxy.server, root: { firstUse: true } });

    const name = ({ registry: host, repository, tag }: ImageReference) => `${host}/${repository}:${tag}`;

    async function docker(host: string | undefined, trust: boolean, ...args: readonly string[]) {
      const env = {
        ...process.env,
        DOCKER_HOST: host,
        DOCKER_CONFIG: config,
        DOCKER_CONTENT_TRUST: trust ? '1' : '0',
        DOCKER_CONTENT_TRUST_SERVER: proxy.url,
        DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: PASSPHRASE,
        DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: PASSPHRASE,
      };
      return promisify(execFile)('docker', args, { env }).then(
        ({ stdout, stderr }) => ({ code: 0, output: `${stdout}${stderr}` }),
        (error) => ({ code: error.code as number, output: `${error.stdout}${error.stderr}` }),
      );
    }
  },
);
