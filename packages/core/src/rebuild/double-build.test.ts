import { ImagevetError, parseReference, RegistryClient, resolveImage } from '@imagevet/registry';
import { pushTestImage, startRegistry } from '@imagevet/registry/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { existingImage, toBuiltImage } from './claim-name.ts';
import { doubleBuilder } from './double-build.ts';
import type { Builder, BuildRequest } from './types.ts';

const platform = { os: 'linux', architecture: 'amd64' };

/** Builds by pushing an image of one file, with the content the test gives for each build. */
async function twice(
  contents: readonly string[],
  disagreement?: () => Promise<string | undefined>,
  settings: readonly object[] = [],
  times: readonly string[] = [],
) {
  const registry = await startRegistry();
  const client = new RegistryClient();
  const left = [...contents];
  const pushed: string[] = [];
  const builder: Builder = {
    name: 'pushing',
    probe: async () => ({ name: 'pushing', version: '1', platform }),
    build: async ({ target }) => {
      const build = pushed.push(target.tag ?? '') - 3;
      await pushTestImage(client, target, {
        layers: [[{ path: 'x', content: left.shift() ?? '' }]],
        config: { created: times[build], config: settings[build] ?? {} },
      });
      const image = await resolveImage(target, { source: client });
      return {
        reference: { ...target, digest: image.manifest.digest },
        descriptor: image.manifest,
        diffIds: image.diffIds,
        imageId: image.config.digest,
      };
    },
    find: async ({ target }) => {
      pushed.push(`find ${target.tag}`);
      return undefined;
    },
  };
  const target = parseReference(`${registry.host}/r:build-k`);
  const request = { dockerfile: '', context: [], platform, target };
  const double = doubleBuilder(builder, { registry: client, disagreement });
  await double.find?.(request);
  const image = await double.build(request).catch((error: unknown) => ({ error }));
  const named = await client.resolve({ ...target, tag: 'build-k-twice' }).catch((error: unknown) => {
    if (ImagevetError.is(error) && error.code === 'NOT_FOUND') return undefined;
    throw error;
  });
  await client.close();
  await registry.close();
  return { image, pushed, named };
}

describe('doubleBuilder()', () => {
  test('names an image only after a second build agreed', async () => {
    const { image, pushed, named } = await twice(['same', 'same']);
    expect(image).toMatchObject({ reference: { tag: 'build-k-twice' } });
    expect(pushed).toEqual(['find build-k-twice', 'find build-k-first', 'build-k-first', 'build-k-second']);
    expect(image).toMatchObject({ reference: { digest: named?.digest } });
  });

  test('refuses an image whose second build is different', async () => {
    const { image, named } = await twice(['one', 'other']);
    expect(image).toMatchObject({ error: { code: 'BUILD_FAILED' } });
    expect(String((image as { error: unknown }).error)).toContain('layer 1 of 1 is different');
    expect(named).toBeUndefined();
  });

  test('refuses an image whose second build has other settings', async () => {
    const { image, named } = await twice(['same', 'same'], undefined, [{ User: 'app' }, { User: 'root' }]);
    expect(String((image as { error: unknown }).error)).toContain('settings are different');
    expect(named).toBeUndefined();
    const times = ['2020-01-01T00:00:00Z', '2021-01-01T00:00:00Z'];
    expect((await twice(['same', 'same'], undefined, [{}, {}], times)).named).toBeDefined();
  });

  test('asks a builder that is a class of its own', async () => {
    class Own {
      readonly name = 'own';
      readonly answer = undefined;
      async probe() {
        return { name: 'own', version: '1', platform };
      }
      async build(): Promise<never> {
        throw new Error('not asked');
      }
      async find() {
        return this.answer;
      }
    }
    const double = doubleBuilder(new Own(), { registry: new RegistryClient() });
    expect(await double.find?.({ target: parseReference('r.example/x:1'), platform })).toBeUndefined();
  });

  test('asks whoever knows which differences are accepted', async () => {
    expect((await twice(['one', 'other'], async () => undefined)).image).toMatchObject({
      reference: { repository: 'r' },
    });
    expect((await twice(['one', 'other'], async () => 'a byte in /bin/sh')).image).toMatchObject({
      error: { message: expect.stringContaining('a byte in /bin/sh') as string },
    });
  });

  describe('with a registry that is kept', () => {
    /** Builds images of one file whose content the test decides, and finds what was pushed. */
    const prepare = async (contents: readonly string[]) => {
      const registry = await startRegistry();
      const client = new RegistryClient();
      const left = [...contents];
      const requests: BuildRequest[] = [];
      const builder: Builder = {
        name: 'pushing',
        probe: async () => ({ name: 'pushing', version: '1', platform }),
        build: async (request) => {
          requests.push(request);
          await pushTestImage(client, request.target, {
            layers: [[{ path: 'x', content: left.shift() ?? '' }]],
          });
          return toBuiltImage(request.target, await resolveImage(request.target, { source: client }));
        },
        find: (request, operation = {}) => existingImage(request, client, operation),
      };
      const target = parseReference(`${registry.host}/r:build-k`);
      const request: BuildRequest = { dockerfile: '', context: [], platform, target };
      const double = doubleBuilder(builder, { registry: client, disagreement: async () => undefined });
      const strict = doubleBuilder(builder, { registry: client });
      onTestFinished(async () => {
        await client.close();
        await registry.close();
      });
      return { builder, client, double, strict, request, requests, target };
    };
    const tagged = (request: BuildRequest, tag: string): BuildRequest => ({
      ...request,
      target: { ...request.target, tag },
    });

    test('builds both without a cache: what a cache gives twice is no second build', async () => {
      const { double, request, requests } = await prepare(['a', 'a']);
      await double.build(request);
      expect(requests.map(({ cache }) => cache)).toEqual([false, false]);
    });

    test('two runs at once go on with one image', async () => {
      const { client, double, request, target } = await prepare(['a', 'b', 'c', 'd']);
      const images = await Promise.all([double.build(request), double.build(request)]);
      const named = await client.resolve({ ...target, tag: 'build-k-twice' });
      expect(images.map(({ descriptor }) => descriptor.digest)).toEqual([named.digest, named.digest]);
    });

    test('a run that was killed between the two builds does not build the first again', async () => {
      const { builder, double, request, requests } = await prepare(['a', 'a']);
      await builder.build(tagged(request, 'build-k-first'));
      await double.build(request);
      expect(requests.map((asked) => asked.target.tag)).toEqual(['build-k-first', 'build-k-second']);
      // Told to build anew, it takes nothing that was left.
      await double.build({ ...request, replace: true });
      expect(requests).toHaveLength(4);
    });

    test('a build that went wrong once does not stand in the way for ever', async () => {
      const { strict, request } = await prepare(['wrong', 'right', 'right']);
      await expect(strict.build(request)).rejects.toThrow(/disagree/);
      expect(await strict.build(request)).toMatchObject({ reference: { tag: 'build-k-twice' } });
    });
  });
});
