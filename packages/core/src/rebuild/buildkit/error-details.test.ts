import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lineOf } from './error-details.ts';
import { encodeMessage } from './protobuf.ts';

const SOURCE = 'github.com/moby/buildkit/errdefs.Source+json';
const detail = (type: string, value: string) =>
  [
    3,
    [
      [1, type],
      [2, value],
    ],
  ] as const;

test('lineOf() reads the first place a failure names', () => {
  const stack = detail('github.com/moby/buildkit/stack.Stack+json', '{"frames":[]}');
  const source = (value: unknown) => detail(SOURCE, JSON.stringify(value));
  const status = (...details: (typeof stack)[]) => encodeMessage([[1, 2], [2, 'no'], ...details]);
  const place = { ranges: [{ start: { line: 3 }, end: { line: 4 } }] };
  expect(lineOf(status(stack, source({}), source(place), source({ ranges: [{ start: { line: 9 } }] })))).toBe(
    3,
  );
  for (const line of [0, -1, 1.5, '3', null]) {
    expect(lineOf(status(source({ ranges: [{ start: { line } }] })))).toBeUndefined();
  }
  expect(lineOf(status(stack, detail(SOURCE, '{')))).toBeUndefined();
});

test('lineOf() reads any bytes to an end', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.json(), (bytes, json) => {
      expect(lineOf(Buffer.from(bytes))).toBeUndefined();
      const line = lineOf(encodeMessage([detail(SOURCE, json)]));
      expect(line === undefined || line > 0).toBe(true);
    }),
  );
});
