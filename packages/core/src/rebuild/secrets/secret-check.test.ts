import { ImagevetError, parseReference, RegistryClient } from '@imagevet/registry';
import { pushTestImage, startRegistry, type TestImage, type TestRegistry } from '@imagevet/registry/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { secretsInImage } from './build-proxy.ts';
import { SecretCheck } from './secret-check.ts';
import { SecretSearch } from './secret-search.ts';

describe('SecretSearch', () => {
  test('finds a secret wherever the pieces are cut, and nothing else', () => {
    const cuts = fc.array(fc.nat({ max: 40 }), { maxLength: 6 });
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.uint8Array({ maxLength: 40 }),
        cuts,
        fc.boolean(),
        (before, after, at, planted) => {
          const bytes = Buffer.concat([before, Buffer.from(planted ? 'pass-word' : ''), after]);
          const isIn = new SecretSearch(['pass-word', 'another-secret']).stream();
          const ends = [...new Set([...at.filter((end) => end < bytes.length), bytes.length])].sort(
            (a, b) => a - b,
          );
          let found = false;
          for (const [index, end] of ends.entries())
            found = isIn(bytes.subarray(ends[index - 1] ?? 0, end)) || found;
          expect(found).toBe(bytes.includes('pass-word'));
        },
      ),
    );
  });

  test('leaves out what is too short to mean anything', () => {
    expect(new SecretSearch(['a', 'b']).isEmpty).toBe(true);
    expect(secretsInImage({ http: 'http://me:a@p/' })).toContain('me:a@');
    expect(secretsInImage({ http: 'http://p/', https: 'http://p/' })).toEqual([]);
  });
});

describe('SecretCheck', () => {
  let registry: TestRegistry;
  const client = new RegistryClient();
  const secrets = secretsInImage({ http: 'http://me:s%2Fcret-word@proxy.example/' });
  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(async () => {
    await client.close();
    await registry.close();
  });
  const image = (name: string, ...layers: TestImage['layers']) =>
    pushTestImage(client, parseReference(`${registry.host}/${name}:1`), { layers });

  test.each([
    ['as it is', 's%2Fcret-word'],
    ['decoded', 'x s/cret-word y'],
    ['in a header', `Basic ${Buffer.from('me:s/cret-word').toString('base64')}`],
  ])('names the file and the layer that hold the password %s', async (how, content) => {
    const base = [{ path: 'etc/os-release', content: 'x' }];
    const above = [
      { path: 'a', content: 'a' },
      { path: 'etc/apt/proxy', content },
    ];
    const own = await image(`leak-${how.replaceAll(' ', '-')}`, base, above);
    const check = new SecretCheck(secrets).check(own, [], { registry: client });
    await expect(check).rejects.toMatchObject({
      code: 'SECRET_IN_IMAGE',
      details: { path: '/etc/apt/proxy', layer: 1, diffId: own.diffIds[1] },
    });
    await check.catch((error: Error) => expect(error.message).not.toContain('cret-word'));
    // Nobody can pull what is there no more.
    await expect(client.resolve(own.reference)).rejects.toSatisfy(
      (error) => ImagevetError.is(error) && error.code === 'NOT_FOUND',
    );
  });

  test('finds it in a name, without telling it, and accepts what holds none', async () => {
    const named = await image('named', [{ path: 'tmp/s%2Fcret-word', content: 'x' }]);
    const check = new SecretCheck(secrets);
    await expect(check.check(named, [], { registry: client })).rejects.toMatchObject({
      code: 'SECRET_IN_IMAGE',
      details: { layer: 0, path: '/tmp/***' },
    });
    const clean = await image('clean', [{ path: 'a', content: 's/cret-wor' }]);
    await check.check(clean, [], { registry: client });
  });

  test('does not hold against a build what its base had', async () => {
    const base = await image('base', [{ path: 'words', content: 's/cret-word' }]);
    const above = { base, layers: [[{ path: 'a', content: 'a' }]] };
    const own = await pushTestImage(client, parseReference(`${registry.host}/above:1`), above);
    await new SecretCheck(secrets).check(own, [base.reference], { registry: client });
    const gone = parseReference(`${registry.host}/gone:1`);
    await expect(new SecretCheck(secrets).check(own, [gone], { registry: client })).rejects.toMatchObject({
      details: { layer: 0, path: '/words' },
    });
  });
});
