// Lists of tags and referrers as registries break them off, empty them, or never end them.
import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseReference } from '../reference.ts';
import { collect } from '../testing/collect.ts';
import { pushTestImage } from '../testing/image.ts';
import { startRegistry } from '../testing/registry.ts';
import { RegistryClient } from './client.ts';
import { referrersTag } from './referrers-tag.ts';

/** A registry whose list of tags is these pages, and then goes on as `last` says. */
function pages(names: readonly (readonly string[])[], last: (page: number) => string | undefined) {
  return startRegistry({
    intercept: ({ url = '' }, response) => {
      if (!url.includes('/tags/list')) return false;
      const page = Number(/page=(\d+)/.exec(url)?.[1] ?? 0);
      const next = page + 1 < names.length ? `/v2/app/tags/list?page=${page + 1}` : last(page);
      if (next !== undefined) response.setHeader('link', `<${next}>; rel="next"`);
      response.end(JSON.stringify({ tags: names[page] ?? [] }));
      return true;
    },
  });
}

describe('tags()', () => {
  test('goes on after pages that are empty or bring nothing new', async () => {
    await using registry = await pages([['a'], [], ['a'], ['b'], []], () => undefined);
    await using client = new RegistryClient();
    expect(await collect(client.tags(parseReference(`${registry.host}/app`)))).toEqual(['a', 'b']);
  });

  test('S5: ends at a link back to a page that was read', async () => {
    await using registry = await pages([['a'], ['b']], () => '/v2/app/tags/list?page=1');
    await using client = new RegistryClient();
    expect(await collect(client.tags(parseReference(`${registry.host}/app`)))).toEqual(['a', 'b']);
    expect(registry.requests).toHaveLength(2);
  });

  test('S5: refuses pages that go on without anything new', async () => {
    await using registry = await pages([['a']], (page) => `/v2/app/tags/list?page=${page + 1}`);
    await using client = new RegistryClient();
    const listing = collect(client.tags(parseReference(`${registry.host}/app`)));
    await expect(listing).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    expect(registry.requests.length).toBeLessThan(150);
  });
});

describe('S22: the fallback tag of referrers', () => {
  test.each([
    ['an image', MediaType.ociManifest, undefined],
    ['no manifest', MediaType.ociIndex, '{"schemaVersion":2,"manifests":"none"}'],
  ])('that names %s is not overwritten, and lists nothing', async (_what, mediaType, text) => {
    await using registry = await startRegistry({ referrers: false });
    await using client = new RegistryClient();
    const reference = parseReference(`${registry.host}/app:1`);
    const { manifest, config } = await pushTestImage(client, reference, { layers: [] });
    const squatted = { ...reference, tag: referrersTag(manifest.digest) };
    const bytes = text === undefined ? (await client.fetchManifest(reference)).bytes : Buffer.from(text);
    await client.pushManifest(squatted, { bytes, mediaType });
    const note = { schemaVersion: 2, mediaType: MediaType.ociManifest, artifactType: 'text/note' };
    const referrer = Buffer.from(JSON.stringify({ ...note, config, layers: [], subject: manifest }));
    const pushing = client.pushManifest(
      { ...reference, tag: 'note' },
      { bytes: referrer, mediaType: MediaType.ociManifest },
    );
    await expect(pushing).rejects.toMatchObject({
      code: 'UPLOAD_FAILED',
      message: expect.stringContaining(squatted.tag),
    });
    expect(await collect(client.referrers(reference, manifest.digest))).toEqual([]);
    const { digest } = await client.resolve(squatted);
    expect(digest).toBe(digestOf(bytes));
    // Taking the referrer away again is not hindered by it.
    await client.deleteManifest({ ...reference, digest: digestOf(referrer) });
    expect((await client.resolve(squatted)).digest).toBe(digest);
  });
});

describe('referrers()', () => {
  const junk = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      mediaType: MediaType.ociManifest,
      digest: digestOf(`referrer ${index}`),
      size: 1,
    }));

  test.each([true, false])(
    'lists more than an image may have children, on one page (API: %s)',
    async (api) => {
      const index = Buffer.from(
        JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: junk(3000) }),
      );
      await using registry = await startRegistry({
        referrers: api,
        intercept: ({ url = '' }, response) => {
          if (!url.includes(api ? '/referrers/' : '/manifests/')) return false;
          response.writeHead(200, { 'content-type': MediaType.ociIndex }).end(index);
          return true;
        },
      });
      await using client = new RegistryClient();
      const repository = parseReference(`${registry.host}/app`);
      expect(await collect(client.referrers(repository, digestOf('subject')))).toHaveLength(3000);
    },
  );
});
