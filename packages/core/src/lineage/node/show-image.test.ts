import { digestOf, parseReference, type ResolvedImage } from '@imagevet/registry';
import { expect, test } from 'vitest';
import { showImage } from './show-image.ts';

const reference = parseReference('base:1');
const platform = { os: 'linux', architecture: 'amd64' };
const descriptor = { mediaType: 'application/octet-stream', digest: digestOf('image'), size: 1 };

/** What is shown as of 2018 of an image that says it was made at a time. */
async function shown(created: string | undefined, pinned = false) {
  const image: ResolvedImage = {
    ...{ reference, platform, manifest: descriptor, config: descriptor },
    ...{ layers: [], diffIds: [], history: [], annotations: {}, labels: {}, execution: {} },
    ...(created === undefined ? {} : { created }),
  };
  const { image: found, gaps } = await showImage(
    {
      ...{ id: 'base', reference, platform, isRoot: false, upTo: new Date('2018-01-01T00:00:00Z') },
      ...(pinned ? { pinned: descriptor.digest } : {}),
    },
    { readImage: async () => image, signal: new AbortController().signal },
  );
  return [found !== undefined, ...gaps.map(({ code }) => code)];
}

test('showImage() shows what a tag names as of a time only when it was made before', async () => {
  expect(await shown('2018-01-01T00:00:00Z')).toEqual([true]);
  expect(await shown('2018-01-01T00:00:01Z')).toEqual([false, 'IMAGE_NEWER_THAN_AS_OF']);
  expect(await shown(undefined)).toEqual([false, 'IMAGE_NEWER_THAN_AS_OF']);
  expect(await shown('yesterday')).toEqual([false, 'IMAGE_NEWER_THAN_AS_OF']);
});

test('showImage() says that a time that stands for none does not tell', async () => {
  expect(await shown('1970-01-01T00:00:00Z')).toEqual([true, 'IMAGE_TIME_UNKNOWN']);
  expect(await shown('1980-01-01T00:00:01Z')).toEqual([true, 'IMAGE_TIME_UNKNOWN']);
});

test('showImage() shows what a digest names, whenever it was made', async () => {
  for (const created of ['1970-01-01T00:00:00Z', '2020-01-01T00:00:00Z', undefined]) {
    expect(await shown(created, true)).toEqual([true]);
  }
});
