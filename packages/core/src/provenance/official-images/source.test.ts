import type { Platform } from '@imagevet/registry';
import { expect, test } from 'vitest';
import type { SourceHost } from '../../lineage/types.ts';
import { collect } from '../__fixtures__/collect.ts';
import { officialImagesSource } from './source.ts';

const id = (digit: string) => digit.repeat(40);
const LIBRARY = `Maintainers: A <a@b.example> (@a)
GitRepo: https://github.com/acme/tool.git

Tags: old-arm
Architectures: arm32v5
SharedTags: arm
GitCommit: ${id('5')}

Tags: new-arm
Architectures: arm32v7
SharedTags: arm
GitCommit: ${id('7')}

Tags: windows-2022
Architectures: windows-amd64
SharedTags: windows
Constraints: windowsservercore-ltsc2022
GitCommit: ${id('2')}

Tags: windows-2025
Architectures: windows-amd64
SharedTags: windows
Constraints: windowsservercore-ltsc2025
GitCommit: ${id('f')}
`;

const host: SourceHost = {
  supports: () => true,
  readFile: async () => ({ content: Buffer.from(LIBRARY), url: 'library' }),
  async *readDirectory() {},
  commitOf: async () => id('a'),
  reachability: async () => 'reachable',
};

async function commitsOf(tag: string, platform: Platform): Promise<readonly (string | undefined)[]> {
  const reference = { registry: 'docker.io', repository: 'library/tool', tag };
  const claims = await collect(officialImagesSource({ host }).claims({ reference, platform }));
  return claims.map(({ location, notListed }) => (notListed === undefined ? location?.commit : 'not listed'));
}

test('officialImagesSource() falls back to an older variant of Arm, and never to a newer one', async () => {
  const on = (variant: string) => commitsOf('arm', { os: 'linux', architecture: 'arm', variant });
  expect(await on('v7')).toEqual([id('7')]);
  expect(await on('v6')).toEqual([id('5')]);
  expect(await on('v5')).toEqual([id('5')]);
  expect(await commitsOf('new-arm', { os: 'linux', architecture: 'arm', variant: 'v6' })).toEqual([
    'not listed',
  ]);
  expect(await commitsOf('arm', { os: 'linux', architecture: 'arm64', variant: 'v8' })).toEqual([
    'not listed',
  ]);
});

test('officialImagesSource() takes the entry of the version of Windows, and all where it is not said', async () => {
  const on = (version?: string) =>
    commitsOf('windows', { os: 'windows', architecture: 'amd64', ...(version && { 'os.version': version }) });
  expect(await on('10.0.20348.2700')).toEqual([id('2')]);
  expect(await on('10.0.26100.1')).toEqual([id('f')]);
  expect(await on()).toEqual([id('2'), id('f')]);
});
