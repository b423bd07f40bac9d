// Rows of the attack matrix at the level of the verdict; the registry's own are in packages/registry.
import {
  type PublicServicesOptions,
  publicServices,
  type VetOptions,
  type VetReport,
  vet,
} from '@imagevet/core';
import {
  blobOf,
  copyImage,
  type Descriptor,
  digestOf,
  ImagevetError,
  MediaType,
  parseReference,
  RegistryClient,
  resolveImage,
  staticKeychain,
} from '@imagevet/registry';
import { pushTestIndex, startRegistry } from '@imagevet/registry/testing';
import { createKeyStore } from '@imagevet/trust';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startWorld, type World } from '../examples/demo/src/index.ts';

let world: World;
/** As whoever publishes. */
let publisher: RegistryClient;

beforeEach(async () => {
  world = await startWorld();
  publisher = new RegistryClient(world.serviceOptions);
});
afterEach(async () => {
  await publisher.close();
  await world.close();
});

function options(
  change: Partial<VetOptions> = {},
  services: Partial<PublicServicesOptions> = {},
): VetOptions {
  return {
    ...publicServices({ ...world.serviceOptions, ...services }),
    platform: world.platform,
    target: world.target,
    // Copies the honest image: as if a build had come out bit for bit the same.
    builder: {
      name: 'copying',
      probe: async () => ({ name: 'copying', version: '1', platform: world.platform }),
      build: async ({ target }) => {
        const name = target.repository.replace('vetted-scratch/', '');
        const tag = { 'library/press': 'honest', 'library/script': '7.2-web', 'library/distro': '9-slim' }[
          name
        ];
        const from = parseReference(`docker.io/${name}:${tag}`);
        await copyImage(from, target, { source: publisher, destination: world.target.client });
        const image = await resolveImage(target, { source: world.target.client, platform: world.platform });
        return {
          reference: { ...target, digest: image.manifest.digest },
          descriptor: image.manifest,
          diffIds: image.diffIds,
          imageId: image.config.digest,
        };
      },
    },
    trust: { server: world.notary, keys: createKeyStore() },
    ...change,
  };
}

const press = (tag: string) => parseReference(`docker.io/library/press:${tag}`);

/** Gives the manifest under one tag another tag. */
async function retag(from: string, to: string): Promise<string> {
  const { bytes, descriptor } = await publisher.fetchManifest(press(from));
  await publisher.pushManifest(press(to), { bytes, mediaType: descriptor.mediaType });
  return descriptor.digest;
}

beforeEach(async () => {
  await retag('4.9', 'honest');
});

test('row 14: a tag that moves during a vetting changes nothing: what was resolved first is compared and judged', async () => {
  const before = await publisher.resolve(press('4.9'));
  const { builder } = options();
  const moving = options({
    builder: {
      ...builder!,
      probe: async () => {
        await retag('4.9-tampered', '4.9');
        return builder!.probe();
      },
    },
  });
  const report = await vet(world.image, moving);
  expect((await publisher.resolve(press('4.9'))).digest).not.toBe(before.digest);
  expect(leaf(report)).toBe(before.digest);
  expect(report.verdict.decision).toBe('allow');
});

test('row 15: of two manifests shown to two users, each verdict is about the one that was read', async () => {
  // A public registry that shows one of its users something else.
  await using front = await startRegistry({
    intercept: async ({ url = '', headers }, response) => {
      if (headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="hub"' }).end();
        return true;
      }
      const victim = headers.authorization === `Basic ${Buffer.from('victim:x').toString('base64')}`;
      const path = victim ? url.replace('/press/manifests/4.9', '/press/manifests/4.9-tampered') : url;
      const answer = await fetch(`${world.published.url}${path}`, {
        headers: { accept: headers.accept ?? '*/*' },
      });
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
      response.end(Buffer.from(await answer.arrayBuffer()));
      return true;
    },
  });
  const vetAs = async (username: string) => {
    const keychain = staticKeychain({ [front.host]: { kind: 'basic', username, password: 'x' } });
    return vet(world.image, options({}, { hosts: { 'docker.io': { url: front.url } }, keychain }));
  };
  const shown = await vetAs('victim');
  expect(leaf(shown)).toBe((await publisher.resolve(press('4.9-tampered'))).digest);
  expect(shown.verdict.decision).toBe('deny');
  expect(shown.verdict.pinned).toBeUndefined();
  const seen = await vetAs('auditor');
  expect(leaf(seen)).toBe((await publisher.resolve(press('honest'))).digest);
  expect(seen.verdict.decision).toBe('allow');
  // What may run is the rebuilt image in the internal registry, which the public registry cannot vary.
  expect(seen.verdict.pinned).toMatch(new RegExp(`^${world.target.registry}/vetted/library/press@sha256:`));
});

test('row 19: a verdict for one platform says nothing of another, and none can be slipped in later', async () => {
  const image = await resolveImage(press('honest'), { source: publisher, platform: world.platform });
  const other = { os: 'linux', architecture: 's390x' };
  await pushTestIndex(publisher, press('4.9'), [image]);
  const report = await vet(world.image, options());
  expect(report.verdict.decision).toBe('allow');
  // An image, not an index: nothing can be added to it.
  const pinned = await world.target.client.fetchManifest(parseReference(report.verdict.pinned!));
  expect(pinned.kind).toBe('image');

  // Neither the registry nor a source knows the image on that platform: there is nothing to report on.
  const refused = { code: 'PLATFORM_NOT_FOUND' };
  await expect(vet(world.image, options({ platform: other }))).rejects.toMatchObject(refused);
  // Added after vetting: the vetted image again, under the name of another platform.
  await pushTestIndex(publisher, press('4.9'), [image, { ...image, platform: other }]);
  await expect(vet(world.image, options({ platform: other }))).rejects.toMatchObject(refused);
});

test('row 24: an image that is gone is denied as gone, and what was admitted before stays where it was', async () => {
  const before = await vet(world.image, options());
  const { digest } = await publisher.resolve(press('4.9'));
  for (const tag of ['4.9', '4', 'honest'])
    await publisher.deleteManifest({ ...press(tag), digest }).catch(() => undefined);
  await expect(publisher.fetchManifest({ ...press('4.9'), digest })).rejects.toMatchObject({
    code: 'NOT_FOUND',
  });
  const report = await vet(`press@${digest}`, options()).catch((error: unknown) => error);
  if (ImagevetError.is(report)) expect(report.code).toBe('NOT_FOUND');
  else expect((report as VetReport).gaps.map(({ code }) => code)).toContain('NOT_FOUND');
  expect(before.verdict.decision).toBe('allow');
  const pinned = parseReference(before.verdict.pinned!);
  expect((await world.target.client.resolve(pinned)).digest).toBe(pinned.digest);
});

/** Digest of the public image a report is about. */
function leaf({ lineage }: VetReport): string | undefined {
  return lineage.nodes.find(({ id }) => id === lineage.root)?.image?.manifest.digest;
}

test("row 25: a stranger's signature and a made-up summary beside an image change no verdict about it", async () => {
  // One signer for all of it: whoever comes with other keys cannot sign for this collection.
  const ours = options();
  const honest = await vet(world.image, ours);
  expect(honest.verdict.decision).toBe('allow');
  const tampered = await publisher.resolve(press('4.9-tampered'));
  const genuine = await publisher.resolve(press('honest'));
  const attached: string[] = [];
  for (const subject of [tampered, genuine]) {
    const statement = {
      ...{
        _type: 'https://in-toto.io/Statement/v1',
        predicateType: 'https://slsa.dev/verification_summary/v1',
      },
      subject: [{ name: 'press', digest: { sha256: subject.digest.slice('sha256:'.length) } }],
      predicate: {
        verifier: { id: 'https://auditor.example' },
        verificationResult: 'PASSED',
        verifiedLevels: ['SLSA_BUILD_LEVEL_3'],
      },
    };
    attached.push(await attach(subject, 'application/vnd.in-toto+json', JSON.stringify(statement)));
    attached.push(
      await attach(subject, 'application/vnd.dev.sigstore.bundle.v0.3+json', '{"verificationMaterial":{}}'),
    );
    // Where cosign before version 3 keeps signatures.
    const tag = `${subject.digest.replace(':', '-')}.sig`;
    await attach(
      subject,
      'application/vnd.dev.cosign.simplesigning.v1+json',
      'signed by nobody you know',
      tag,
    );
  }
  const listed: string[] = [];
  for await (const { digest } of publisher.referrers(press('4.9'), tampered.digest)) listed.push(digest);
  for await (const { digest } of publisher.referrers(press('4.9'), genuine.digest)) listed.push(digest);
  expect(listed.toSorted()).toEqual(expect.arrayContaining(attached.toSorted()));

  const vouchedFor = await vet('press:4.9-tampered', ours);
  expect(vouchedFor.verdict.decision).toBe('deny');
  expect(vouchedFor.verdict.pinned).toBeUndefined();
  const again = await vet(world.image, ours);
  expect(again.verdict.reasons).toEqual(honest.verdict.reasons);
  expect(again.verdict.decision).toBe(honest.verdict.decision);
  expect(again.verdict.pinned).toBe(honest.verdict.pinned);
});

/** Stores something that refers to an image of press. */
async function attach(
  subject: Descriptor,
  artifactType: string,
  text: string,
  tag?: string,
): Promise<string> {
  const store = async (content: string, mediaType: string) => {
    const bytes = Buffer.from(content);
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
    await publisher.pushBlob(press('4.9'), blobOf(bytes, descriptor));
    return descriptor;
  };
  const mediaType = MediaType.ociManifest;
  const document = {
    ...{ schemaVersion: 2, mediaType, artifactType, config: await store('{}', MediaType.ociEmpty) },
    layers: [await store(text, artifactType)],
    ...(tag === undefined ? { subject } : {}),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  const { registry, repository } = press('4.9');
  const name = tag === undefined ? { digest: digestOf(bytes) } : { tag };
  return (await publisher.pushManifest({ registry, repository, ...name }, { bytes, mediaType })).digest;
}
