import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { PublicServicesOptions, RebuildTarget } from '@imagevet/core';
import { type Platform, parseReference, RegistryClient, type ResolvedImage } from '@imagevet/registry';
import {
  createRepository,
  makeTar,
  pushTestImage,
  startGitHost,
  startHub,
  startRegistry,
  type TestRegistry,
} from '@imagevet/registry/testing';
import { startNotary } from '@imagevet/trust/testing';
import { type FamilyFile, family, type Member, rootFiles, tampering } from './family.ts';

/** Services in this process that hold a family of images, their sources, and room for the rebuilt ones. */
export interface World extends AsyncDisposable {
  /** The image to vet: `press:4.9`. */
  readonly image: string;
  /** The same, with something slipped into the published image that its source does not have. */
  readonly tamperedImage: string;
  readonly platform: Platform;
  /** For `publicServices()`. */
  readonly serviceOptions: PublicServicesOptions;
  readonly target: RebuildTarget;
  readonly notary: { readonly url: string; readonly ca?: string };
  /** The registry that stands for Docker Hub's. */
  readonly published: TestRegistry;
  /** Bare repositories of the git host, by `owner/name`; a repository deleted here is gone for everybody. */
  readonly repositories: Record<string, string>;
  close(): Promise<void>;
}

/** Real services to use in place of embedded ones. */
export interface WorldOptions {
  /** `host:port` of the internal registry. */
  readonly internalRegistry?: string;
  readonly notary?: { readonly url: string; readonly ca?: string };
}

const PUBLISHED = '2018-01-03T20:28:52Z';

/** Starts the world. It needs git on PATH; everything listens on loopback and lives in memory and one temporary folder. */
export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'imagevet-world-'));
  const closers: (() => Promise<void>)[] = [() => rm(directory, { recursive: true, force: true })];
  const opened = <T extends { close(): Promise<void> }>(service: T): T => {
    closers.unshift(() => service.close());
    return service;
  };
  const platform: Platform = { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' };
  const members = family(gzipSync(await makeTar(rootFiles()), { level: 9 }));

  const published = opened(await startRegistry());
  const internal = options.internalRegistry ?? opened(await startRegistry()).host;
  const sources = await createSources(directory, members);
  const git = opened(await startGitHost({ repositories: sources.repositories }));
  const hub = opened(await startHub({ repositories: sources.descriptions }));
  const notary = options.notary ?? opened(await startNotary());
  const serviceOptions = { hosts: { 'docker.io': { url: published.url } }, hubUrl: hub.url, gitUrl: git.url };
  const client = opened(new RegistryClient());
  await publish(members, opened(new RegistryClient(serviceOptions)), platform);

  const close = async () => {
    for (const end of closers.splice(0)) await end();
  };
  return {
    image: 'press:4.9',
    tamperedImage: 'press:4.9-tampered',
    platform,
    serviceOptions,
    target: { registry: internal, repositoryPrefix: 'vetted', client },
    notary: { url: notary.url, ...(notary.ca === undefined ? {} : { ca: notary.ca }) },
    published,
    repositories: sources.repositories,
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface Sources {
  /** Bare repositories by `owner/name`. */
  readonly repositories: Record<string, string>;
  readonly descriptions: Record<string, { readonly description: string }>;
}

/** The sources of the family, and the two repositories that say where they are. */
async function createSources(directory: string, members: readonly Member[]): Promise<Sources> {
  const repositories: Record<string, string> = {};
  const descriptions: Record<string, { readonly description: string }> = {};
  const library: Record<string, string> = {};
  const docs: Record<string, string> = {};
  const create = async (
    name: string,
    files: Record<string, string | Uint8Array | { executable: string | Uint8Array }>,
  ) => {
    const path = join(directory, `${name.replace('/', '--')}.git`);
    await mkdir(path);
    const { commits } = await createRepository(path, [{ files, message: 'Publish', date: PUBLISHED }]);
    repositories[name] = path;
    return commits[0] ?? '';
  };
  for (const member of members) {
    const commit = await create(member.source, sourceFiles(member));
    const url = `https://github.com/${member.source}`;
    const tags = [member.tag, ...member.aliases, ...(member.name === 'press' ? ['4.9-tampered'] : [])];
    library[`library/${member.name}`] = [
      'Maintainers: The imagevet authors <maintainers@imagevet.example> (@imagevet)',
      `GitRepo: ${url}.git`,
      '',
      `Tags: ${tags.join(', ')}`,
      'Architectures: amd64, arm64v8',
      `GitCommit: ${commit}`,
      `Directory: ${member.directory}`,
      '',
    ].join('\n');
    const link = `[\`${tags.join('`, `')}\`](${url}/blob/${commit}/${member.directory}/Dockerfile)`;
    const description = `# Supported tags and respective \`Dockerfile\` links\n\n-\t${link}\n`;
    descriptions[`library/${member.name}`] = { description };
    docs[`${member.name}/README.md`] = description;
  }
  await create('docker-library/official-images', library);
  await create('docker-library/docs', docs);
  return { repositories, descriptions };
}

function sourceFiles({ directory, dockerfile, context }: Member) {
  const files: Record<string, string | Uint8Array | { executable: string | Uint8Array }> = {
    [`${directory}/Dockerfile`]: dockerfile,
  };
  for (const { path, content, mode } of context) {
    files[`${directory}/${path}`] = mode === 0o755 ? { executable: content } : content;
  }
  return files;
}

/** Publishes the family as somebody else built it. */
async function publish(
  members: readonly Member[],
  client: RegistryClient,
  platform: Platform,
): Promise<void> {
  let base: ResolvedImage | undefined;
  for (const member of members) {
    const image = { ...(base === undefined ? {} : { base }), ...imageOf(member, platform) };
    const [tag, ...others] = [member.tag, ...member.aliases].map((name) =>
      parseReference(`${member.name}:${name}`),
    );
    if (tag === undefined) continue;
    const pushed = await pushTestImage(client, tag, image);
    for (const other of others) await pushTestImage(client, other, image);
    if (member.name === 'press') {
      await pushTestImage(client, parseReference('press:4.9-tampered'), {
        ...image,
        layers: withTampering(image.layers),
      });
    }
    base = pushed;
  }
}

function imageOf(member: Member, platform: Platform) {
  return {
    layers: member.history.flatMap(({ files }) => (files === undefined ? [] : [files])),
    history: member.history.map(({ createdBy, files }) => ({
      created: PUBLISHED,
      created_by: createdBy,
      comment: 'buildkit.dockerfile.v0',
      ...(files === undefined ? { empty_layer: true } : {}),
    })),
    config: {
      created: PUBLISHED,
      os: platform.os,
      architecture: platform.architecture,
      config: member.execution,
    },
  };
}

/** The last layer with one file more, which no history entry and no source mentions. */
function withTampering(layers: readonly (readonly FamilyFile[])[]): readonly (readonly FamilyFile[])[] {
  return layers.map((files, index) => (index === layers.length - 1 ? [...files, tampering] : files));
}
