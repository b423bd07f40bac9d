import { ImagevetError, RegistryClient } from '@imagevet/registry';
import { startHub } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProvenanceClaim, ProvenanceSource, ProvenanceSubject, SourceHost } from '../lineage/types.ts';
import { collect } from './__fixtures__/collect.ts';
import { startWorld, type World } from './__fixtures__/world.ts';
import { dockerHubSource } from './docker-hub/source.ts';
import { gitHubHost } from './hosts/api/github.ts';
import { publicHosts } from './hosts/public-hosts.ts';
import { officialImagesSource } from './official-images/source.ts';
import { type PublicSourcesOptions, publicSources } from './public-sources.ts';

let world: World;
let host: SourceHost;

beforeAll(async () => {
  world = await startWorld();
  host = gitHubHost({
    apiUrl: world.host.apiUrl,
    rawUrl: world.host.rawUrl,
    archiveUrl: world.host.url,
    retries: 0,
  });
});

afterAll(async () => world.close());

const TOGETHER = new Date('2018-01-04T00:00:00Z');

function subject(
  name: string,
  overrides: Partial<ProvenanceSubject> & { architecture?: string } = {},
): ProvenanceSubject {
  const { architecture = 'amd64', ...rest } = overrides;
  const colon = name.lastIndexOf(':');
  return {
    reference: { registry: 'docker.io', repository: name.slice(0, colon), tag: name.slice(colon + 1) },
    platform: { os: 'linux', architecture },
    ...rest,
  };
}

async function claims(source: ProvenanceSource, about: ProvenanceSubject): Promise<ProvenanceClaim[]> {
  return collect(source.claims(about));
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => new Error('expected an error'),
    (reason: unknown) => reason,
  );
  if (!ImagevetError.is(error)) throw error;
  return error.code;
}

describe('officialImagesSource()', () => {
  it('resolves the family as of a day on each platform', async () => {
    const source = officialImagesSource({ host });
    const locate = async (name: string, architecture: string) =>
      (await claims(source, subject(name, { asOf: TOGETHER, architecture }))).map((claim) => claim.location);
    const { commits } = world;
    expect(await locate('library/blog:4', 'amd64')).toEqual([
      {
        repository: 'https://github.com/acme/blog',
        commit: commits.blog,
        directory: 'web',
        path: 'web/Dockerfile',
        ref: 'refs/heads/master',
      },
    ]);
    expect(await locate('library/runtime:7-web', 'arm64')).toMatchObject([
      { commit: commits.runtime, path: '7/web/Dockerfile' },
    ]);
    expect(await locate('library/rootfs:slim', 'amd64')).toMatchObject([
      { commit: commits.rootfsAmd64, ref: 'refs/heads/dist-amd64' },
    ]);
    expect(await locate('library/rootfs:slim', 'arm64')).toMatchObject([
      { commit: commits.rootfsArm64, ref: 'refs/heads/dist-arm64v8' },
    ]);
    expect(await locate('arm64v8/rootfs:slim', 'amd64')).toMatchObject([{ commit: commits.rootfsArm64 }]);
  });

  it('says what it read and as of when', async () => {
    const [claim] = await claims(
      officialImagesSource({ host }),
      subject('library/blog:4', { asOf: TOGETHER }),
    );
    expect(claim).toMatchObject({
      kind: 'official-images',
      asOf: '2018-01-04T00:00:00.000Z',
      foundAt: `${world.host.rawUrl}/docker-library/official-images/${world.library[1]}/library/blog#L4`,
    });
  });

  it('reads the newest version without a date', async () => {
    const [claim] = await claims(officialImagesSource({ host }), subject('library/runtime:7-web'));
    expect(claim?.location?.commit).toBe('3'.repeat(40));
    expect(claim).not.toHaveProperty('asOf');
  });

  it('claims nothing for what is not in the library', async () => {
    const source = officialImagesSource({ host });
    expect(await claims(source, subject('library/unknown:1'))).toEqual([]);
    expect(await claims(source, subject('library/blog:9'))).toEqual([]);
    expect(await claims(source, subject('acme/blog:4'))).toEqual([]);
    expect(await claims(source, subject('library/blog:4', { asOf: new Date('2017-01-01') }))).toEqual([]);
    const elsewhere = {
      ...subject('library/blog:4'),
      reference: { registry: 'quay.io', repository: 'library/blog', tag: '4' },
    };
    expect(await claims(source, elsewhere)).toEqual([]);
  });

  it('says that a tag is listed for other platforms alone', async () => {
    const source = officialImagesSource({ host });
    const asked = subject('library/blog:4', { architecture: 's390x', asOf: TOGETHER });
    const answer = {
      kind: 'official-images',
      foundAt: `${world.host.rawUrl}/docker-library/official-images/${world.library[1]}/library/blog#L4`,
      notListed: { platform: 'linux/s390x', listedFor: ['linux/amd64', 'linux/arm64/v8'] },
      asOf: TOGETHER.toISOString(),
      note: 'the tag is listed for linux/amd64, linux/arm64/v8, and not for linux/s390x',
    };
    expect(await claims(source, asked)).toEqual([answer]);
    // The namespace says which platform is meant, whatever was asked for.
    expect(await claims(source, subject('s390x/blog:4', { asOf: TOGETHER }))).toEqual([answer]);
    expect(await claims(source, subject('library/blog:9', { architecture: 's390x' }))).toEqual([]);
  });

  it('throws when the host cannot be asked', async () => {
    world.host.faults.down = true;
    expect(await codeOf(claims(officialImagesSource({ host }), subject('library/blog:4')))).toBe(
      'SOURCE_UNREACHABLE',
    );
    world.host.faults.down = false;
  });
});

describe('dockerHubSource()', () => {
  const LINK = (owner: string, path: string, words = 'Dockerfile') =>
    `[${words}](https://github.com/${owner}/blog/blob/${'4'.repeat(40)}/${path})`;

  it('agrees with the library on the day all three were current', async () => {
    const library = officialImagesSource({ host });
    const hub = dockerHubSource({ host });
    for (const name of ['library/blog:4', 'library/runtime:7-web', 'library/rootfs:slim']) {
      const about = subject(name, { asOf: TOGETHER });
      const [described] = await claims(hub, about);
      const [built] = await claims(library, about);
      const { ref: _, ...location } = built?.location ?? {};
      expect(described).toMatchObject({
        kind: 'docker-hub-description',
        location,
        asOf: TOGETHER.toISOString(),
      });
    }
  });

  it('calls the link a guess on other platforms than the one it is made for', async () => {
    const [claim] = await claims(
      dockerHubSource({ host }),
      subject('library/rootfs:slim', { asOf: TOGETHER, architecture: 'arm64' }),
    );
    expect(claim).toMatchObject({ heuristic: true, location: { commit: world.commits.rootfsAmd64 } });
  });

  it('asks Hub about now', async () => {
    const description = `# Supported tags and respective \`Dockerfile\` links\n\n-\t[\`4\`](https://github.com/acme/blog/blob/${'4'.repeat(40)}/web/Dockerfile)\n`;
    const hub = await startHub({ repositories: { 'library/blog': { description } } });
    const source = dockerHubSource({ hubUrl: hub.url, retries: 0 });
    expect(await claims(source, subject('library/blog:4'))).toEqual([
      {
        kind: 'docker-hub-description',
        foundAt: `${hub.url}/v2/repositories/library/blog/#L3`,
        location: {
          repository: 'https://github.com/acme/blog',
          commit: '4'.repeat(40),
          directory: 'web',
          path: 'web/Dockerfile',
        },
      },
    ]);
    expect(await claims(source, subject('library/blog:5'))).toEqual([]);
    expect(await claims(source, subject('library/other:4'))).toEqual([]);
    expect(await claims(source, subject('library/blog:4', { asOf: TOGETHER }))).toEqual([]);
    await hub.close();
    expect(await codeOf(claims(source, subject('library/blog:4')))).toBe('SOURCE_UNREACHABLE');
  });

  it('reads the repository of descriptions where Hub left the tag list out, and says so', async () => {
    const note = '**Note:** longer than the Hub length limit of 25000, so the list has been trimmed.';
    const description = `# Supported tags and respective \`Dockerfile\` links\n\n${note}\n`;
    const hub = await startHub({
      repositories: { 'library/blog': { description }, 'arm64v8/blog': { description } },
    });
    const about = subject('library/blog:4');
    const [claim] = await claims(dockerHubSource({ hubUrl: hub.url, host }), about);
    expect(claim).toMatchObject({
      location: { commit: world.commits.blog },
      foundAt: expect.stringContaining('/docker-library/docs/') as string,
      note: 'Docker Hub left the tag list out, since the text is too long',
    });
    const withoutHost = dockerHubSource({ hubUrl: hub.url });
    expect(await codeOf(claims(withoutHost, about))).toBe('SOURCE_LIMIT_EXCEEDED');
    const ofOneArchitecture = claims(dockerHubSource({ hubUrl: hub.url, host }), subject('arm64v8/blog:4'));
    expect(await codeOf(ofOneArchitecture)).toBe('SOURCE_LIMIT_EXCEEDED');
    await hub.close();
  });

  it('says that the description of one architecture has no history', async () => {
    const about = subject('arm64v8/blog:4', { asOf: TOGETHER });
    expect(await codeOf(claims(dockerHubSource({ host }), about))).toBe('SOURCE_UNSUPPORTED');
  });

  it('follows a free-form link to a repository of the same owner only', async () => {
    const hub = await startHub({
      repositories: {
        'acme/one': { description: `See ${LINK('Acme', 'Dockerfile')}.` },
        'acme/foreign': { description: `See ${LINK('docker-library', 'Dockerfile')}.` },
        'acme/many': {
          description: `${LINK('acme', 'a/Dockerfile', '`1`, `2`')} ${LINK('acme', 'b/Dockerfile', '`3`')}`,
        },
        'acme/dead': { description: '[Dockerfile](https://github.com/acme/gone/blob/master/Dockerfile)' },
        'acme/branch': {
          description: '[Dockerfile](https://github.com/acme/blog/blob/master/web/Dockerfile)',
        },
      },
    });
    const source = dockerHubSource({ hubUrl: hub.url, host });
    expect(await claims(source, subject('acme/one:1'))).toMatchObject([
      { heuristic: true, location: { path: 'Dockerfile', commit: '4'.repeat(40) } },
    ]);
    expect(await claims(source, subject('acme/foreign:1'))).toEqual([]);
    expect(await claims(source, subject('acme/many:2'))).toMatchObject([
      { heuristic: true, location: { path: 'a/Dockerfile' } },
    ]);
    expect(await claims(source, subject('acme/many:4'))).toEqual([]);
    const [branch] = await claims(source, subject('acme/branch:1'));
    expect(branch).toMatchObject({ heuristic: true, location: { path: 'web/Dockerfile', directory: 'web' } });
    expect(branch?.location?.commit).not.toBe(world.commits.blog);
    const [dead] = await claims(source, subject('acme/dead:1'));
    expect(dead).toMatchObject({ heuristic: true, note: expect.stringMatching(/names no commit$/) });
    expect(dead).not.toHaveProperty('location');
    await hub.close();
  });

  it('says until when Hub limits requests: its header is a time, not seconds', async () => {
    const hub = await startHub({
      repositories: {},
      faults: { status: 429, headers: { 'x-retry-after': '1800000000' } },
    });
    const failed = claims(dockerHubSource({ hubUrl: hub.url }), subject('library/blog:4'));
    await expect(failed).rejects.toMatchObject({
      code: 'SOURCE_RATE_LIMITED',
      details: { retryAt: '2027-01-15T08:00:00.000Z' },
    });
    await hub.close();
  });

  it('refuses an answer that is not what Hub says', async () => {
    const hub = await startHub({ repositories: {}, faults: { status: 200 } });
    expect(await codeOf(claims(dockerHubSource({ hubUrl: hub.url }), subject('library/blog:4')))).toBe(
      'SOURCE_INVALID',
    );
    await hub.close();
  });
});

describe('publicSources()', () => {
  const registry = new RegistryClient();

  it('lists every source, most trustworthy first', () => {
    const kinds = (options: Partial<PublicSourcesOptions>) =>
      publicSources({ host: publicHosts(), ...options }).map(({ kind }) => kind);
    expect(kinds({ registry, reconstruct: true })).toEqual([
      'buildkit-attestation',
      'oci-annotation',
      'official-images',
      'docker-hub-description',
      'image-label',
      'image-history',
    ]);
    expect(kinds({})).toEqual(['oci-annotation', 'official-images', 'docker-hub-description', 'image-label']);
  });

  it('asks the hosts it was given', async () => {
    const hub = await startHub({ repositories: {} });
    const about = subject('library/blog:4', { asOf: TOGETHER });
    const found = await Promise.all(
      publicSources({ host, hubUrl: hub.url, registry }).map((source) => claims(source, about)),
    );
    expect(found.flat().map(({ kind, location }) => [kind, location?.commit])).toEqual([
      ['official-images', world.commits.blog],
      ['docker-hub-description', world.commits.blog],
    ]);
    await hub.close();
  });
});

it('publicHosts() reads GitHub, and everything else through mirrors when there is a place for them', () => {
  expect(publicHosts().supports('https://github.com/acme/blog')).toBe(true);
  expect(publicHosts().supports('https://git.example/acme/blog')).toBe(false);
  const mirrored = publicHosts({ mirrors: { directory: '/nonexistent', offline: true } });
  expect(mirrored.supports('https://git.example/acme/blog')).toBe(true);
});
