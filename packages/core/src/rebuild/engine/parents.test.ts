import { Readable } from 'node:stream';
import { digestOf } from '@imagevet/registry';
import { describe, expect, test } from 'vitest';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import type { Engine, EngineImage } from './engine.ts';
import { fetchParents } from './parents.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const name = `registry.example/base@${digestOf('base')}`;
const image: EngineImage = { Id: digestOf('config'), Os: 'linux', Architecture: 'amd64' };

/** An engine that other runs take the image away from, this many times. */
function contended(times: number) {
  let pulls = 0;
  const engine = {
    address: 'unix:///engine',
    inspect: async () => (pulls > times ? image : undefined),
    pull: async () => {
      pulls += 1;
      return Readable.from([Buffer.from('{"status":"done"}\n')]);
    },
  } as unknown as Engine;
  return { engine, pulls: () => pulls };
}

const fetching = { platform, signal: new AbortController().signal, maxBytes: 1000 };

describe('fetchParents()', () => {
  const dockerfile = parseDockerfile(`FROM ${name}\nRUN true`);

  test('pulls again what another run took away between the pull and the build', async () => {
    const { engine, pulls } = contended(2);
    expect(await fetchParents(engine, dockerfile, fetching)).toEqual([name]);
    expect(pulls()).toBe(3);
  });

  test('gives up in the end', async () => {
    const { engine, pulls } = contended(Number.POSITIVE_INFINITY);
    await expect(fetchParents(engine, dockerfile, fetching)).rejects.toMatchObject({ code: 'BUILD_FAILED' });
    expect(pulls()).toBe(3);
  });

  describe('reads ONBUILD triggers as a lineage does', () => {
    const fetchOn = (dockerfileText: string, ...OnBuild: readonly string[]) => {
      const engine = {
        address: 'unix:///engine',
        inspect: async () => ({ ...image, Config: { OnBuild } }),
      } as unknown as Engine;
      return fetchParents(engine, parseDockerfile(dockerfileText), fetching);
    };
    const text = `FROM ${name}\nRUN true`;

    test.each([
      'COPY --from=tool:1 /a /a',
      'COPY --chown=1 --from=tool:1 /a /a',
      'COPY --"from"=tool:1 /a /a',
      'RUN --mount=type=bind,from=tool:1 --network=none x',
      'RUN --mount="type=bind,from=tool:1" x',
      'COPY --from a b',
      'no instruction',
    ])('refuses %s', async (trigger) => {
      await expect(fetchOn(text, 'RUN x', trigger)).rejects.toMatchObject({ code: 'BUILD_UNSUPPORTED' });
    });

    test.each(['RUN echo --from=tool:1', 'LABEL a="COPY --from=tool:1 a b"', 'COPY . /'])(
      'takes %s',
      async (trigger) => {
        await expect(fetchOn(text, trigger)).resolves.toEqual([]);
      },
    );

    test('takes what comes from an earlier stage of the same file, and only there', async () => {
      const trigger = 'COPY --from=made /a /a';
      await expect(fetchOn(`FROM scratch AS made\nCOPY a /a\n${text}`, trigger)).resolves.toEqual([]);
      await expect(fetchOn(`${text}\nFROM scratch AS made\nCOPY a /a`, trigger)).rejects.toMatchObject({
        code: 'BUILD_UNSUPPORTED',
      });
    });
  });
});
