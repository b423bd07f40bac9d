import { formatReference, RegistryClient, type ResolvedImage, resolveImage } from '@imagevet/registry';
import { startRegistry, type TestRegistry } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, buildkitHost, dockerHost } from '../../../../../test/services.ts';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { buildkitBuilder } from '../../rebuild/buildkit/buildkit-builder.ts';
import { dockerEngineBuilder } from '../../rebuild/engine/docker-engine-builder.ts';
import type { Builder } from '../../rebuild/types.ts';
import { SAMPLES } from './__fixtures__/dockerfiles.ts';
import { mutationsOf } from './__fixtures__/mutations.ts';
import { alignHistory } from './align-history.ts';

const platform = { os: 'linux', architecture: 'amd64' };

describe.each([
  ['classic', available('docker-engine')],
  ['buildkit', available('docker-engine', 'buildkit')],
] as const)('alignHistory() of what the %s builder made here', (kind, isHere) => {
  const client = new RegistryClient({ attempts: 1 });
  const images = new Map<string, ResolvedImage>();
  const failures: string[] = [];
  let registry: TestRegistry;

  beforeAll(async () => {
    if (!isHere) return;
    registry = await startRegistry();
    const options = { registry: client, network: 'host' } as const;
    const classic = dockerEngineBuilder({ ...options, dockerHost });
    const builder =
      kind === 'classic'
        ? classic
        : buildkitBuilder({ ...options, address: buildkitHost ?? '', engine: true });
    await build(classic, 'base', 'FROM local/debian:bookworm-slim', {});
    for (const [name, { dockerfile, buildkit, context = {} }] of Object.entries(SAMPLES)) {
      if (buildkit === true && kind === 'classic') continue;
      await build(builder, name, dockerfile, context).catch((error: Error) =>
        failures.push(`${name}: ${error.message}`),
      );
    }
    await builder.release?.();
    await classic.release?.();
  }, 300_000);
  afterAll(async () => {
    await client.close();
    await registry?.close();
  });

  async function build(
    builder: Builder,
    name: string,
    dockerfile: string,
    context: Readonly<Record<string, string>>,
  ): Promise<void> {
    const pins = Object.fromEntries(
      [...images].map(([base, { reference }]) => [`docker.io/library/${base}:1`, formatReference(reference)]),
    );
    const edited = dockerfile.replaceAll(
      /^FROM (\S+:1)/gm,
      (whole, base) =>
        (pins[`docker.io/library/${base}`] && `FROM ${pins[`docker.io/library/${base}`]}`) ?? whole,
    );
    const { reference } = await builder.build({
      dockerfile: edited,
      unedited: { dockerfile, pins },
      context: Object.entries(context).map(([path, text]) => ({
        path,
        type: 'file',
        content: Buffer.from(text),
      })),
      platform,
      target: { registry: registry.host, repository: `aligned/${name}`, tag: '1' },
    });
    const image = await resolveImage(reference, { source: client, platform });
    images.set(name, { ...image, reference: { ...reference, tag: undefined } });
  }

  const samples = Object.entries(SAMPLES).filter(
    ([, { buildkit }]) => buildkit !== true || kind === 'buildkit',
  );

  test.skipIf(!isHere)('builds every sample', () => {
    expect(failures).toEqual([]);
    expect([...images.keys()].slice(1)).toEqual(samples.map(([name]) => name));
  });

  test.skipIf(!isHere).each(samples)('fits %s, and no wrong one', (name, { dockerfile }) => {
    const image = images.get(name);
    expect(image).toBeDefined();
    if (image === undefined) return;
    const layers = image.diffIds.length;
    const from = parseDockerfile(dockerfile).stages.find((stage) => stage.base.kind === 'image')?.base.text;
    const base = images.get(from?.replace(':1', '') ?? '');
    const known = {
      layers,
      parentEntries: base?.history.length ?? 0,
      ...(base === undefined ? {} : { base: base.execution }),
    };
    for (const options of [known, { layers }]) {
      const { consistency, inconsistency } = alignHistory(
        parseDockerfile(dockerfile),
        image.history,
        options,
      );
      expect({ consistency, inconsistency }).toEqual({ consistency: 'consistent' });
    }
    const mutations = mutationsOf(dockerfile, kind);
    const missed = mutations.filter((mutation) => {
      const { inconsistency } = alignHistory(parseDockerfile(mutation.dockerfile), image.history, known);
      const [first, last] = mutation.lines;
      const line = inconsistency?.line ?? first;
      return inconsistency === undefined || line < first || line > last;
    });
    expect(missed.map((mutation) => mutation.name)).toEqual([]);
  });
});
