// The JSON Schemas in packages/core/schema are written from the types by this test: run it with `-u` after a change.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { createGenerator } from 'ts-json-schema-generator';
import { beforeAll, describe, expect, test } from 'vitest';
import { defaultPolicy } from '../policy/default-policy.ts';
import { parseException, parsePolicy } from '../policy/parse.ts';
import type { PolicyException } from '../policy/types.ts';
import { hostileReport } from './__fixtures__/hostile-report.ts';
import {
  allowReport,
  denyReport,
  incompleteReport,
  largeReport,
  singleReport,
} from './__fixtures__/reports.ts';
import { renderJson } from './render-json.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');
const schemas = { policy: 'Policy', exception: 'PolicyException', report: 'VetReport' } as const;
type Name = keyof typeof schemas;

const validators = new Map<Name, ValidateFunction>();
const texts = new Map<Name, string>();

beforeAll(() => {
  const generator = createGenerator({
    path: join(root, 'packages/core/src/index.ts'),
    tsconfig: join(root, 'tsconfig.json'),
    skipTypeCheck: true,
    topRef: false,
  });
  for (const name of Object.keys(schemas) as Name[]) {
    const schema = published(name, generator.createSchema(schemas[name]) as Schema);
    texts.set(name, `${JSON.stringify(schema, null, 2)}\n`);
    validators.set(name, new Ajv2020({ allErrors: true, strict: true, strictTuples: false }).compile(schema));
  }
}, 120_000);

interface Schema {
  readonly [key: string]: unknown;
  readonly properties: Readonly<Record<string, unknown>>;
}

const DIGEST = '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$';

/** As draft 2020-12, with a name; the documents people write may say which schema they follow. */
function published(name: Name, generated: Schema): Schema {
  const {
    $schema: _draft,
    definitions,
    ...schema
  } = JSON.parse(JSON.stringify(generated).replaceAll('"#/definitions/', '"#/$defs/'), tuples) as Schema;
  const named = definitions as Record<string, unknown>;
  // The type says that a digest begins with its algorithm; a pattern says the rest.
  if (named.Digest !== undefined) named.Digest = { type: 'string', pattern: DIGEST };
  const properties =
    name === 'report' ? schema.properties : { $schema: { type: 'string' }, ...schema.properties };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `urn:imagevet:schema:v1:${name}`,
    ...schema,
    properties,
    $defs: named,
  };
}

/** What draft 7 calls `items` of a tuple is `prefixItems` since draft 2020-12. */
function tuples(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('items' in value) || !Array.isArray(value.items))
    return value;
  const { items, ...rest } = value;
  return { ...rest, prefixItems: items, items: false };
}

function accepts(name: Name, value: unknown): boolean {
  return validators.get(name)!(value);
}

const exception: PolicyException = {
  apiVersion: 'imagevet/v1',
  kind: 'Exception',
  id: 'EX-1',
  rule: 'compare.min-grade',
  digest: `sha256:${'a'.repeat(64)}`,
  reason: 'the archive lost one package',
  approvedBy: 'platform-security',
  expires: '2027-01-31T00:00:00Z',
};

describe('schema/', () => {
  test.each(Object.keys(schemas) as Name[])('schema/%s.json is what the types say', async (name) => {
    await expect(texts.get(name)).toMatchFileSnapshot(`../../schema/${name}.json`);
  });

  test.each([
    ['an allowed image', allowReport()],
    ['a denied image', denyReport()],
    ['an incomplete vetting', incompleteReport()],
    ['twelve images', largeReport()],
    ['one image', singleReport()],
  ])('schema/report.json accepts what renderJson() writes of %s', (_name, report) => {
    const valid = accepts('report', JSON.parse(renderJson(report)));
    expect(validators.get('report')!.errors ?? []).toEqual([]);
    expect(valid).toBe(true);
  });

  test('schema/report.json refuses digests that are none', () => {
    expect(accepts('report', JSON.parse(renderJson(hostileReport())))).toBe(false);
  });

  test.each<[string, (report: Record<string, object>) => unknown]>([
    ['an unknown key', (report) => ({ ...report, extra: 1 })],
    ['an unknown key inside', (report) => ({ ...report, verdict: { ...report.verdict, ok: true } })],
    [
      'a decision there is not',
      (report) => ({ ...report, verdict: { ...report.verdict, decision: 'warn' } }),
    ],
    ['no verdict', ({ verdict: _verdict, ...report }) => report],
    ['another version', (report) => ({ ...report, apiVersion: 'imagevet/v2' })],
  ])('schema/report.json refuses %s', (_name, change) => {
    expect(accepts('report', change(JSON.parse(renderJson(denyReport())) as Record<string, object>))).toBe(
      false,
    );
  });

  test.each<[string, unknown, boolean]>([
    ['the default policy', defaultPolicy, true],
    ['a $schema', { $schema: 'policy.json', ...defaultPolicy }, true],
    [
      'every rule',
      {
        ...defaultPolicy,
        rules: [
          ...defaultPolicy.rules,
          { rule: 'lineage.platforms-agree' },
          { rule: 'source.repositories', allow: ['https://a.example/*'] },
        ],
      },
      true,
    ],
    [
      'a list of frontends',
      { ...defaultPolicy, rules: [{ rule: 'rebuild.frontends', allow: ['docker.io/docker/dockerfile'] }] },
      true,
    ],
    ['default: allow', { ...defaultPolicy, default: 'allow' }, false],
    ['an unknown key', { ...defaultPolicy, mode: 'warn' }, false],
    ['an unknown rule', { ...defaultPolicy, rules: [{ rule: 'lineage.compleat' }] }, false],
    [
      'a parameter of another rule',
      { ...defaultPolicy, rules: [{ rule: 'lineage.complete', grade: 'proven' }] },
      false,
    ],
    [
      'a grade of another rule',
      { ...defaultPolicy, rules: [{ rule: 'lineage.min-grade', grade: 'identical' }] },
      false,
    ],
    ['a rule without parameter', { ...defaultPolicy, rules: [{ rule: 'audit.max-severity' }] }, false],
  ])('schema/policy.json and parsePolicy() agree about %s', (_name, document, valid) => {
    expect(accepts('policy', document)).toBe(valid);
    expect(parses(() => parsePolicy(JSON.stringify(document)))).toBe(valid);
  });

  test.each<[string, unknown, boolean]>([
    ['an exception', exception, true],
    [
      'one with all keys',
      { ...exception, $schema: 'x', term: 'a', approvedAt: '2027-01-01T00:00:00Z' },
      true,
    ],
    ['no expiry', { ...exception, expires: undefined }, false],
    ['an unknown key', { ...exception, until: 'forever' }, false],
    ['an unknown rule', { ...exception, rule: 'pinned' }, false],
    ['a digest of another kind', { ...exception, digest: 'md5:00' }, false],
  ])('schema/exception.json and parseException() agree about %s', (_name, document, valid) => {
    expect(accepts('exception', JSON.parse(JSON.stringify(document)))).toBe(valid);
    expect(parses(() => parseException(JSON.stringify(document)))).toBe(valid);
  });
});

function parses(run: () => unknown): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}
