// What goes wrong in a vetting is a typed error or a stated gap of the verdict: never a stack trace, never "allow".
import {
  type Builder,
  CoreError,
  dockerEngineBuilder,
  type ProvenanceSource,
  type PublicServicesOptions,
  publicServices,
  type SourceHost,
  type VetEvent,
  type VetOptions,
  type VetReport,
  vet,
} from '@imagevet/core';
import { copyImage, parseReference, RegistryClient, resolveImage } from '@imagevet/registry';
import { startRegistry } from '@imagevet/registry/testing';
import { createKeyStore, resolveTrusted } from '@imagevet/trust';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startWorld, type World } from '../examples/demo/src/index.ts';

const NOWHERE = 'http://127.0.0.1:1';

let world: World;
const clients: RegistryClient[] = [];

beforeEach(async () => {
  world = await startWorld();
});
afterEach(async () => {
  await world.close();
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
});

/** Rebuilds by copying the public image: as if a build had come out bit for bit the same. */
function copyingBuilder(change: Partial<Builder> = {}): Builder {
  const published = new RegistryClient(world.serviceOptions);
  clients.push(published);
  return {
    name: 'copying',
    probe: async () => ({ name: 'copying', version: '1', platform: world.platform }),
    build: async ({ target }, options = {}) => {
      options.signal?.throwIfAborted();
      const name = target.repository.replace('vetted-scratch/', '');
      const tag =
        { 'library/press': '4.9', 'library/script': '7.2-web', 'library/distro': '9-slim' }[name] ?? 'latest';
      const from = parseReference(`docker.io/${name}:${tag}`);
      await copyImage(from, target, { source: published, destination: world.target.client });
      const image = await resolveImage(target, { source: world.target.client, platform: world.platform });
      return {
        reference: { ...target, digest: image.manifest.digest },
        descriptor: image.manifest,
        diffIds: image.diffIds,
        imageId: image.config.digest,
      };
    },
    ...change,
  };
}

function options(
  services: Partial<PublicServicesOptions> = {},
  change: Partial<VetOptions> = {},
): VetOptions {
  return {
    ...publicServices({ ...world.serviceOptions, ...services }),
    platform: world.platform,
    target: world.target,
    builder: copyingBuilder(),
    trust: { server: world.notary, keys: createKeyStore() },
    ...change,
  };
}

const codes = (report: VetReport) => report.gaps.map(({ stage, code }) => `${stage} ${code}`);

/** Denied, and nothing promoted or signed. */
async function expectDenied(report: VetReport): Promise<void> {
  expect(report.verdict.decision).toBe('deny');
  expect(report.verdict.pinned).toBeUndefined();
  expect(report.endorsements).toEqual([]);
  await expectNoName();
}

async function expectNoName(): Promise<void> {
  for (const name of ['press:4.9', 'script:7.2-web', 'distro:9-slim']) {
    const internal = parseReference(`${world.target.registry}/vetted/library/${name}`);
    await expect(world.target.client.resolve(internal)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }
}

test('with nothing wrong the same set-up is allowed, and every name verifies', async () => {
  const report = await vet(world.image, options());
  expect(report.verdict.reasons.filter(({ outcome }) => outcome !== 'pass')).toEqual([]);
  expect(report.verdict).toMatchObject({ decision: 'allow', complete: true });
  for (const { collection, tags, digest } of report.endorsements) {
    for (const tag of tags) {
      const reference = parseReference(`${collection}:${tag}`);
      expect(await world.target.client.resolve(reference)).toMatchObject({ digest });
      const trusted = await resolveTrusted(reference, { server: world.notary, root: { firstUse: true } });
      expect(trusted.digest).toBe(digest);
    }
  }
});

describe('an image nobody can show', () => {
  test('unknown: NOT_FOUND', async () => {
    await expect(vet('nobody/nothing:1', options())).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('no reference: INVALID_REFERENCE', async () => {
    await expect(vet('Not A Reference', options())).rejects.toMatchObject({ code: 'INVALID_REFERENCE' });
  });

  test('private, without credentials: AUTH_REQUIRED', async () => {
    await using locked = await startRegistry({ basic: { username: 'u', password: 'p' } });
    const services = { hosts: { 'docker.io': { url: locked.url } } };
    await expect(vet('team/secret:1', options(services))).rejects.toMatchObject({ code: 'AUTH_REQUIRED' });
    const known = await vet(world.image, options(services));
    expect(codes(known)).toContain('resolve AUTH_REQUIRED');
    await expectDenied(known);
  });
});

describe('somebody who does not answer', () => {
  test.each([
    ['Docker Hub', { hubUrl: NOWHERE }, 'provenance SOURCE_UNREACHABLE'],
    ['the git host', { gitUrl: NOWHERE }, 'provenance SOURCE_UNREACHABLE'],
    ['the registry', { hosts: { 'docker.io': { url: NOWHERE } } }, 'resolve UNREACHABLE'],
  ])(
    '%s: a gap, and denied',
    async (_name, services, gap) => {
      const report = await vet(world.image, options(services));
      expect(codes(report)).toContain(gap);
      expect(report.verdict.complete).toBe(false);
      await expectDenied(report);
    },
    60_000,
  );

  test('the engine: a gap, the rebuild is planned only, and denied', async () => {
    const builder = dockerEngineBuilder({
      dockerHost: 'unix:///nowhere/docker.sock',
      registry: world.target.client,
    });
    const report = await vet(world.image, options({}, { builder }));
    expect(codes(report)).toContain('rebuild ENGINE_UNREACHABLE');
    expect(report.plan?.steps).toHaveLength(3);
    await expectDenied(report);
  });

  test('the notary: rebuilt and compared, yet denied, because it was to be signed', async () => {
    const report = await vet(
      world.image,
      options({}, { trust: { server: { url: NOWHERE }, keys: createKeyStore() } }),
    );
    expect(report.gaps.map(({ stage }) => stage)).toContain('trust');
    expect(Object.values(report.comparisons)).toHaveLength(3);
    await expectDenied(report);
  }, 60_000);
});

describe('sources that do not hold', () => {
  test('a Dockerfile link that is gone: the claim stands, the bytes are missing, denied', async () => {
    delete world.repositories['example/script'];
    const report = await vet(world.image, options());
    const script = report.lineage.nodes.find(({ reference }) => reference.repository === 'library/script');
    expect(script?.dockerfile).toMatchObject({
      location: { repository: 'https://github.com/example/script' },
    });
    expect(script?.dockerfile.text).toBeUndefined();
    expect(codes(report).some((code) => /^provenance SOURCE_(COMMIT_)?NOT_FOUND$/.test(code))).toBe(true);
    await expectDenied(report);
  });

  const sourceOf = (dockerfiles: Readonly<Record<string, string>>): Pick<VetOptions, 'sources' | 'host'> => {
    const repository = 'https://git.example/x';
    const source: ProvenanceSource = {
      kind: 'official-images',
      async *claims({ reference }) {
        const path = `${reference.repository}/Dockerfile`;
        const location = { repository, commit: 'a'.repeat(40), directory: reference.repository, path };
        if (Object.hasOwn(dockerfiles, path))
          yield { kind: 'official-images', foundAt: repository, location };
      },
    };
    const host: SourceHost = {
      supports: () => true,
      readFile: async (_repository, _commit, path) => ({
        content: Buffer.from(dockerfiles[path] ?? ''),
        url: path,
      }),
      async *readDirectory() {},
      commitOf: async () => 'a'.repeat(40),
      reachability: async () => 'reachable',
    };
    return { sources: [source], host };
  };

  test.each([
    ['FROM ${UNSET}', { 'library/press/Dockerfile': 'FROM ${UNSET}' }, 'lineage BASE_UNRESOLVED'],
    [
      'a cycle',
      { 'library/press/Dockerfile': 'FROM script:7.2-web', 'library/script/Dockerfile': 'FROM press:4.9' },
      'lineage LINEAGE_CYCLE',
    ],
    ['a file that is no Dockerfile', { 'library/press/Dockerfile': '<html>' }, 'lineage INVALID_DOCKERFILE'],
  ])('%s: a gap, and denied', async (_name, dockerfiles, gap) => {
    const report = await vet(world.image, options({}, sourceOf(dockerfiles)));
    expect(codes(report)).toContain(gap);
    await expectDenied(report);
  });
});

describe('content and builds that fail', () => {
  test('a layer whose bytes do not match: DIGEST_MISMATCH is a gap, and denied', async () => {
    const published = new RegistryClient(world.serviceOptions);
    clients.push(published);
    const tampered = parseReference(world.tamperedImage);
    const image = await resolveImage(tampered, { source: published, platform: world.platform });
    const layer = image.layers.at(-1);
    if (layer !== undefined) world.published.corruptBlob(layer.digest, Buffer.alloc(layer.size, 1));
    const report = await vet(world.tamperedImage, options());
    expect(report.rebuild?.outcomes.map(({ status }) => status)).toEqual(['built', 'built', 'built']);
    expect(codes(report)).toEqual(['compare DIGEST_MISMATCH']);
    await expectDenied(report);
  });

  test('a build that fails: its children are skipped, and denied', async () => {
    const honest = copyingBuilder();
    const build: Builder['build'] = (request, operation) => {
      if (!request.target.repository.endsWith('script')) return honest.build(request, operation);
      throw new CoreError('BUILD_FAILED', 'the build failed in line 3: make', { details: { line: 3 } });
    };
    const report = await vet(world.image, options({}, { builder: { ...honest, build } }));
    expect(report.rebuild?.outcomes.map(({ status }) => status)).toEqual(['built', 'failed', 'skipped']);
    expect(JSON.stringify(report.verdict.reasons)).toContain('line 3');
    await expectDenied(report);
  });

  test('no target: nothing is rebuilt, and denied', async () => {
    const report = await vet(world.image, options({}, { target: undefined }));
    expect(codes(report)).toContain('rebuild NO_TARGET');
    await expectDenied(report);
  });
});

describe('Ctrl-C', () => {
  const at = (matches: (event: VetEvent) => boolean): { promise: Promise<VetReport>; reason: Error } => {
    const controller = new AbortController();
    const reason = new Error('interrupted');
    const promise = vet(
      world.image,
      options(
        {},
        {
          signal: controller.signal,
          onProgress: (event) => {
            if (matches(event)) controller.abort(reason);
          },
        },
      ),
    );
    return { promise, reason };
  };

  test.each(['lineage', 'audit', 'plan', 'rebuild', 'compare', 'policy', 'promote', 'endorse'])(
    'in the stage %s rejects with the reason, and nothing has a name',
    async (stage) => {
      const { promise, reason } = at((event) => event.type === 'stage-started' && event.stage === stage);
      await expect(promise).rejects.toBe(reason);
      await expectNoName();
    },
  );

  test('between two builds too', async () => {
    const { promise, reason } = at((event) => event.type === 'step-finished');
    await expect(promise).rejects.toBe(reason);
    await expectNoName();
  });
});
