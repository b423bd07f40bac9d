import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** What each package may import of ours. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  registry: [],
  trust: ['@imagevet/registry'],
  core: ['@imagevet/registry', '@imagevet/trust'],
};

/** Rooms of core: each may import those before it, and the files that stand outside them. */
const ROOMS = [
  'dockerfile',
  'lineage',
  'drift',
  'provenance',
  'catalog',
  'audit',
  'rebuild',
  'compare',
  'policy',
  'report',
  'vet',
];

/** Outside packages a package's shipped code may import statically; the rest needs `await import()`. */
const STATIC_DEPENDENCIES: Readonly<Record<string, readonly string[]>> = {
  registry: ['undici', 'p-limit', 'tar-stream'],
  trust: [],
  core: ['@balena/dockerignore', 'dockerfile-ast', 'p-limit', 'tar-stream', 'undici'],
};

/** Folders that are an entry of their own, with the optional peers only they may import. */
const OPTIONAL_ENTRIES: Readonly<Record<string, readonly string[]>> = {
  [join('packages', 'core', 'src', 'rebuild', 'bullmq')]: ['bullmq', 'ioredis'],
};

interface Import {
  readonly file: string;
  readonly specifier: string;
  readonly typeOnly: boolean;
  readonly dynamic: boolean;
}

describe.each(Object.keys(PACKAGES))('packages/%s', (name) => {
  const source = join(root, 'packages', name, 'src');
  const imports = sourceFiles(source).flatMap(importsOf);

  test('has sources', () => {
    expect(imports.length).toBeGreaterThan(0);
  });

  test('imports only packages below it', () => {
    const allowed = PACKAGES[name] ?? [];
    const wrong = imports.filter(
      ({ specifier }) =>
        specifier.startsWith('@imagevet/') && !allowed.includes(specifier.replace(/\/(testing|names)$/, '')),
    );
    expect(wrong).toEqual([]);
  });

  test('imports ./testing of another package only from its own testing', () => {
    const wrong = imports.filter(
      ({ file, specifier }) =>
        /^@imagevet\/\w+\/testing$/.test(specifier) && !relative(source, file).startsWith(`testing${sep}`),
    );
    expect(wrong).toEqual([]);
  });

  test('has no circle of imports, not even of types', () => {
    const below = Map.groupBy(
      imports.filter(({ specifier }) => specifier.startsWith('.')),
      ({ file }) => file,
    );
    const done = new Set<string>();
    const circleFrom = (file: string, path: readonly string[]): readonly string[] | undefined => {
      if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
      if (done.has(file)) return undefined;
      for (const { specifier } of below.get(file) ?? []) {
        const circle = circleFrom(resolve(dirname(file), specifier), [...path, file]);
        if (circle !== undefined) return circle;
      }
      done.add(file);
      return undefined;
    };
    const circles = [...below.keys()].flatMap((file) => circleFrom(file, []) ?? []);
    expect(circles.map((file) => relative(source, file))).toEqual([]);
  });

  test('imports heavy dependencies only when used', () => {
    const allowed = STATIC_DEPENDENCIES[name] ?? [];
    const wrong = imports.filter(
      ({ file, specifier, typeOnly, dynamic }) =>
        !typeOnly &&
        !dynamic &&
        !specifier.startsWith('.') &&
        !specifier.startsWith('node:') &&
        !specifier.startsWith('@imagevet/') &&
        !allowed.includes(specifier) &&
        !OPTIONAL_ENTRIES[relative(root, dirname(file))]?.includes(specifier),
    );
    expect(wrong).toEqual([]);
  });

  test('imports nothing from the entries with optional peers', () => {
    const wrong = imports.filter(({ file, specifier }) => {
      const target = relative(root, dirname(resolve(dirname(file), specifier)));
      return (
        specifier.startsWith('.') && target in OPTIONAL_ENTRIES && relative(root, dirname(file)) !== target
      );
    });
    expect(wrong).toEqual([]);
  });

  test('does not reach outside its sources, read process.env or print', () => {
    const wrong = sourceFiles(source).flatMap((file) => {
      const text = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
      const escapes = importsOf(file).some(
        ({ specifier }) =>
          specifier.startsWith('.') && relative(source, resolve(dirname(file), specifier)).startsWith('..'),
      );
      const impure = /\bprocess\.(env|stdout|stderr)\b|\bconsole\.\w/.test(text);
      return escapes || impure ? [relative(root, file)] : [];
    });
    expect(wrong).toEqual([]);
  });
});

describe('packages/core', () => {
  const source = join(root, 'packages', 'core', 'src');

  test.each(ROOMS)('room %s imports only rooms before it', (room) => {
    const allowed = new Set([...ROOMS.slice(0, ROOMS.indexOf(room) + 1), 'errors.ts', 'canonical-json.ts']);
    const wrong = sourceFiles(join(source, room))
      .flatMap(importsOf)
      .filter(({ specifier }) => specifier.startsWith('.'))
      .filter(({ file, specifier }) => {
        const target = relative(source, resolve(dirname(file), specifier)).split(sep)[0] ?? '';
        return !allowed.has(target);
      });
    expect(wrong).toEqual([]);
  });

  test('has no rooms the table does not know', () => {
    const rooms = readdirSync(source, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(rooms.map((entry) => entry.name).sort()).toEqual([...ROOMS].sort());
  });
});

function sourceFiles(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !/\.test(-d)?\.ts$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.includes(`${sep}__fixtures__${sep}`));
}

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const found: Import[] = [];
  for (const match of text.matchAll(/^\s*(import|export)\s+(type\s+)?[^'";]*?from\s+'([^']+)'/gm)) {
    found.push({ file, specifier: match[3] ?? '', typeOnly: match[2] !== undefined, dynamic: false });
  }
  for (const match of text.matchAll(/^\s*import\s+'([^']+)'/gm)) {
    found.push({ file, specifier: match[1] ?? '', typeOnly: false, dynamic: false });
  }
  for (const match of text.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g)) {
    found.push({ file, specifier: match[1] ?? '', typeOnly: false, dynamic: true });
  }
  return found;
}
