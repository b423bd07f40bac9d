import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type FilesystemView, mergeLayers } from './filesystem-view.ts';
import type { LayerEntry } from './types.ts';

function entry(text: string): LayerEntry {
  const [type, path, linkTarget] = text.split(' ') as [LayerEntry['type'], string, string?];
  return { path, type, mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 0, linkTarget };
}

function merge(...layers: string[][]): FilesystemView {
  return mergeLayers(layers.map((entries) => ({ entries: entries.map(entry) })));
}

function listing(view: FilesystemView): string[] {
  return [...view].slice(1).map(({ path, type, layer }) => `${type} ${path} ${layer}`);
}

describe('mergeLayers()', () => {
  test('mergeLayers() joins directories and replaces everything else', () => {
    const view = merge(
      ['directory /etc', 'file /etc/a', 'file /etc/b', 'file /x', 'directory /y', 'file /y/1'],
      ['directory /etc', 'file /etc/b', 'directory /x', 'file /x/2', 'symlink /y /x'],
    );
    expect(listing(view)).toEqual([
      'directory /etc 1',
      'file /etc/a 0',
      'file /etc/b 1',
      'directory /x 1',
      'file /x/2 1',
      'symlink /y 1',
    ]);
  });

  test('mergeLayers() lets whiteouts hide only what is below their layer', () => {
    const view = merge(
      ['file /a/old', 'file /b/old', 'file /c', 'file /d/deep/old'],
      ['file /a/new', 'opaque /a', 'whiteout /b', 'file /b/new', 'whiteout /c', 'whiteout /d', 'file /e'],
      ['whiteout /e', 'whiteout /nothing/here', 'opaque /nowhere'],
    );
    expect(listing(view)).toEqual(['directory /a 0', 'file /a/new 1', 'directory /b 1', 'file /b/new 1']);
  });

  test('mergeLayers() empties the image at an opaque root', () => {
    expect(listing(merge(['file /a', 'file /b/c'], ['opaque /', 'file /d']))).toEqual(['file /d 1']);
  });

  test('mergeLayers() resolves hardlinks to the file they share at that moment', () => {
    const base = { ...entry('file /a'), mode: 0o4755, size: 3 };
    const changed = { ...entry('file /a'), size: 9 };
    const view = mergeLayers([
      { entries: [base, entry('hardlink /b /a'), entry('hardlink /c /b')] },
      { entries: [changed, entry('hardlink /d /a'), entry('hardlink /e /gone'), entry('hardlink /f /')] },
    ]);
    expect(view.get('/c')).toMatchObject({
      path: '/c',
      type: 'file',
      mode: 0o644,
      size: 3,
      hardlinkTo: '/b',
    });
    expect(view.get('/d')).toMatchObject({ type: 'file', size: 9, layer: 1 });
    expect(view.get('/e')).toMatchObject({ type: 'hardlink', linkTarget: '/gone' });
    expect(view.anomalies).toEqual([
      { kind: 'dangling-hardlink', path: '/e' },
      { kind: 'dangling-hardlink', path: '/f' },
    ]);
  });

  test('mergeLayers() gives every name of a file what the last link to it says: owner, mode, attributes', () => {
    const capability = { 'security.capability': 'AQAA', 'user.x': 'eA==' };
    const file = { ...entry('file /a'), mode: 0o755, size: 3, xattrs: capability };
    const evil = { ...entry('hardlink /b /a'), mode: 0o4755, uid: 12, gid: 34, mtime: 56 };
    const view = mergeLayers([{ entries: [file, evil, entry('file /c')] }]);
    const expected = { mode: 0o4755, uid: 12, gid: 34, mtime: 56, size: 3, xattrs: { 'user.x': 'eA==' } };
    expect([view.get('/a'), view.get('/b')]).toMatchObject([expected, expected]);
    const again = { ...entry('hardlink /d /b'), mode: 0o600, xattrs: { 'security.capability': 'Ag==' } };
    const later = mergeLayers([{ entries: [file, evil, again] }]);
    const modes = ['/a', '/b', '/d'].map((path) => later.get(path)?.mode);
    expect(modes).toEqual([0o600, 0o600, 0o600]);
    expect(later.get('/a')?.xattrs).toEqual({ 'user.x': 'eA==', 'security.capability': 'Ag==' });
  });

  test('mergeLayers() replaces a symlink that an entry goes through, and says so', () => {
    const view = merge(['directory /usr/lib', 'symlink /lib usr/lib'], ['file /lib/x']);
    expect(listing(view)).toEqual([
      'directory /lib 1',
      'file /lib/x 1',
      'directory /usr 0',
      'directory /usr/lib 0',
    ]);
    expect(view.anomalies).toEqual([{ kind: 'parent-not-directory', path: '/lib' }]);
  });

  test('mergeLayers() keeps to its own layer what a replaced directory held', () => {
    const view = merge(['directory /a', 'file /a/x', 'file /a', 'file /a/y', 'directory /a', 'file /a/z']);
    expect(listing(view)).toEqual(['directory /a 0', 'file /a/y 0', 'file /a/z 0']);
  });

  test('mergeLayers() limits entries, implied directories and replaced files included', () => {
    const layers = [{ entries: [entry('file /a/b/c')] }, { entries: [entry('file /a/b/c')] }];
    expect(() => mergeLayers(layers, { maxEntries: 4 })).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    );
    expect([...mergeLayers(layers, { maxEntries: 5 })]).toHaveLength(4);
  });

  test('mergeLayers() gives a view that finds, lists and describes', () => {
    const view = merge(['file /b', 'file /a/y', 'file /a/x', 'directory /']);
    expect(view.get('a/./x')).toMatchObject({ path: '/a/x', type: 'file' });
    expect(view.get('/a')).toMatchObject({ type: 'directory', mode: 0o755, implied: true });
    expect(view.get('/')).toMatchObject({ type: 'directory', mode: 0o644 });
    expect(view.get('/b/c')).toBeUndefined();
    expect(view.get('/../b')).toBeUndefined();
    expect(view.list('/').map(({ path }) => path)).toEqual(['/a', '/b']);
    expect(view.list('/a/').map(({ path }) => path)).toEqual(['/a/x', '/a/y']);
    expect(view.list('/none')).toEqual([]);
  });

  test('mergeLayers() agrees with a map of paths for any layers', () => {
    const name = fc.constantFrom('a', 'b', 'c');
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`);
    const type = fc.constantFrom('file', 'directory', 'symlink', 'whiteout', 'opaque');
    const layer = fc.uniqueArray(fc.tuple(type, path), {
      selector: ([kind, at]) => `${kind} ${at}`,
      maxLength: 8,
    });
    fc.assert(
      fc.property(fc.array(layer, { maxLength: 4 }), (layers) => {
        const texts = layers.map((entries) => entries.map(([kind, at]) => `${kind} ${at}`));
        expect(listing(merge(...texts)).sort()).toEqual(model(texts).sort());
      }),
      { numRuns: 2000 },
    );
  });
});

/** The same by the specification's words on a flat map: slow and obvious. */
function model(layers: readonly (readonly string[])[]): string[] {
  const files = new Map<string, string>();
  const remove = (path: string) => {
    for (const key of [...files.keys()]) if (key === path || key.startsWith(`${path}/`)) files.delete(key);
  };
  layers.forEach((layer, index) => {
    const entries = layer.map((text) => text.split(' ') as [string, string]);
    for (const [type, path] of entries) {
      const isDirectory = files.get(path)?.startsWith('directory');
      if (type === 'whiteout') remove(path);
      else if (type === 'opaque' && isDirectory) {
        const own = files.get(path)!;
        remove(path);
        files.set(path, own);
      }
    }
    for (const [type, path] of entries) {
      if (type === 'whiteout' || type === 'opaque') continue;
      for (let at = path.indexOf('/', 1); at !== -1; at = path.indexOf('/', at + 1)) {
        const parent = path.slice(0, at);
        if (!files.get(parent)?.startsWith('directory')) files.set(parent, `directory ${index}`);
      }
      if (type !== 'directory' || !files.get(path)?.startsWith('directory')) remove(path);
      files.set(path, `${type} ${index}`);
    }
  });
  return [...files].map(([path, fact]) => fact.replace(' ', ` ${path} `));
}
