// What a base costs that no public record fits: requests to the API of a host that grants sixty an hour.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImagevetError, parseReference } from '@imagevet/registry';
import { createRepository, type GitHost, startGitHost } from '@imagevet/registry/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MAX_QUESTIONS } from './dated-files.ts';
import { gitHubHost } from './hosts/api/github.ts';
import { repoInfoVersions } from './repo-info/versions.ts';

const INFO = 'docker-library/repo-info';
const AS_OF = new Date('2018-01-01T00:00:00Z');
const HOUR = 60 * 60 * 1000;
let directory: string;
let github: GitHost;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-records-'));
  const page = (tag: string, day: number) =>
    `## \`base:${tag}\`\n\n\`\`\`console\n$ docker pull base@sha256:${`${day + 500}`.padStart(64, '0')}\n\`\`\`\n`;
  // A version a day, a year long; one tag has a page that never names it.
  const commits = Array.from({ length: 400 }, (_none, index) => {
    const day = index - 200;
    const date = new Date(AS_OF.getTime() + day * 24 * HOUR - HOUR).toISOString().replace('.000', '');
    const files = {
      'repos/base/remote/1.md': page('1', day),
      'repos/base/remote/2.md': page('other', day),
      'repos/base/tag-details.md': page('other', day),
    };
    return { files, message: `day ${day}`, date };
  });
  const { path } = await createRepository(join(directory, 'info'), commits);
  github = await startGitHost({ repositories: { [INFO]: path } });
}, 60_000);
afterAll(async () => {
  await github.close();
  rmSync(directory, { recursive: true, force: true });
});

async function costOf(tag: string): Promise<{ api: number; versions: number; code?: string }> {
  const { apiUrl, rawUrl, url } = github;
  const versions = repoInfoVersions({ host: gitHubHost({ apiUrl, rawUrl, archiveUrl: url, retries: 0 }) });
  const before = github.requests.length;
  let count = 0;
  const cost = () => ({
    api: github.requests.slice(before).filter((request) => request.url.startsWith('/api/')).length,
    versions: count,
  });
  const asked = { asOf: AS_OF, platform: { os: 'linux', architecture: 'amd64' } };
  try {
    for await (const _version of versions(parseReference(`base:${tag}`), asked)) count += 1;
    return cost();
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return { ...cost(), code: error.code };
  }
}

test('repoInfoVersions() asks one question a version, and no more than there are days to try', async () => {
  expect(await costOf('1')).toEqual({ api: 12, versions: 12 });
});

test('repoInfoVersions() asks no more than its bound, whatever the pages say, and tells that it stopped', async () => {
  expect(await costOf('2')).toEqual({ api: MAX_QUESTIONS, versions: 0, code: 'SOURCE_LIMIT_EXCEEDED' });
});
