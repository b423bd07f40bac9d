import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatReference, type Platform, parseReference } from '@imagevet/registry';
import { createRepository, type GitHost, startGitHost } from '@imagevet/registry/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CoreError } from '../errors.ts';
import type { OtherVersions, OtherVersionsOptions } from '../lineage/options.ts';
import type { SourceHost } from '../lineage/types.ts';
import { gitHubHost } from './hosts/api/github.ts';
import { joinVersions } from './join-versions.ts';
import { externalPinVersions, parseExternalPin } from './official-images/external-pins.ts';
import { repoInfoVersions } from './repo-info/versions.ts';

const AMD64: Platform = { os: 'linux', architecture: 'amd64' };
const sha = (digit: string) => `sha256:${digit.repeat(64)}`;

const section = (platform: string, digit: string) =>
  `### \`base:slim\` - ${platform}\n\n\`\`\`console\n$ docker pull base@${sha(digit)}\n\`\`\`\n`;
const page = (index: string, amd64: string, arm: string) =>
  `## \`base:slim\`\n\n\`\`\`console\n$ docker pull base@${sha(index)}\n\`\`\`\n\n${section('linux; amd64', amd64)}\n${section('linux; arm variant v5', arm)}`;

let directory: string;
let github: GitHost;
let host: SourceHost;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-versions-'));
  const at = (date: string, files: Record<string, string | null>) => ({ files, message: date, date });
  const info = await createRepository(join(directory, 'repo-info'), [
    at('2017-06-01T00:00:00Z', { 'repos/base/tag-details.md': page('a', '0', '9') }),
    at('2018-01-01T00:00:00Z', { 'repos/base/remote/slim.md': page('b', '1', '6') }),
    at('2018-01-20T00:00:00Z', { 'repos/base/remote/slim.md': page('c', '2', '7') }),
    at('2018-01-20T12:00:00Z', { 'README.md': 'unrelated' }),
    at('2018-02-10T00:00:00Z', { 'repos/base/remote/slim.md': page('d', '3', '8') }),
    at('2018-03-10T00:00:00Z', { 'repos/base/remote/slim.md': null }),
  ]);
  const pins = await createRepository(join(directory, 'official-images'), [
    at('2023-01-01T00:00:00Z', { '.external-pins/redhat/ubi9___latest': `${sha('1')}\n` }),
    at('2023-01-20T00:00:00Z', {
      '.external-pins/redhat/ubi9___latest': `${sha('2')}\n`,
      '.external-pins/mcr.example/windows/core___ltsc': `${sha('5')}\n`,
    }),
    at('2023-02-20T00:00:00Z', { '.external-pins/redhat/ubi9___latest': 'broken' }),
  ]);
  github = await startGitHost({
    repositories: {
      'docker-library/repo-info': info.path,
      'docker-library/official-images': pins.path,
    },
  });
  host = gitHubHost({ apiUrl: github.apiUrl, rawUrl: github.rawUrl, archiveUrl: github.url, retries: 0 });
});

afterAll(async () => {
  await github.close();
  rmSync(directory, { recursive: true, force: true });
});

async function list(
  versions: OtherVersions,
  name: string,
  asOf: string | undefined,
  platform: Platform = AMD64,
): Promise<string[]> {
  const options: OtherVersionsOptions = { platform, ...(asOf === undefined ? {} : { asOf: new Date(asOf) }) };
  const found: string[] = [];
  for await (const version of versions(parseReference(name), options)) found.push(formatReference(version));
  return found;
}

describe('repoInfoVersions()', () => {
  const digests = async (asOf: string, platform?: Platform) =>
    (await list(repoInfoVersions({ host }), 'base:slim', asOf, platform)).map((name) => name.at(-1));

  it('gives what the tag named then, and then what it named around that time', async () => {
    expect(await digests('2018-01-25T00:00:00Z')).toEqual(['2', '1', '3']);
    expect(await digests('2018-02-09T12:00:00Z')).toEqual(['2', '3', '1']);
    expect(await list(repoInfoVersions({ host }), 'base:slim', '2018-01-02')).toEqual(
      [sha('1'), sha('2')].map((digest) => `docker.io/library/base@${digest}`),
    );
  });

  it('gives the manifest of the platform, and else what the tag itself named', async () => {
    const arm = { os: 'linux', architecture: 'arm', variant: 'v7' };
    expect(await digests('2018-01-02', arm)).toEqual(['6', '7']);
    expect(await digests('2018-01-02', { os: 'linux', architecture: 's390x' })).toEqual(['b', 'c']);
  });

  it('reads the older page of all tags where there is no other', async () => {
    expect(await digests('2017-07-01')).toEqual(['0']);
  });

  it('gives what is left of a tag that is gone', async () => {
    expect(await digests('2018-03-15')).toEqual(['3']);
  });

  it('knows official images alone', async () => {
    const before = github.requests.length;
    const versions = repoInfoVersions({ host });
    for (const name of ['acme/base:slim', 'quay.io/library/base:slim', `base@${sha('1')}`]) {
      expect(await list(versions, name, '2018-01-02')).toEqual([]);
    }
    expect(github.requests.length).toBe(before);
    expect(await list(versions, 'unknown:1', '2018-01-02')).toEqual([]);
  });

  it('asks no more than is wanted', async () => {
    const before = github.requests.length;
    const fresh = gitHubHost({ apiUrl: github.apiUrl, rawUrl: github.rawUrl, archiveUrl: github.url });
    for await (const _ of repoInfoVersions({ host: fresh })(parseReference('base:slim'), {
      asOf: new Date('2018-01-26'),
      platform: AMD64,
    }))
      break;
    expect(github.requests.length - before).toBe(2);
  });

  it('asks nothing that follows from what it was told', async () => {
    const asked: (string | undefined)[] = [];
    const counting: SourceHost = {
      ...host,
      commitOf: (repository, path, options) => {
        asked.push(path.includes('remote') ? options?.asOf?.toISOString().slice(0, 13) : 'other');
        return host.commitOf(repository, path, options);
      },
      readFile: (...about) => host.readFile(...about),
      committedAt: (...about) => host.committedAt!(...about),
    };
    const versions = repoInfoVersions({ host: counting });
    await list(versions, 'unknown:1', '2018-01-25T00:00:00Z');
    expect(asked.splice(0)).toEqual(['2018-01-25T00', undefined, 'other', 'other']);
    await list(versions, 'base:slim', '2018-01-25T10:20:30Z');
    // The day between two of one version is not asked about, nor what is before the first version.
    expect(asked).toContain('2018-01-25T11');
    expect(asked).not.toContain('2018-01-26T11');
    expect(asked.length).toBeLessThan(12);
    // A child that does not say when it was built: the same on whichever day it is asked.
    asked.splice(0);
    expect((await list(versions, 'base:slim', undefined)).map((name) => name.at(-1))).toEqual(['3', '2']);
    expect(asked[0]).toBeUndefined();
    expect(asked.slice(1).every((time) => time?.startsWith('201'))).toBe(true);
  });
});

describe('externalPinVersions()', () => {
  it('gives the pins of a base outside, the one of that time first', async () => {
    const versions = externalPinVersions({ host });
    expect(await list(versions, 'redhat/ubi9', '2023-01-22')).toEqual(
      [sha('2'), sha('1')].map((digest) => `docker.io/redhat/ubi9@${digest}`),
    );
    expect(await list(versions, 'mcr.example/windows/core:ltsc', '2023-02-01')).toEqual([
      `mcr.example/windows/core@${sha('5')}`,
    ]);
    expect(await list(versions, 'redhat/ubi9:latest', '2022-01-01')).toEqual([]);
    expect(await list(versions, 'library/base:slim', '2023-02-01')).toEqual([]);
    expect(await list(versions, `redhat/ubi9@${sha('1')}`, '2023-02-01')).toEqual([]);
  });

  it('passes over what is no pin', async () => {
    expect(await list(externalPinVersions({ host }), 'redhat/ubi9', '2023-02-21')).toEqual(
      [sha('2')].map((digest) => `docker.io/redhat/ubi9@${digest}`),
    );
  });

  it('throws when the host cannot be asked', async () => {
    github.faults.down = true;
    await expect(list(externalPinVersions({ host }), 'redhat/ubi9', '2023-02-01')).rejects.toMatchObject({
      code: 'SOURCE_UNREACHABLE',
    });
    github.faults.down = false;
  });
});

describe('parseExternalPin()', () => {
  it('reads one digest and nothing else', () => {
    expect(parseExternalPin(`${sha('1')}\n`)).toBe(sha('1'));
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.constant(`${sha('1')}${sha('2')}`)), (text) => {
        expect(parseExternalPin(text)).toBeUndefined();
      }),
    );
  });
});

describe('joinVersions()', () => {
  const give =
    (...names: string[]): OtherVersions =>
    () =>
      names.map((name) => parseReference(name));
  const fail: OtherVersions = () => {
    throw new CoreError('SOURCE_UNREACHABLE', 'down');
  };

  it('asks one after the other and gives each version once', async () => {
    expect(await list(joinVersions(give('a:1', 'a:2'), give('a:2', 'a:3')), 'a:0', '2023-01-01')).toEqual(
      ['1', '2', '3'].map((tag) => `docker.io/library/a:${tag}`),
    );
    expect(await list(joinVersions(), 'a:0', '2023-01-01')).toEqual([]);
  });

  it('asks the others when one fails, and then throws its error', async () => {
    const found: string[] = [];
    const joined = joinVersions(fail, give('a:1'));
    const work = (async () => {
      for await (const version of joined(parseReference('a:0'), { platform: AMD64 })) {
        found.push(formatReference(version));
      }
    })();
    await expect(work).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE' });
    expect(found).toEqual(['docker.io/library/a:1']);
  });
});
