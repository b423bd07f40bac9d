import { digestOf, type HistoryEntry, parseReference, type ResolvedImage } from '@imagevet/registry';
import { describe, expect, test } from 'vitest';
import { type EdgeFacts, gradeEdge } from './grade-edge.ts';
import { provePrefix } from './prove-prefix.ts';

const BASE: readonly HistoryEntry[] = [
  { created: '2018-01-01T00:00:00Z', created_by: 'ADD rootfs.tar /' },
  { created: '2018-01-01T00:00:01Z', created_by: 'CMD ["sh"]', empty_layer: true },
];
const OWN: HistoryEntry = { created: '2018-01-02T00:00:00Z', created_by: 'COPY app /' };

function image(layers: readonly string[], history: readonly HistoryEntry[]): ResolvedImage {
  const descriptor = { mediaType: 'application/octet-stream', digest: digestOf(layers.join()), size: 1 };
  return {
    reference: parseReference('base:1'),
    manifest: descriptor,
    config: descriptor,
    layers: [],
    platform: { os: 'linux', architecture: 'amd64' },
    diffIds: layers.map((layer) => digestOf(layer)),
    history,
    annotations: {},
    labels: {},
    execution: {},
  };
}
const parent = image(['base'], BASE);
const child = (history: readonly HistoryEntry[]) => image(['base', 'app'], history);
const grade = (facts: Partial<EdgeFacts>) => {
  const result = gradeEdge({ parent, claims: [], line: 1, parentPinned: true, ...facts });
  return [result.grade, result.evidence.at(-1)?.verdict];
};
const changed = (index: number, by: Partial<HistoryEntry>) =>
  BASE.map((entry, at) => (at === index ? { ...entry, ...by } : entry));

describe('gradeEdge() with fitting layers', () => {
  test('is proven when the history fits too', () => {
    expect(grade({ child: child([...BASE, OWN]) })).toEqual(['proven', 'supports']);
  });

  test.each([
    ['another instruction', [...changed(0, { created_by: 'ADD other.tar /' }), OWN]],
    ['another kind of entry', [...changed(1, { empty_layer: false }), OWN]],
    ['too few entries', BASE.slice(0, 1)],
  ])(
    'is contradicted at a named digest, and only unproven at a tag, when the history has %s',
    (_name, history) => {
      expect(grade({ child: child(history) })).toEqual(['contradicted', 'refutes']);
      expect(grade({ child: child(history), parentPinned: false })).toEqual(['claimed', 'neutral']);
    },
  );

  test.each([
    ['other times', [...changed(0, { created: '1980-01-01T00:00:00Z' }), OWN]],
    ['nothing', []],
  ])('is neither proven nor contradicted when the history has %s', (_name, history) => {
    expect(grade({ child: child(history) })).toEqual(['claimed', 'neutral']);
    expect(provePrefix(parent, child(history))).toEqual({ result: 'proven', layers: 1, history: false });
  });
});

test('provePrefix() takes no layer without content for a proof, by whichever tool it was written', () => {
  const hex = (bytes: number) => digestOf(new Uint8Array(bytes));
  for (const bytes of [1024, 10_240]) {
    const empty = { ...image(['x'], BASE), diffIds: [hex(bytes)] };
    const built = { ...child([...BASE, OWN]), diffIds: [hex(bytes), digestOf('app')] };
    expect(provePrefix(empty, built)).toMatchObject({ result: 'vacuous', history: true });
  }
});

test('gradeEdge() takes layers under a parent without a history for no proof', () => {
  const silent = image(['base'], []);
  expect(grade({ parent: silent, child: child([OWN]) })).toEqual(['claimed', 'neutral']);
  expect(grade({ parent: silent, child: child([]) })).toEqual(['claimed', 'neutral']);
});

test('gradeEdge() calls attested only what an attestation names by digest', () => {
  const base = { reference: 'base:1', digest: digestOf('base') };
  const claim = { kind: 'buildkit-attestation', foundAt: 'a', base } as const;
  expect(grade({ claims: [claim] })).toEqual(['attested', 'supports']);
  expect(grade({ claims: [{ ...claim, kind: 'oci-annotation' }] })).toEqual(['claimed', 'supports']);
  expect(grade({ claims: [{ ...claim, base: { reference: 'base:1' } }] })).toEqual(['claimed', 'supports']);
});
