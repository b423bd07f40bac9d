// Vettings over services in this process: what an allowed one leaves behind, and what one that goes wrong late does not.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Digest,
  digestOf,
  parseReference,
  RegistryClient,
  type ResolvedImage,
  type Resolver,
  resolveImage,
} from '@imagevet/registry';
import {
  createRepository,
  pushTestImage,
  startGitHost,
  startHub,
  startRegistry,
  type TestImage,
} from '@imagevet/registry/testing';
import { createKeyStore, resolveTrusted } from '@imagevet/trust';
import { type RunningNotary, startNotary } from '@imagevet/trust/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { available, dockerHost } from '../../../../test/services.ts';
import { CoreError } from '../errors.ts';
import type { ProvenanceSource, SourceHost } from '../lineage/types.ts';
import { defaultPolicy } from '../policy/default-policy.ts';
import type { Policy, PolicyException } from '../policy/types.ts';
import { type PublicServices, publicServices } from '../provenance/public-services.ts';
import { dockerEngineBuilder } from '../rebuild/engine/docker-engine-builder.ts';
import { localRunner } from '../rebuild/run-step.ts';
import type { Builder } from '../rebuild/types.ts';
import type { VetReport } from '../report/types.ts';
import type { RebuildTarget, VetEvent, VetOptions } from './types.ts';
import { vet } from './vet.ts';

const PUBLISHED = '2018-01-03T20:28:52Z';
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const RELEASE = 'ID=ground\nVERSION_ID="1"\n';
const APPLICATION = '#!/bin/sh\necho application\n';

interface Member {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly image: TestImage;
}

/** `application:1` on `ground:1` on scratch; the Dockerfile of `application` may be another. */
function members(application?: string): readonly Member[] {
  const history = (createdBy: string) => ({
    created: PUBLISHED,
    created_by: createdBy,
    comment: 'buildkit.dockerfile.v0',
  });
  return [
    {
      name: 'ground',
      files: { Dockerfile: 'FROM scratch\nCOPY etc/ /etc/\n', 'etc/os-release': RELEASE },
      image: {
        layers: [[{ path: 'etc/' }, { path: 'etc/os-release', content: RELEASE }]],
        history: [history('COPY etc/ /etc/ # buildkit')],
        config: { created: PUBLISHED, config: { Env: [PATH] } },
      },
    },
    {
      name: 'application',
      files: { Dockerfile: application ?? 'FROM ground:1\nCOPY run /bin/\n', run: APPLICATION },
      image: {
        layers: [[{ path: 'bin/' }, { path: 'bin/run', content: APPLICATION }]],
        history: [history('COPY run /bin/ # buildkit')],
        config: { created: PUBLISHED, config: { Env: [PATH] } },
      },
    },
  ];
}

interface World {
  readonly services: PublicServices;
  readonly target: RebuildTarget;
  readonly notary: RunningNotary;
  /** Tags the internal registry answers 403 to when somebody writes them: `application:1`. */
  readonly forbidden: Set<string>;
}

let world: World;
const closers: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  world = await startWorld();
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function startWorld(application?: string): Promise<World> {
  const opened = <T extends { close(): Promise<unknown> }>(service: T): T => {
    closers.push(() => service.close());
    return service;
  };
  const directory = await mkdtemp(join(tmpdir(), 'imagevet-vet-'));
  closers.push(() => rm(directory, { recursive: true, force: true }));
  const family = members(application);
  const sources = await createSources(directory, family);
  const forbidden = new Set<string>();
  const published = opened(await startRegistry());
  const internal = opened(
    await startRegistry({
      intercept: ({ method, url = '' }, response) => {
        const [, name, tag] = /^\/v2\/vetted\/library\/(.+)\/manifests\/(.+)$/.exec(url) ?? [];
        if (method !== 'PUT' || !forbidden.has(`${name}:${tag}`)) return false;
        response.writeHead(403, { 'content-type': 'application/json' });
        response.end('{"errors":[{"code":"DENIED","message":"no"}]}');
        return true;
      },
    }),
  );
  const git = opened(await startGitHost({ repositories: sources.repositories }));
  const hub = opened(await startHub({ repositories: sources.descriptions }));
  const notary = opened(await startNotary());
  const services = publicServices({
    hosts: { 'docker.io': { url: published.url } },
    hubUrl: hub.url,
    gitUrl: git.url,
  });
  opened(services.registry);
  let base: ResolvedImage | undefined;
  for (const { name, image } of family) {
    base = await pushTestImage(services.registry, parseReference(`${name}:1`), {
      ...image,
      ...(base === undefined ? {} : { base }),
    });
  }
  const client = opened(new RegistryClient());
  return {
    services,
    target: { registry: internal.host, repositoryPrefix: 'vetted', client },
    notary,
    forbidden,
  };
}

async function createSources(directory: string, family: readonly Member[]) {
  const repositories: Record<string, string> = {};
  const descriptions: Record<string, { readonly description: string }> = {};
  const library: Record<string, string> = {};
  const create = async (name: string, files: Readonly<Record<string, string>>) => {
    const path = join(directory, name.replace('/', '--'));
    await mkdir(path);
    const { commits } = await createRepository(path, [{ files, message: 'Publish', date: PUBLISHED }]);
    repositories[name] = path;
    return commits[0] ?? '';
  };
  for (const { name, files } of family) {
    const commit = await create(`example/${name}`, files);
    const url = `https://github.com/example/${name}`;
    library[`library/${name}`] = [
      'Maintainers: The imagevet authors <maintainers@imagevet.example> (@imagevet)',
      `GitRepo: ${url}.git\n`,
      'Tags: 1',
      `GitCommit: ${commit}\n`,
    ].join('\n');
    descriptions[`library/${name}`] = { description: `-\t[\`1\`](${url}/blob/${commit}/Dockerfile)\n` };
  }
  await create('docker-library/official-images', library);
  await create(
    'docker-library/docs',
    Object.fromEntries(
      family.map(({ name }) => [`${name}/README.md`, descriptions[`library/${name}`]!.description]),
    ),
  );
  return { repositories, descriptions };
}

/** Builds what the public image is made of, and pushes it. */
function honestBuilder(client = world.target.client): Builder {
  const built = new Map<string, ResolvedImage>();
  return {
    name: 'honest',
    probe: async () => ({ name: 'honest', version: '1', platform: { os: 'linux', architecture: 'amd64' } }),
    build: async ({ target }, options = {}) => {
      options.signal?.throwIfAborted();
      const member = members().find(({ name }) => target.repository.endsWith(`/${name}`));
      const base = member?.name === 'application' ? built.get('ground') : undefined;
      const image = await pushTestImage(client, target, {
        ...(member?.image ?? { layers: [] }),
        ...(base === undefined ? {} : { base }),
      });
      built.set(member?.name ?? '', image);
      return {
        reference: { ...target, digest: image.manifest.digest },
        descriptor: image.manifest,
        diffIds: image.diffIds,
        imageId: image.config.digest,
      };
    },
  };
}

function options(change: Partial<VetOptions> = {}): VetOptions {
  return {
    ...world.services,
    platform: { os: 'linux', architecture: 'amd64' },
    target: world.target,
    builder: honestBuilder(),
    trust: { server: world.notary.server, keys: createKeyStore() },
    ...change,
  };
}

const codes = ({ gaps }: VetReport) => gaps.map(({ stage, code }) => `${stage} ${code}`);
const collection = (name: string) => `${world.target.registry}/vetted/library/${name}`;

/** The rolling name of an image in the internal registry, or why it has none. */
async function named(name: string): Promise<string> {
  try {
    return (await world.target.client.resolve(parseReference(`${collection(name)}:1`))).digest;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

async function expectNothingLeft(): Promise<void> {
  for (const name of ['ground', 'application']) {
    expect(await named(name)).toBe('NOT_FOUND');
    expect(world.notary.store.roles(collection(name))).toEqual([]);
  }
}

function expectDenied(report: VetReport): void {
  expect(report.verdict).toMatchObject({ decision: 'deny', complete: false });
  expect(report.verdict.pinned).toBeUndefined();
  expect(report.endorsements).toEqual([]);
}

describe('witnesses of vet()', () => {
  /** The public registry as somebody else sees it. */
  const view = (change: (name: string, digest: Digest) => Digest): Resolver => ({
    resolve: async (reference, options) => {
      const found = await world.services.registry.resolve(reference, options);
      return { ...found, digest: change(reference.repository, found.digest) };
    },
  });

  test('who all see the same image are no hindrance', async () => {
    const report = await vet('application:1', options({ witnesses: [view((_name, digest) => digest)] }));
    expect(report.verdict.decision).toBe('allow');
  });

  test('row 15: a registry that shows one client another base than the next is told, and no exception helps', async () => {
    const other = digestOf('another');
    const witness = view((name, digest) => (name === 'library/ground' ? other : digest));
    const { verdict, gaps, endorsements, lineage } = await vet(
      'application:1',
      options({ witnesses: [witness] }),
    );
    expect(gaps).toContainEqual(
      expect.objectContaining({
        code: 'REGISTRY_EQUIVOCATION',
        node: 'docker.io/library/ground:1 linux/amd64',
      }),
    );
    const reason = verdict.reasons.find(({ code }) => code === 'registry.equivocation');
    expect(reason).toMatchObject({ outcome: 'fail', message: expect.stringContaining(other) });
    expect(endorsements).toEqual([]);
    const waiver = {
      apiVersion: 'imagevet/v1',
      kind: 'Exception',
      id: 'EX-1',
      rule: 'lineage.consistent',
      digest: lineage.nodes[0]?.image?.manifest.digest ?? other,
      reason: 'known',
      approvedBy: 'security',
      expires: new Date(Date.now() + 86_400_000).toISOString(),
    } as const;
    const again = await vet('application:1', options({ witnesses: [witness], exceptions: [waiver] }));
    expect(again.verdict.decision).toBe('deny');
    expect(
      again.verdict.reasons.filter(
        ({ rule, outcome }) => rule === 'lineage.consistent' && outcome === 'waived',
      ),
    ).toEqual([]);
  });

  test('a tag that moves meanwhile is no equivocation', async () => {
    let asked = 0;
    const witness = view((_name, digest) => {
      asked += 1;
      return asked <= 2 ? digestOf('not yet there') : digest;
    });
    const report = await vet('application:1', options({ witnesses: [witness] }));
    expect(report.verdict.decision).toBe('allow');
    expect(asked).toBe(4);
  });

  test('who cannot be asked leaves a gap', async () => {
    const gone = async () => {
      throw new CoreError('SOURCE_UNREACHABLE', 'resolve: nobody is there');
    };
    const { verdict } = await vet('application:1', options({ witnesses: [{ resolve: gone }] }));
    expect(verdict).toMatchObject({ decision: 'deny', complete: false });
    expect(verdict.reasons.map(({ code }) => code)).toContain('lineage.source-not-asked');
  });
});

describe('vet() that allows', () => {
  test('pins a digest and signs two names an image, readable with the root key alone', async () => {
    const keys = createKeyStore();
    const report = await vet('application:1', options({ trust: { server: world.notary.server, keys } }));
    expect(report.verdict.reasons.filter(({ outcome }) => outcome !== 'pass')).toEqual([]);
    expect(report.verdict).toMatchObject({ decision: 'allow', complete: true, gaps: [] });
    expect(report.verdict.pinned).toBe(`${collection('application')}@${await named('application')}`);
    expect(report.endorsements.map(({ tags }) => tags.length)).toEqual([2, 2]);
    for (const { collection: signed, tags, digest } of report.endorsements) {
      const root = world.notary.store.current(signed, 'root')?.signed;
      const keyIds = root?.roles.root.keyids ?? [];
      for (const tag of tags) {
        const reference = parseReference(`${signed}:${tag}`);
        expect(await world.target.client.resolve(reference)).toMatchObject({ digest });
        const server = world.notary.server;
        expect(await resolveTrusted(reference, { server, root: { keyIds } })).toMatchObject({ digest });
      }
    }
  });

  test('reports plain data: JSON and back is the same', async () => {
    const report = await vet('application:1', options());
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  test('signs and names nothing twice: a second run gives the same digests and names', async () => {
    const trust = { server: world.notary.server, keys: createKeyStore() };
    const now = () => new Date('2026-11-23T12:00:00Z');
    const first = await vet('application:1', options({ trust, now }));
    const second = await vet('application:1', options({ trust, now }));
    const names = (report: VetReport) => report.endorsements.map(({ tags, digest }) => ({ tags, digest }));
    expect(names(second)).toEqual(names(first));
  });
});

describe('vet() keeps apart what was judged and what was not', () => {
  /** Asks for no likeness. */
  const policy: Policy = {
    ...defaultPolicy,
    rules: defaultPolicy.rules.filter(({ rule }) => rule !== 'compare.min-grade'),
  };
  const held = async (prefix: string, digest: Digest) => {
    const repository = `${prefix}/library/application`;
    const place = { registry: world.target.registry, repository, digest };
    return world.target.client.fetchManifest(place).then(
      () => true,
      () => false,
    );
  };
  const builtDigest = ({ rebuild }: VetReport): Digest => {
    const outcome = rebuild?.outcomes.find(({ step }) => step.includes('application'));
    if (outcome?.status !== 'built') throw new Error('the application was not built');
    return outcome.image.descriptor.digest;
  };
  /** Something else in a layer: its digest is in no other test. */
  const marked = (mark: string): Builder => {
    const honest = honestBuilder();
    let base: ResolvedImage | undefined;
    return {
      ...honest,
      build: async (request, operation) => {
        if (!request.target.repository.endsWith('/application')) {
          const ground = await honest.build(request, operation);
          base = await resolveImage(ground.reference, { source: world.target.client });
          return ground;
        }
        const image = await pushTestImage(world.target.client, request.target, {
          layers: [[{ path: 'mark', content: mark }]],
          ...(base === undefined ? {} : { base }),
        });
        const { manifest, diffIds, config } = image;
        const reference = { ...request.target, digest: manifest.digest };
        return { reference, descriptor: manifest, diffIds, imageId: config.digest };
      },
    };
  };

  test('what was denied is never in the repository people run from', async () => {
    const report = await vet('application:1', options({ builder: marked('denied'), trust: undefined }));
    expect(report.verdict.decision).toBe('deny');
    const digest = builtDigest(report);
    expect([await held('vetted-scratch', digest), await held('vetted', digest)]).toEqual([true, false]);
  });

  test('what was allowed is there by digest, with its provenance, also when nothing is signed', async () => {
    const report = await vet(
      'application:1',
      options({ builder: marked('let in'), trust: undefined, policy }),
    );
    const digest = builtDigest(report);
    expect(report.verdict.pinned).toBe(`${collection('application')}@${digest}`);
    expect(await held('vetted', digest)).toBe(true);
    const place = parseReference(collection('application'));
    const statements: unknown[] = [];
    await using client = new RegistryClient();
    for await (const found of client.referrers(place, digest)) statements.push(found.artifactType);
    expect(statements).toEqual(['application/vnd.in-toto+json']);
  });

  test('what cannot be put there is denied, whatever the policy says', async () => {
    const builder = marked('refused');
    const first = await vet('application:1', options({ builder: marked('refused'), trust: undefined }));
    world.forbidden.add(`application:${builtDigest(first)}`);
    const report = await vet('application:1', options({ builder, trust: undefined, policy }));
    expect(report.verdict.decision).toBe('deny');
    expect(report.verdict.pinned).toBeUndefined();
    expect(report.verdict.reasons).toContainEqual(expect.objectContaining({ code: 'pinned.not-promoted' }));
    expect(await held('vetted', builtDigest(report))).toBe(false);
  });
});

describe('vet() that builds twice', () => {
  /** Leaves something else in a layer at each build. */
  function restlessBuilder(path: string): Builder {
    const honest = honestBuilder();
    let builds = 0;
    return {
      ...honest,
      build: async (request, operation) => {
        if (!request.target.repository.endsWith('/application')) return honest.build(request, operation);
        const [, application] = members();
        builds += 1;
        const base = await resolveImage(
          { ...request.target, repository: 'vetted/library/ground', tag: '1' },
          { source: world.target.client },
        ).catch(() => undefined);
        const layers = [[...application!.image.layers.flat(), { path, content: `${builds}` }]];
        const image = await pushTestImage(world.target.client, request.target, {
          ...application!.image,
          ...{ layers },
          ...(base === undefined ? {} : { base }),
        });
        const { manifest, diffIds, config } = image;
        const reference = { ...request.target, digest: manifest.digest };
        return { reference, descriptor: manifest, diffIds, imageId: config.digest };
      },
    };
  }

  test('allows what is the same each time', async () => {
    const report = await vet('application:1', options({ doubleBuild: 'same-content' }));
    expect(report.verdict.decision).toBe('allow');
    const built = report.rebuild?.outcomes.map((outcome) =>
      outcome.status === 'built' ? outcome.image.reference.tag : outcome.status,
    );
    expect(built).toEqual(Array(2).fill(expect.stringMatching(/^build-[0-9a-f]{40}-twice$/)));
  });

  test('refuses what is not, and names the file', async () => {
    const builder = restlessBuilder('bin/token');
    const report = await vet('application:1', options({ builder, doubleBuild: 'explained' }));
    expect(report.verdict.decision).toBe('deny');
    expect(report.rebuild?.outcomes).toContainEqual(
      expect.objectContaining({ status: 'failed', message: expect.stringContaining('/bin/token') }),
    );
  });

  test('cannot be asked of a runner', async () => {
    const runner = localRunner({ builder: honestBuilder(), host: world.services.host });
    await expect(
      vet('application:1', options({ builder: undefined, runner, doubleBuild: 'explained' })),
    ).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
  });
});

describe('vet() decides by', () => {
  const policy: Policy = {
    ...defaultPolicy,
    rules: [...defaultPolicy.rules, { rule: 'source.repositories', allow: ['https://git.example/ours/*'] }],
  };

  test('the policy it is given: what that denies is neither signed nor named', async () => {
    const report = await vet('application:1', options({ policy }));
    expect(report.verdict).toMatchObject({ decision: 'deny', complete: true });
    expect(report.endorsements).toEqual([]);
    expect(await named('application')).toBe('NOT_FOUND');
    expect(world.notary.store.roles(collection('application'))).toEqual([]);
  });

  test('the exceptions it is given', async () => {
    const denied = await vet('application:1', options({ policy }));
    const digest = denied.lineage.nodes[0]?.image?.manifest.digest ?? '';
    const exception = {
      apiVersion: 'imagevet/v1',
      kind: 'Exception',
      id: 'EX-1',
      rule: 'source.repositories',
      digest,
      reason: 'the sources move next month',
      approvedBy: 'platform-security',
      approvedAt: '2026-11-01T00:00:00Z',
      expires: '2026-12-01T00:00:00Z',
    } as PolicyException;
    const at = (time: string) =>
      vet('application:1', options({ policy, exceptions: [exception], now: () => new Date(time) }));
    expect((await at('2026-11-23T12:00:00Z')).verdict.decision).toBe('allow');
    expect((await at('2026-12-02T12:00:00Z')).verdict.decision).toBe('deny');
  });

  test('the time asked about: an image made later is not the one in question', async () => {
    const report = await vet('application:1', options({ asOf: new Date('2011-01-01') }));
    expect(report.lineage.asOf).toBe('2011-01-01T00:00:00.000Z');
    expect(codes(report)).toContain('resolve IMAGE_NEWER_THAN_AS_OF');
    expect(report.verdict.decision).toBe('deny');
  });
});

describe('vet() passes on', () => {
  test('its clock: names carry the day of the vetting', async () => {
    // Tomorrow: signatures are still valid then, and no test is run then.
    const tomorrow = new Date(Date.now() + 24 * 60 * 60 * 1000);
    const report = await vet('application:1', options({ now: () => tomorrow }));
    const day = tomorrow.toISOString().slice(0, 10).replaceAll('-', '');
    expect(report.endorsements.map(({ tags }) => tags[1]?.split('-')[1])).toEqual([day, day]);
  });

  test('the build arguments: which base an image has, and what it is rebuilt with', async () => {
    world = await startWorld('ARG BASE\nFROM ${BASE}\nCOPY run /bin/\n');
    const without = await vet('application:1', options({ builder: undefined }));
    expect(without.lineage.nodes[0]?.end).toBe('unresolved');
    const report = await vet('application:1', options({ buildArgs: { BASE: 'ground:1', OTHER: 'x' } }));
    expect(report.lineage.edges.map(({ to, grade }) => [to, grade])).toEqual([
      ['docker.io/library/ground:1 linux/amd64', 'proven'],
    ]);
    expect(report.plan?.steps.map(({ parameters }) => parameters)).toEqual([
      undefined,
      { buildArgs: { BASE: 'ground:1' } },
    ]);
    expect(report.verdict.decision).toBe('allow');
  });

  test('how many builds run at once', async () => {
    const report = await vet('application:1', options({ concurrency: 0 }));
    expect(codes(report)).toContain('rebuild INVALID_OPTIONS');
    expectDenied(report);
  });

  test('what the plan leaves out, as a gap of the report', async () => {
    const { host } = world.services;
    const missing = new CoreError('SOURCE_NOT_FOUND', 'no such file');
    const report = await vet(
      'application:1',
      options({
        host: {
          ...hostOf(host),
          readFile: (repository, ...rest) =>
            repository.endsWith('/ground') ? Promise.reject(missing) : host.readFile(repository, ...rest),
        },
      }),
    );
    expect(report.plan?.gaps.length).toBeGreaterThan(0);
    expect(report.gaps).toEqual(expect.arrayContaining([...(report.plan?.gaps ?? [])]));
  });

  test('an abort, whose reason stays what it is even when it is an error of ours', async () => {
    const reason = new CoreError('BUILD_FAILED', 'enough');
    for (const type of ['rebuild', 'compare', 'endorse']) {
      const controller = new AbortController();
      const onProgress = (event: VetEvent) => {
        if (event.type === 'stage-started' && event.stage === type) controller.abort(reason);
      };
      const vetting = vet('application:1', options({ signal: controller.signal, onProgress }));
      await expect(vetting).rejects.toBe(reason);
    }
  });
});

function hostOf(host: SourceHost): SourceHost {
  return {
    supports: (...asked) => host.supports(...asked),
    readFile: (...asked) => host.readFile(...asked),
    readDirectory: (...asked) => host.readDirectory(...asked),
    commitOf: (...asked) => host.commitOf(...asked),
    reachability: (...asked) => host.reachability(...asked),
  };
}

describe('vet() whose endorsement fails', () => {
  test('the internal registry refuses the name: denied, though signed', async () => {
    world.forbidden.add('ground:1');
    const report = await vet('application:1', options());
    expect(codes(report)).toEqual(['trust DENIED']);
    expectDenied(report);
    expect(await named('ground')).toBe('NOT_FOUND');
    expect(await named('application')).toBe('NOT_FOUND');
  });

  test('the image asked about gets its name last, and is denied without it', async () => {
    world.forbidden.add('application:1');
    const report = await vet('application:1', options());
    expectDenied(report);
    expect(await named('application')).toBe('NOT_FOUND');
  });

  test('the notary shows another signature than was published: denied, and no name is given', async () => {
    world.notary.intercept = ({ method, path }, reply) =>
      method === 'GET' && path.endsWith('/timestamp.json') && reply.status === 200
        ? { ...reply, body: changeSignature(reply.body) }
        : reply;
    const report = await vet('application:1', options());
    expect(report.gaps).toMatchObject([{ stage: 'trust' }]);
    expectDenied(report);
    expect(await named('ground')).toBe('NOT_FOUND');
    expect(await named('application')).toBe('NOT_FOUND');
  });

  test('the notary does not confirm what is published: denied, and no name is given', async () => {
    world.notary.intercept = ({ method }, reply) => (method === 'POST' ? { ...reply, status: 500 } : reply);
    const report = await vet('application:1', options());
    expect(report.gaps).toMatchObject([{ stage: 'trust' }]);
    expectDenied(report);
    expect(await named('ground')).toBe('NOT_FOUND');
    expect(await named('application')).toBe('NOT_FOUND');
  });
});

test('vet() without services of its own asks the registry it is given the name of, be it internal', async () => {
  await using registry = await startRegistry();
  await using client = new RegistryClient();
  const image = `${registry.host}/app:1`;
  await pushTestImage(client, parseReference(image), { layers: [[{ path: 'a', content: 'a' }]] });
  const report = await vet(image, { sources: [] });
  expect(report.lineage.nodes[0]?.image).toBeDefined();
  expect(report.gaps.map(({ code }) => code)).not.toContain('EGRESS_REFUSED');
  const target = { registry: registry.host, repositoryPrefix: 'vetted', client };
  const planned = await vet(image, { sources: [], target });
  for (const [code, { gaps }] of [
    ['NO_TARGET', report],
    ['NO_BUILDER', planned],
  ] as const) {
    expect(gaps.find((gap) => gap.code === code)?.hint).toMatch(/^(Name|Give) /);
  }
});

test('vet() with an internal registry that does not answer denies, and nothing is left', async () => {
  const target = { ...world.target, registry: '127.0.0.1:1' };
  const report = await vet('application:1', options({ target }));
  expect(report.rebuild?.outcomes).toMatchObject([
    { status: 'failed', code: 'UNREACHABLE' },
    { status: 'skipped' },
  ]);
  expect(report.verdict).toMatchObject({ decision: 'deny' });
  await expectNothingLeft();
}, 60_000);

describe('vet() that is interrupted', () => {
  const interrupt = (matches: (event: VetEvent) => boolean, change: Partial<VetOptions> = {}) => {
    const controller = new AbortController();
    const reason = new Error('interrupted');
    const onProgress = (event: VetEvent) => {
      if (matches(event)) controller.abort(reason);
    };
    return {
      reason,
      running: vet('application:1', options({ ...change, signal: controller.signal, onProgress })),
    };
  };

  test.each(['lineage', 'audit', 'plan', 'rebuild', 'compare', 'policy', 'promote', 'endorse'])(
    'in the stage %s leaves no name and no trust data',
    async (stage) => {
      const { reason, running } = interrupt(
        (event) => event.type === 'stage-started' && event.stage === stage,
      );
      await expect(running).rejects.toBe(reason);
      await expectNothingLeft();
    },
  );

  test('while a build is under way leaves nothing', async () => {
    const build: Builder['build'] = (_request, { signal } = {}) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      });
    const { reason, running } = interrupt(({ type }) => type === 'step-started', {
      builder: { ...honestBuilder(), build },
    });
    await expect(running).rejects.toBe(reason);
    await expectNothingLeft();
  });

  test('between two signatures gives no name', async () => {
    const controller = new AbortController();
    const reason = new Error('interrupted');
    world.notary.intercept = ({ method, path }, reply) => {
      if (method === 'POST' && path.endsWith('/tuf/')) controller.abort(reason);
      return reply;
    };
    await expect(vet('application:1', options({ signal: controller.signal }))).rejects.toBe(reason);
    expect(world.notary.store.roles(collection('ground'))).toContain('targets');
    expect(world.notary.store.roles(collection('application'))).toEqual([]);
    expect(await named('ground')).toBe('NOT_FOUND');
    expect(await named('application')).toBe('NOT_FOUND');
  });
});

describe.skipIf(!available('docker-engine'))('vet() on a Docker Engine', () => {
  const engine = () => dockerEngineBuilder({ dockerHost, registry: world.target.client });

  test('a build that fails names the line, and is denied', async () => {
    world = await startWorld('FROM ground:1\nCOPY run /bin/\nCOPY missing /bin/\n');
    const report = await vet('application:1', options({ builder: engine() }));
    expect(report.rebuild?.outcomes).toMatchObject([
      { status: 'built' },
      { status: 'failed', code: 'BUILD_FAILED', line: 3 },
    ]);
    expect(report.verdict).toMatchObject({ decision: 'deny' });
    expect(report.verdict.pinned).toBeUndefined();
    await expectNothingLeft();
  }, 60_000);

  test('interrupted at its first line of output leaves nothing', async () => {
    const controller = new AbortController();
    const reason = new Error('interrupted');
    const running = vet(
      'application:1',
      options({
        builder: engine(),
        signal: controller.signal,
        onProgress: ({ type }) => {
          if (type === 'step-log') controller.abort(reason);
        },
      }),
    );
    await expect(running).rejects.toBe(reason);
    await expectNothingLeft();
  }, 60_000);
});

/** Changes one bit of every signature and leaves the document well-formed. */
function changeSignature(body: Uint8Array): Uint8Array {
  const document = JSON.parse(Buffer.from(body).toString('utf8')) as { signatures: { sig: string }[] };
  for (const signature of document.signatures) {
    const bytes = Buffer.from(signature.sig, 'base64');
    bytes[5] = (bytes[5] ?? 0) ^ 1;
    signature.sig = bytes.toString('base64');
  }
  return Buffer.from(JSON.stringify(document));
}

describe('vet() with other platforms', () => {
  const policy: Policy = { ...defaultPolicy, rules: [{ rule: 'lineage.platforms-agree' }] };
  const arm = { os: 'linux', architecture: 'arm64' };

  /** A library that names another source for arm64, or none. */
  const sources = (named: boolean): readonly ProvenanceSource[] => [
    {
      kind: 'official-images',
      async *claims({ platform, reference }) {
        if (!reference.repository.endsWith('application')) return;
        if (platform.architecture === 'arm64' && !named) return;
        const commit = (platform.architecture === 'arm64' ? 'b' : 'a').repeat(40);
        const location = { repository: 'https://github.com/x/y', commit, directory: '.', path: 'Dockerfile' };
        yield { kind: 'official-images', foundAt: 'library', location };
      },
    },
  ];

  test('finds that one is made of another source', async () => {
    const { services } = world;
    const report = await vet('application:1', {
      ...services,
      sources: sources(true),
      policy,
      otherPlatforms: [arm],
    });
    expect(report.divergences).toMatchObject([{ code: 'PLATFORM_SOURCE_DIFFERS' }]);
    expect(report.findings.map(({ rule }) => rule)).toContain('VET066');
    const codes = report.verdict.reasons.map(({ code }) => code);
    expect(codes).toContain('lineage.platform-source');
  });

  test('says that they could not be looked at, and does not look unless it is asked', async () => {
    const { services } = world;
    const lost = await vet('application:1', {
      ...services,
      sources: sources(false),
      policy,
      otherPlatforms: [arm],
    });
    expect(lost.divergences).toBeUndefined();
    expect(lost.gaps.map(({ stage, code }) => `${stage} ${code}`)).toContain('lineage PLATFORM_NOT_FOUND');
    expect(lost.verdict.reasons.map(({ code }) => code)).toContain('lineage.platforms-not-compared');
    const plain = await vet('application:1', { ...services, sources: sources(true), policy });
    expect(plain.divergences).toBeUndefined();
    expect(plain.findings.map(({ rule }) => rule)).not.toContain('VET066');
  });
});
