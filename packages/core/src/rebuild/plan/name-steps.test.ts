import { digestOf, formatReference, parseReference } from '@imagevet/registry';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NameRule } from './internal-names.ts';
import { readNameRules } from './internal-names.ts';
import { type NamelessStep, nameSteps } from './name-steps.ts';

const options = (names: readonly NameRule[]) => ({
  registry: 'registry.corp',
  scratchPrefix: 'vetted-scratch',
  names,
});
const step = (image: string, extra: Partial<NamelessStep> = {}): NamelessStep => ({
  id: image,
  key: 'k',
  reference: parseReference(image),
  platform: { os: 'linux', architecture: 'amd64' },
  location: { repository: 'r', commit: 'c', directory: '.', path: 'Dockerfile' },
  dockerfile: '',
  inputs: [],
  scratch: { registry: 'registry.corp', repository: 'vetted-scratch/x' },
  ...extra,
});
const code = (expected: string) => expect.objectContaining({ code: expected });
const RULES = [
  { from: 'docker.io/library/php', to: 'registry.corp/lang/php' },
  { from: 'docker.io/library/*', to: 'registry.corp/vetted/library/*' },
  { from: 'quay.io/*', to: 'other.corp:5000/quay/*' },
  { from: '*', to: 'registry.corp/rest/*' },
];
const name = (image: string, rules: readonly NameRule[] = RULES) =>
  formatReference(nameSteps([step(image)], options(rules))[0]!.target);

describe('nameSteps()', () => {
  const digest = digestOf('x');
  test.each([
    ['php:8', 'registry.corp/lang/php:8'],
    ['php2:8', 'registry.corp/vetted/library/php2:8'],
    ['docker.io/library/node', 'registry.corp/vetted/library/node:latest'],
    ['quay.io/a/b/c:1', 'other.corp:5000/quay/a/b/c:1'],
    ['quay.io.example/a:1', 'registry.corp/rest/quay.io.example/a:1'],
    ['bitnami/redis:7', 'registry.corp/rest/bitnami/redis:7'],
    ['localhost:5000/a:1', 'registry.corp/rest/localhost-5000/a:1'],
    [`php@${digest}`, `registry.corp/lang/php:${digest.slice(7, 47)}`],
    [`php:8@${digest}`, 'registry.corp/lang/php:8'],
  ])('names %s %s by the first rule that takes it', (image, expected) => {
    expect(name(image)).toBe(expected);
  });

  test('names the inputs by the steps that make them', () => {
    const child = step('quay.io/app:1', {
      inputs: [
        { kind: 'base', reference: 'docker.io/library/php:8', step: 'php:8' },
        { kind: 'stage', reference: 'docker.io/library/go:1', pinned: digest },
      ],
    });
    const [, app] = nameSteps([step('php:8'), child], options(RULES));
    expect(app?.inputs.map((input) => input.name)).toEqual(['registry.corp/lang/php:8', undefined]);
  });

  test('refuses an image no rule takes', () => {
    expect(() => name('bitnami/redis:7', RULES.slice(0, 3))).toThrow(code('NAME_UNMAPPED'));
    expect(() => name('docker.io/library/php', [])).toThrow(code('NAME_UNMAPPED'));
  });

  test('refuses two repositories that become one, and two images of one name', () => {
    const both = [
      { from: 'docker.io/library/*', to: 'registry.corp/v/*' },
      { from: 'quay.io/*', to: 'registry.corp/v/*' },
    ];
    const together = (...images: readonly NamelessStep[]) => nameSteps(images, options(both));
    expect(() => together(step('php:8'), step('quay.io/php:9'))).toThrow(code('NAME_CONFLICT'));
    expect(() => together(step('php:8', { tag: 'x' }), step('php:9', { tag: 'x' }))).toThrow(
      code('NAME_CONFLICT'),
    );
    expect(together(step('php:8'), step('quay.io/node:9'))).toHaveLength(2);
  });

  test('tells images of one tag apart that are named by digest', () => {
    const images = ['php:8', `php:8@${digest}`, `php:8@${digestOf('y')}`].map((image) => step(image));
    expect(nameSteps(images, options(RULES)).map(({ target }) => target.tag)).toEqual([
      '8',
      `8-${digest.slice(7, 19)}`,
      `8-${digestOf('y').slice(7, 19)}`,
    ]);
  });

  test('refuses to admit into the scratch repository', () => {
    const into = (repository: string) => () =>
      name('php:8', [{ from: 'docker.io/library/*', to: `registry.corp/${repository}/*` }]);
    expect(into('vetted-scratch')).toThrow(code('NAME_CONFLICT'));
    expect(into('vetted-scratch/deep')).toThrow(code('NAME_CONFLICT'));
    expect(into('vetted-scratchy')).not.toThrow();
  });
});

describe('readNameRules()', () => {
  test.each([
    ['docker.io/library/*', 'registry.corp/vetted/library'],
    ['docker.io/library/php', 'registry.corp/vetted/*'],
    ['docker.io/lib*', 'registry.corp/vetted/*'],
    ['docker.io/library/*', 'registry.corp/vetted*'],
    ['docker.io/*/php', 'registry.corp/*/php'],
    ['library/*', 'registry.corp/vetted/*'],
    ['php', 'registry.corp/vetted/php'],
    ['docker.io/library/php:8', 'registry.corp/php'],
    ['docker.io/library/php', 'vetted/php'],
    ['docker.io/library/php', 'registry.corp/php:8'],
    ['docker.io/library/php', 'registry.corp/UPPER'],
    ['', ''],
    ['*', '*'],
  ])('refuses %j to %j', (from, to) => {
    expect(() => readNameRules([{ from, to }])).toThrow(code('INVALID_OPTIONS'));
  });

  test('takes all of Docker Hub, and refuses what a rule would make of a name rather than ask the next rule', () => {
    const long = `docker.io/library/${'a'.repeat(240)}`;
    const rules = [
      { from: 'docker.io/library/*', to: 'registry.corp/vetted/of/the/public/library/*' },
      { from: 'docker.io/*', to: 'registry.corp/other/*' },
    ];
    expect(() => readNameRules(rules)(parseReference(long))).toThrow(
      expect.objectContaining({
        code: 'NAME_UNMAPPED',
        message: expect.stringContaining(`name rule 1, docker.io/library/* to`) as string,
      }),
    );
    expect(readNameRules(rules)(parseReference('bitnami/redis'))).toEqual({
      registry: 'registry.corp',
      repository: 'other/bitnami/redis',
    });
    const edge = { registry: 'registry.corp', repository: 'library/php:8' };
    const all = [{ from: '*', to: 'registry.corp/v/*' }];
    expect(() => readNameRules(all)(edge)).toThrow(code('NAME_UNMAPPED'));
  });

  test('takes any text for a rule, and gives nothing but names of repositories', () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom('docker.io/library/*', '*', 'registry.corp/v/*', 'a.b/c'),
    );
    fc.assert(
      fc.property(word, word, (from, to) => {
        let names: ReturnType<typeof readNameRules>;
        try {
          names = readNameRules([{ from, to }]);
        } catch (error) {
          expect(error).toEqual(code('INVALID_OPTIONS'));
          return;
        }
        const named = names(parseReference('php'));
        if (named !== undefined) expect(parseReference(formatReference(named))).toEqual(named);
      }),
    );
  });
});
