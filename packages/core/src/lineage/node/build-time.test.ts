import { digestOf, type ResolvedImage } from '@imagevet/registry';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ProvenanceClaim } from '../types.ts';
import { buildTimeOf } from './build-time.ts';

const CREATED = 'org.opencontainers.image.created';
const attested = (finishedOn: string): ProvenanceClaim => ({
  ...{ kind: 'buildkit-attestation', foundAt: 'x', finishedOn },
});

function image(created?: string, annotation?: string): ResolvedImage {
  const descriptor = { mediaType: 'application/octet-stream', digest: digestOf('x'), size: 1 };
  return {
    ...{ reference: { registry: 'docker.io', repository: 'library/app', tag: '1' }, manifest: descriptor },
    ...{ config: descriptor, layers: [], platform: { os: 'linux', architecture: 'amd64' }, diffIds: [] },
    ...{ history: [], labels: {}, execution: {}, annotations: {} },
    ...(created === undefined ? {} : { created }),
    ...(annotation === undefined ? {} : { annotations: { [CREATED]: annotation } }),
  };
}

describe('buildTimeOf()', () => {
  test.each([
    [
      'its provenance',
      [attested('2020-03-03T03:03:03Z')],
      image('2020-01-01T01:01:01Z', '2020-02-02T02:02:02Z'),
      '2020-03-03T03:03:03.000Z',
    ],
    ['its annotation', [], image('2020-01-01T01:01:01Z', '2020-02-02T02:02:02Z'), '2020-02-02T02:02:02.000Z'],
    ['its config', [], image('2020-01-01T01:01:01.5Z'), '2020-01-01T01:01:01.500Z'],
    [
      'its config, when its provenance gives no time',
      [attested('soon')],
      image('2020-01-01T01:01:01Z'),
      '2020-01-01T01:01:01.000Z',
    ],
    [
      'its config, when its annotation was told one',
      [],
      image('2020-01-01T01:01:01Z', '2020-01-01T00:00:00Z'),
      '2020-01-01T01:01:01.000Z',
    ],
  ])('believes %s', (_name, claims, subject, expected) => {
    expect(buildTimeOf(subject, claims).time?.toISOString()).toBe(expected);
  });

  test.each([
    ['midnight', '2024-05-06T00:00:00Z', 'midnight'],
    ['the beginning of Unix', '1970-01-01T00:00:01Z', 'a clock begins'],
    ['the beginning of zip', '1980-01-01T00:00:01Z', 'a clock begins'],
    ['the time of its commit, zones and fractions apart', '2024-05-06T09:08:09.9+02:00', 'its commit'],
  ])('does not believe %s', (_name, created, doubt) => {
    const found = buildTimeOf(image(created), [], new Date('2024-05-06T07:08:09Z'));
    expect(found.time).toBeUndefined();
    expect(found.doubt).toContain(doubt);
  });

  test('knows nothing of an image that nobody shows, and nothing from what is no time', () => {
    expect(buildTimeOf(undefined, [])).toEqual({});
    expect(buildTimeOf(image('yesterday'), [])).toEqual({});
  });

  test('takes whatever an image writes', () => {
    fc.assert(
      fc.property(fc.option(fc.string()), fc.option(fc.string()), fc.option(fc.string()), (...texts) => {
        const [finishedOn, created, annotation] = texts.map((text) => text ?? undefined);
        const claims = finishedOn === undefined ? [] : [attested(finishedOn)];
        const { time } = buildTimeOf(image(created, annotation), claims);
        expect(time === undefined || !Number.isNaN(time.getTime())).toBe(true);
      }),
    );
  });
});
