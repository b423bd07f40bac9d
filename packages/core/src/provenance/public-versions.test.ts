// A base's tag has moved since its child was built: what it named then is in a public record, and nobody was told to ask it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseReference, RegistryClient, type ResolvedImage } from '@imagevet/registry';
import {
  createRepository,
  type GitHost,
  pushTestImage,
  type RepositoryCommit,
  startGitHost,
  startHub,
  startRegistry,
  type TestRegistry,
} from '@imagevet/registry/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { resolveLineage } from '../lineage/resolve-lineage.ts';
import type { Lineage } from '../lineage/types.ts';
import { vet } from '../vet/vet.ts';
import { type PublicServicesOptions, publicServices } from './public-services.ts';

const INFO = 'docker-library/repo-info';
const content = (name: string) => [{ path: name, content: name }];
const made = (created_by: string) => ({ created: '2018-01-01T00:00:00Z', created_by });

let directory: string;
let registry: TestRegistry;
let github: GitHost;
let services: PublicServicesOptions;
let base: ResolvedImage;
let closeAll: () => Promise<unknown>;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-moved-'));
  registry = await startRegistry();
  const hub = await startHub({ repositories: {} });
  const hosts = { 'docker.io': { url: registry.url } };
  await using client = new RegistryClient({ hosts });
  const push = (name: string, image: Parameters<typeof pushTestImage>[2]) =>
    pushTestImage(client, parseReference(name), image);
  base = await push('base:1', { layers: [content('base')], history: [made('COPY base / # buildkit')] });
  const config = { created: '2018-01-04T10:11:12Z' };
  const history = [made('COPY app / # buildkit')];
  await push('app:1', { base, layers: [content('app')], history, config });
  await push('still:1', { layers: [content('still')], history: [made('COPY still / # buildkit')] });
  await push('base:1', { layers: [content('new')], history: [made('COPY base / # buildkit')] });

  const repositories: Record<string, string> = {};
  const make = async (name: string, ...commits: RepositoryCommit[]) => {
    const found = await createRepository(join(directory, name.replace('/', '+')), commits);
    repositories[name] = found.path;
    return found.commits;
  };
  const at = (date: string, files: Record<string, string>) => ({ files, message: date, date });
  const [app] = await make(
    'acme/app',
    at('2018-01-03T00:00:00Z', { Dockerfile: 'FROM base:1\nCOPY app /\n' }),
  );
  const library = `Maintainers: A <a@imagevet.example> (@a)\nGitRepo: https://github.com/acme/app.git\n\nTags: 1\nGitCommit: ${app}\n`;
  await make('docker-library/official-images', at('2018-01-03T12:00:00Z', { 'library/app': library }));
  const page = (digest: string) =>
    `## \`base:1\`\n\n\`\`\`console\n$ docker pull base@sha256:${'a'.repeat(64)}\n\`\`\`\n\n### \`base:1\` - linux; amd64\n\n\`\`\`console\n$ docker pull base@${digest}\n\`\`\`\n`;
  await make(
    INFO,
    at('2017-12-01T00:00:00Z', { 'repos/base/remote/1.md': page(`sha256:${'b'.repeat(64)}`) }),
    at('2018-01-02T00:00:00Z', { 'repos/base/remote/1.md': page(base.manifest.digest) }),
    at('2018-01-20T00:00:00Z', { 'repos/base/remote/1.md': page(`sha256:${'c'.repeat(64)}`) }),
  );
  github = await startGitHost({ repositories });
  services = { hosts, hubUrl: hub.url, gitUrl: github.url };
  closeAll = () => Promise.all([registry.close(), hub.close(), github.close()]);
}, 60_000);

beforeEach(() => {
  github.faults.status = undefined;
  github.faults.headers = undefined;
  github.faults.when = undefined;
});

afterAll(async () => {
  await closeAll();
  rmSync(directory, { recursive: true, force: true });
});

async function lineageOf(options: PublicServicesOptions = {}): Promise<Lineage> {
  const { registry: client, ...rest } = publicServices({ ...services, ...options });
  const lineage = await resolveLineage('app:1', { registry: client, ...rest });
  await client.close();
  return lineage;
}
const edgeOf = (lineage: Lineage) => lineage.edges.find(({ kind }) => kind === 'base');
const isInfo = (url: string) => url.includes(INFO);
const askedOfInfo = () => github.requests.filter(({ url }) => isInfo(url));

describe('publicServices()', () => {
  test('finds the base a tag named when the image was built', async () => {
    const before = askedOfInfo().length;
    const lineage = await lineageOf();
    expect(edgeOf(lineage)?.grade).toBe('proven');
    expect(lineage.nodes[1]?.image?.manifest.digest).toBe(base.manifest.digest);
    // One question to the API of an hour's sixty, and one file.
    expect(
      askedOfInfo()
        .slice(before)
        .map(({ url }) => url.split('/')[1]),
    ).toEqual(['api', 'raw']);
  });

  test('so does vet() with nothing but these', async () => {
    const { registry: client, ...rest } = publicServices(services);
    const { lineage } = await vet('app:1', { registry: client, ...rest });
    await client.close();
    expect(edgeOf(lineage)?.grade).toBe('proven');
  });

  test('gives the same offline, and asks nobody', async () => {
    const cacheDirectory = join(directory, 'cache');
    const online = await lineageOf({ cacheDirectory });
    const before = github.requests.length + registry.requests.length;
    expect(await lineageOf({ cacheDirectory, offline: true })).toEqual(online);
    expect(edgeOf(online)?.grade).toBe('proven');
    expect(github.requests.length + registry.requests.length).toBe(before);
  });

  test('goes on without a record that is not there, and says so, for four questions', async () => {
    const before = askedOfInfo().length;
    github.faults.when = isInfo;
    github.faults.status = 404;
    const lineage = await lineageOf();
    expect(edgeOf(lineage)?.grade).toBe('claimed');
    expect(edgeOf(lineage)?.evidence.at(-1)?.message).toMatch(
      /what it named then is unknown \(no record names another version\)$/,
    );
    expect(lineage.gaps.filter(({ message }) => message.includes('looked up'))).toEqual([]);
    expect(askedOfInfo().length - before).toBe(4);
  });

  test('goes on when the budget is used up, and says so', async () => {
    github.faults.when = isInfo;
    github.faults.status = 403;
    github.faults.headers = { 'x-ratelimit-remaining': '0' };
    const lineage = await lineageOf();
    expect(edgeOf(lineage)?.grade).toBe('claimed');
    expect(lineage.nodes.map(({ image }) => image !== undefined)).toEqual([true, true]);
    expect(lineage.gaps).toContainEqual(
      expect.objectContaining({
        code: 'SOURCE_RATE_LIMITED',
        message: expect.stringContaining('what base:1 was could not be looked up') as string,
      }),
    );
  });
});
