import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { chainIds } from './chain.ts';
import { historyExplainsLayers, parseImageConfig } from './config.ts';

const DIFF_IDS = [digestOf('one'), digestOf('two'), digestOf('three')] as const;
const document = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: DIFF_IDS } };
const parse = (value: unknown) => parseImageConfig(Buffer.from(JSON.stringify(value)));

describe('parseImageConfig()', () => {
  test('takes null for what is absent, as Go writes it', () => {
    const config = { Cmd: null, Entrypoint: null, Labels: null, Env: ['PATH=/bin'], User: '', Volumes: null };
    expect(parse({ ...document, config, history: null }).config?.Env).toEqual(['PATH=/bin']);
  });

  test.each([
    { ...document, architecture: 1 },
    { ...document, os: undefined },
    { ...document, rootfs: { type: 'layers' } },
    { ...document, rootfs: { type: 'layers', diff_ids: ['sha256:x'] } },
    { ...document, variant: 8 },
    { ...document, config: { User: 0 } },
    { ...document, config: { Cmd: 'sh' } },
    { ...document, config: { Labels: { a: 1 } } },
    { ...document, history: [{ created_by: 1 }] },
    { ...document, history: ['RUN true'] },
  ])('refuses other types %#', (value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }));
  });
});

test('historyExplainsLayers() counts the entries that made a layer', () => {
  const entry = { created_by: 'COPY' };
  const empty = { created_by: 'ENV', empty_layer: true };
  expect(historyExplainsLayers({ ...parse(document), history: [entry, empty, entry, entry] })).toBe(true);
  expect(historyExplainsLayers({ ...parse(document), history: [entry] })).toBe(false);
  expect(historyExplainsLayers(parse(document))).toBe(false);
});

test('chainIds() chains each layer to those below', () => {
  const [one, two, three] = DIFF_IDS;
  const second = digestOf(`${one} ${two}`);
  expect(chainIds(DIFF_IDS)).toEqual([one, second, digestOf(`${second} ${three}`)]);
  expect(chainIds([])).toEqual([]);
});
