import { createHash, hash } from 'node:crypto';
import { digestOf, type ExecutionConfig, type Fetcher } from '@imagevet/registry';
import { describe, expect, test } from 'vitest';
import { build, compare, type Files, type Item, type MemoryImage } from './__fixtures__/memory-image.ts';
import { compareImages } from './compare-images.ts';

const passwd = 'root:x:0:0:root:/root:/bin/sh\n';
const elf = Buffer.concat([Buffer.from('\x7fELF'), Buffer.alloc(4000, 7)]);
const base: Files = {
  '/etc/passwd': passwd,
  '/usr/bin/tool': { content: elf, mode: 0o755 },
  '/usr/bin/su': { content: 'su', mode: 0o4755 },
  '/etc/motd': 'hello\n',
};

describe('compareImages()', () => {
  test('compareImages() calls one manifest identical and reads nothing', async () => {
    const one = await build([base]);
    const comparison = await compare(one, one);
    expect(comparison).toEqual({
      original: { reference: 'registry.test/app:v1', digest: one.image.manifest.digest },
      rebuilt: { reference: 'registry.test/app:v1', digest: one.image.manifest.digest },
      grade: 'identical',
      files: { compared: 0, equal: 0, timestampsOnly: 0 },
      differences: [],
      truncated: false,
      config: [],
    });
    expect(one.opened).toEqual([]);
  });

  test('compareImages() grades same-layers only after reading blobs that differ', async () => {
    const [one, other] = [await build([base], { level: 1 }), await build([base], { level: 9 })];
    expect((await compare(one, other)).grade).toBe('same-layers');
    expect(other.opened).toEqual([other.image.layers[0]!.digest]);

    const liar = {
      ...other,
      image: { ...(await build([{ '/evil': 'x' }])).image, diffIds: one.image.diffIds },
    };
    await expect(
      compare(one, { ...liar, source: (await build([{ '/evil': 'x' }])).source }),
    ).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      message: expect.stringMatching(/^rebuilt image: layer 0/),
      details: { side: 'rebuilt', layer: 0 },
    });
  });

  test('compareImages() grades same-content when only times differ', async () => {
    const comparison = await compare(await build([base], { time: 1 }), await build([base], { time: 2 }));
    expect(comparison).toMatchObject({
      grade: 'same-content',
      files: { compared: 8, equal: 4, timestampsOnly: 4 },
      differences: [],
    });
  });

  test('compareImages() ignores how files are spread over layers', async () => {
    const one = await build([{ ...base, '/tmp/x': 'x' }, { '/tmp/.wh.x': '' }]);
    const other = await build([{ ...base, '/tmp/': { type: 'directory', mode: 0o755 } }]);
    expect((await compare(one, other)).grade).toBe('same-content');
  });

  test.each<[planted: string, files: Files, path: string, change: string, aspects: string[]]>([
    [
      'one byte of a binary',
      {
        '/usr/bin/tool': { content: Buffer.from(elf.map((byte, at) => (at === 99 ? 8 : byte))), mode: 0o755 },
      },
      '/usr/bin/tool',
      'changed',
      ['content'],
    ],
    [
      'a set-user-id bit',
      { '/usr/bin/tool': { content: elf, mode: 0o4755 } },
      '/usr/bin/tool',
      'changed',
      ['mode'],
    ],
    ['an owner', { '/etc/motd': { content: 'hello\n', uid: 7 } }, '/etc/motd', 'changed', ['owner']],
    ['a group', { '/etc/motd': { content: 'hello\n', gid: 7 } }, '/etc/motd', 'changed', ['owner']],
    [
      'a file capability',
      { '/usr/bin/tool': { content: elf, mode: 0o755, pax: { 'SCHILY.xattr.security.capability': 'x' } } },
      '/usr/bin/tool',
      'changed',
      ['xattr'],
    ],
    [
      'a second root in passwd',
      { '/etc/passwd': `${passwd}toor::0:0::/:/bin/sh\n` },
      '/etc/passwd',
      'changed',
      ['content', 'size'],
    ],
    [
      'an added executable',
      { '/usr/bin/newsh': { content: '#!', mode: 0o755 } },
      '/usr/bin/newsh',
      'added',
      [],
    ],
    ['a deleted file', { '/etc/.wh.motd': '' }, '/etc/motd', 'removed', []],
    [
      'a file turned into a link',
      { '/etc/motd': { type: 'symlink', linkname: '/x', mode: 0o644 } },
      '/etc/motd',
      'changed',
      ['type', 'content', 'size', 'link'],
    ],
    [
      'a device',
      { '/etc/motd': { type: 'block-device', devmajor: 8, devminor: 1, mode: 0o644 } },
      '/etc/motd',
      'changed',
      ['type', 'content', 'size', 'device'],
    ],
  ])('compareImages() names %s', async (_, files, path, change, aspects) => {
    const original = await build([base, { '/etc/issue': 'x' }], { time: 1 });
    const rebuilt = await build([base, { '/etc/issue': 'x', ...files }], { time: 2 });
    const comparison = await compare(original, rebuilt);
    expect(comparison.grade).toBe('unexplained');
    expect(comparison.differences).toHaveLength(1);
    expect(comparison.differences[0]).toMatchObject({ path, change, aspects });
    expect(comparison.differences[0]!.explanation).toBeUndefined();
  });

  test('compareImages() says what both sides of a difference are', async () => {
    const rebuilt = await build([{ ...base, '/etc/motd': { content: 'bye', mode: 0o600 } }]);
    const { differences } = await compare(await build([base]), rebuilt);
    expect(differences[0]).toEqual({
      path: '/etc/motd',
      change: 'changed',
      origin: { side: 'rebuilt', layer: 0 },
      aspects: ['content', 'size', 'mode'],
      original: `file 0644 0:0 6 bytes ${digestOf('hello\n')}`,
      rebuilt: `file 0600 0:0 3 bytes ${digestOf('bye')}`,
    });
  });

  test('compareImages() reads a shared base only when a difference needs it, and once', async () => {
    const one = await build([base, { '/app/a': 'a', '/etc/.wh.motd': '' }], { time: 1 });
    const upper = await build([{ '/app/a': 'a', '/etc/.wh.motd': '' }], { time: 2 });
    const altered = await build([
      { '/app/a': 'b', '/etc/.wh.motd': '', '/usr/bin/tool': { content: elf, mode: 0o755 } },
    ]);
    const onBase = ({ image, source, opened }: MemoryImage): MemoryImage => ({
      image: {
        ...image,
        layers: [one.image.layers[0]!, image.layers[0]!],
        diffIds: [one.image.diffIds[0]!, image.diffIds[0]!],
      },
      source,
      opened,
    });

    const same = await compare(one, onBase(upper));
    expect(same.grade).toBe('same-content');
    expect([...one.opened, ...upper.opened]).toEqual([
      one.image.layers[1]!.digest,
      upper.image.layers[0]!.digest,
    ]);

    one.opened.length = 0;
    const different = await compare(one, onBase(altered));
    // The tool was written again as it was, so only one path differs.
    expect(different.differences.map(({ path }) => path)).toEqual(['/app/a']);
    expect(one.opened.sort()).toEqual(one.image.layers.map(({ digest }) => digest).sort());
    expect(altered.opened).toEqual([altered.image.layers[0]!.digest]);
  });

  test('compareImages() is not fooled by names and attributes that look like others', async () => {
    const file = { content: 'x', mode: 0o644 };
    const shared = [base, { '/a': file, '/b': file }];
    const text = `/a file 0644 0:0 1 bytes ${digestOf('x')}`;
    const joined = await build([base, { [`${text}\n/b`]: file }]);
    expect((await compare(await build(shared), joined)).grade).toBe('unexplained');

    const swapped = await build([base, { '/a': { ...file, content: '1' }, './a': file }]);
    const again = await build([base, { './a': file, '/a': { ...file, content: '1' } }]);
    const { differences } = await compare(swapped, again);
    expect(differences.map(({ path }) => path)).toEqual(['/a']);

    const attributes = (pax: Record<string, string>) => build([{ '/a': { ...file, pax } }]);
    const [one, two] = [{ 'SCHILY.xattr.a': 'x', 'SCHILY.xattr.b': 'y' }, { 'SCHILY.xattr.a=eA== b': 'y' }];
    expect((await compare(await attributes(one), await attributes(two))).differences).toMatchObject([
      { path: '/a', aspects: ['xattr'] },
    ]);
  });

  test('compareImages() cuts the list of differences, those without a cause last', async () => {
    const log = (day: number) => ({
      '/var/log/dpkg.log': `2026-01-0${day} 00:00:00 startup packages configure\n`,
    });
    const original = await build([{ ...base, ...log(1), '/a': '1', '/b': '1' }]);
    const rebuilt = await build([{ ...base, ...log(2), '/a': '2', '/z/evil': 'x' }]);
    const { differences, truncated, grade } = await compare(original, rebuilt, { maxDifferences: 3 });
    expect(grade).toBe('unexplained');
    expect(truncated).toBe(true);
    expect(differences.map(({ path, change }) => `${change} ${path}`)).toEqual([
      'changed /a',
      'removed /b',
      'added /z',
    ]);
    expect((await compare(original, rebuilt)).differences.at(-1)).toMatchObject({
      path: '/var/log/dpkg.log',
      explanation: 'times in the dpkg log',
    });
  });

  test('compareImages() says which image could not be read, and stops on abort', async () => {
    const [original, rebuilt] = [await build([base], { time: 1 }), await build([base], { time: 2 })];
    const broken: MemoryImage = {
      ...original,
      source: {
        async *openBlob() {
          yield Buffer.from('no layer');
        },
      },
    };
    await expect(compare(broken, rebuilt)).rejects.toMatchObject({
      name: 'RegistryError',
      code: 'INVALID_LAYER',
      details: { side: 'original' },
    });
    const reason = new Error('enough');
    const controller = new AbortController();
    const hanging: Pick<Fetcher, 'openBlob'> = {
      async *openBlob() {
        controller.abort(reason);
        yield* await new Promise<Uint8Array[]>(() => undefined);
      },
    };
    const sources = { originalSource: hanging, rebuiltSource: hanging };
    await expect(
      compareImages(original.image, rebuilt.image, { ...sources, signal: controller.signal }),
    ).rejects.toBe(reason);
  });
});

describe('compareImages() of configs', () => {
  const graded = async (one: ExecutionConfig, other: ExecutionConfig) =>
    compare(await build([base], { execution: one }), await build([base], { execution: other }));

  test('compareImages() takes empty and absent for the same', async () => {
    const { grade, config } = await graded(
      { User: '', Cmd: null, Env: [], WorkingDir: '/', Volumes: null },
      { Entrypoint: [], Labels: {}, WorkingDir: '' },
    );
    expect(config).toEqual([]);
    expect(grade).toBe('same-layers');
  });

  test('compareImages() names a changed entrypoint, variable, user and port', async () => {
    const { grade, config } = await graded(
      { Entrypoint: ['/app'], Env: ['PATH=/bin', 'A=1'], ExposedPorts: { '80/tcp': {} } },
      { Entrypoint: ['/evil', '/app'], Env: ['A=1', 'PATH=/bin', 'LD_PRELOAD=/x.so'], User: 'root' },
    );
    expect(grade).toBe('unexplained');
    expect(config).toEqual([
      { field: 'Entrypoint', original: '["/app"]', rebuilt: '["/evil","/app"]' },
      { field: 'Env.LD_PRELOAD', rebuilt: '"/x.so"' },
      { field: 'ExposedPorts.80/tcp', original: 'set' },
      { field: 'User', rebuilt: 'root' },
    ]);
  });

  test('compareImages() sees each value of a variable that is set twice', async () => {
    const { grade, config } = await graded({ Env: ['PATH=/evil', 'PATH=/bin'] }, { Env: ['PATH=/bin'] });
    expect(grade).toBe('unexplained');
    expect(config).toEqual([{ field: 'Env.PATH', original: '"/evil" "/bin"', rebuilt: '"/bin"' }]);
  });

  test('compareImages() explains labels that name the build, at most as explained', async () => {
    const label = (time: string) => ({ Labels: { 'org.opencontainers.image.created': time } });
    const { grade, config } = await graded(label('2026-01-01T00:00:00Z'), label('2026-01-02T00:00:00Z'));
    expect(grade).toBe('explained');
    expect(config[0]).toMatchObject({ explanation: 'time of the build' });
  });
});

describe('compareImages() of a Dockerfile', () => {
  const text = [
    'FROM base:1',
    'ENV A=1 B=2',
    'RUN one',
    'EXPOSE 80',
    'COPY x /x',
    'RUN rm /etc/motd',
    'CMD ["/app"]',
  ].join('\n');
  const history = [
    { created_by: '/bin/sh -c #(nop) ADD file:0 in / ' },
    { created_by: '/bin/sh -c #(nop)  ENV A=1 B=2', empty_layer: true },
    { created_by: '/bin/sh -c one' },
    { created_by: '/bin/sh -c #(nop)  EXPOSE 80', empty_layer: true },
    { created_by: '/bin/sh -c #(nop) COPY file:0 in /x ' },
    { created_by: '/bin/sh -c rm /etc/motd' },
    { created_by: '/bin/sh -c #(nop)  CMD ["/app"]', empty_layer: true },
  ];
  const layers = (one: string, x: string): Files[] => [
    base,
    { '/one': one },
    { '/x': x },
    { '/etc/.wh.motd': '' },
  ];

  test('compareImages() names the line that made, removed or set what differs', async () => {
    const comparison = await compare(
      await build([base, { '/one': '1' }, { '/x': 'x' }, { '/only': '' }], {
        ...{ history, execution: { Env: ['A=1'], Cmd: ['/other'] } },
      }),
      await build(layers('2', 'y'), { history, execution: { Env: ['A=2'], Cmd: ['/app'], User: 'app' } }),
      { dockerfile: { text } },
    );
    expect(comparison.differences.map(({ path, origin }) => [path, origin])).toEqual([
      ['/etc/motd', { side: 'rebuilt', layer: 3, instruction: { line: 6, keyword: 'RUN' } }],
      ['/one', { side: 'rebuilt', layer: 1, instruction: { line: 3, keyword: 'RUN' } }],
      ['/only', { side: 'original', layer: 3, instruction: { line: 6, keyword: 'RUN' } }],
      ['/x', { side: 'rebuilt', layer: 2, instruction: { line: 5, keyword: 'COPY' } }],
    ]);
    expect(comparison.config.map(({ field, origin }) => [field, origin])).toEqual([
      ['Cmd', { side: 'rebuilt', instruction: { line: 7, keyword: 'CMD' } }],
      ['Env.A', { side: 'rebuilt', instruction: { line: 2, keyword: 'ENV' } }],
      ['User', { side: 'rebuilt', inherited: true }],
    ]);
  });

  test('compareImages() says what the base brought, and the layer of an image that shares its base', async () => {
    const brought = await compare(
      await build([{ ...base, '/a': '1' }, { '/one': '1' }, { '/x': 'x' }, {}], { history }),
      await build([{ ...base, '/a': '2' }, { '/one': '1' }, { '/x': 'x' }, {}], { history }),
      { dockerfile: { text } },
    );
    expect(brought.differences[0]?.origin).toEqual({ side: 'rebuilt', layer: 0, inherited: true });
    const shared = await compare(
      await build(layers('1', 'x'), { history }),
      await build(layers('1', 'y'), { history }),
      { dockerfile: { text } },
    );
    expect(shared.differences[0]?.origin).toMatchObject({ layer: 2, instruction: { line: 5 } });
  });

  test('compareImages() names no line when the Dockerfile does not fit, cannot be read, or is not given', async () => {
    const images = [
      await build(layers('1', 'x'), { history }),
      await build(layers('2', 'x'), { history }),
    ] as const;
    for (const dockerfile of [undefined, { text: `${text}\nRUN more` }, { text: 'nonsense' }]) {
      const { differences } = await compare(...images, dockerfile === undefined ? {} : { dockerfile });
      expect(differences.map(({ origin }) => origin)).toEqual([{ side: 'rebuilt', layer: 1 }]);
    }
  });
});

describe('compareImages() of bytecode', () => {
  const code = '/usr/lib/x/__pycache__/mod.cpython-311.pyc';
  const compiled = (time: number, body = 'code', flags = 0) => {
    const header = Buffer.from([0xa7, 0x0d, 13, 10, flags, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
    header.writeUInt32LE(time, 8);
    return Buffer.concat([header, Buffer.from(body)]);
  };
  /** Each made, source and all, at its own time. */
  const graded = async (one: Buffer, other: Buffer, path = code) => {
    const image = async (content: Buffer, time: number) =>
      build([base, { '/usr/lib/x/mod.py': 'pass', [path]: { content } }], { time });
    const { grade, differences } = await compare(await image(one, 100), await image(other, 200));
    return [grade, differences[0]?.explanation];
  };

  test('compareImages() takes the time of the source for no difference', async () => {
    expect(await graded(compiled(100), compiled(200))).toEqual([
      'same-content',
      'time of the source in bytecode of Python',
    ]);
  });

  test.each([
    ['other code', compiled(100, 'evil'), compiled(200)],
    ['code Python passes over in one image only', compiled(100), compiled(999)],
    ['a hash for a time', compiled(100, 'code', 1), compiled(200, 'code', 1)],
    ['more bytes', compiled(100, 'code and more'), compiled(200)],
    ['no bytecode', Buffer.from('short'), Buffer.from('other')],
    ['no header of Python', Buffer.alloc(40, 1), Buffer.alloc(40, 2)],
  ])('row 40: compareImages() names %s', async (_name, one, other) => {
    expect(await graded(one, other)).toEqual(['unexplained', undefined]);
  });

  test('row 40: compareImages() names bytecode that Python uses in one image only, and reads a base for it', async () => {
    const image = (time: number, flags: number, ...rest: Files[]) =>
      build([{ [code]: { content: compiled(100, 'evil', flags), mtime: new Date(0) } }, ...rest], { time });
    const source = { '/usr/lib/x/mod.py': 'pass' };
    const named = (await compare(await image(100, 0, source), await image(200, 0, source))).differences;
    expect(named.map(({ path, aspects, explanation }) => [path, aspects, explanation])).toEqual([
      [code, ['time'], undefined],
    ]);
    const linked: Files = {
      '/usr/lib/x/mod.py': { type: 'symlink', linkname: '../y', mtime: new Date(0) },
      '/usr/lib/y': 'pass',
    };
    const grade = async (one: MemoryImage, other: MemoryImage) => (await compare(one, other)).grade;
    const whole = (time: number) =>
      build([{ [code]: { content: compiled(100), mtime: new Date(0) }, ...linked }], { time });
    expect(await grade(await whole(100), await whole(200))).toBe('unexplained');
    // Compiled for another time than either, or for what the source holds.
    expect(await grade(await image(101, 0, source), await image(200, 0, source))).toBe('same-content');
    expect(await grade(await image(100, 1, source), await image(200, 1, source))).toBe('same-content');
  });

  test('row 40: compareImages() believes no other path', async () => {
    expect(await graded(compiled(100), compiled(200), '/usr/bin/mod.cpython-311.pyc')).toEqual([
      'unexplained',
      undefined,
    ]);
  });
});

describe('compareImages() of what hides', () => {
  test.each<[string, Item, Item, string]>([
    [
      'another capability of one that has some',
      { content: elf, mode: 0o755, pax: { 'SCHILY.xattr.security.capability': 'x' } },
      { content: elf, mode: 0o755, pax: { 'SCHILY.xattr.security.capability': 'y' } },
      'xattr',
    ],
    [
      'another device',
      { type: 'block-device', devmajor: 8, devminor: 1, mode: 0o600 },
      { type: 'block-device', devmajor: 8, devminor: 2, mode: 0o600 },
      'device',
    ],
  ])('row 40: compareImages() names %s', async (_name, one, other, aspect) => {
    const { grade, differences } = await compare(
      await build([{ '/dev/x': one }]),
      await build([{ '/dev/x': other }]),
    );
    expect([grade, differences.map(({ aspects }) => aspects)]).toEqual(['unexplained', [[aspect]]]);
  });

  test('row 40: compareImages() sees the mode and owner that a hardlink gives its file', async () => {
    const image = (mode: number, uid: number) =>
      build([
        { '/bin/a': { content: 'x', mode: 0o755 }, '/bin/b': { type: 'link', linkname: 'bin/a', mode, uid } },
      ]);
    const { grade, differences } = await compare(await image(0o755, 0), await image(0o4755, 12));
    expect(grade).toBe('unexplained');
    expect(differences.map(({ path, aspects }) => [path, ...aspects].join(' '))).toEqual([
      '/bin/a mode owner',
      '/bin/b mode owner',
    ]);
  });

  test.each(['constructor', 'toString', '__proto__', 'hasOwnProperty'])(
    'compareImages() has no explanation for a label named %s',
    async (name) => {
      const labels = Object.fromEntries([[name, 'x']]);
      const comparison = await compare(
        await build([{}]),
        await build([{}], { execution: { Labels: labels } }),
      );
      expect(comparison.grade).toBe('unexplained');
      expect(comparison.config).toEqual([{ field: `Labels.${name}`, rebuilt: 'x' }]);
    },
  );
});

describe('compareImages() of packages', () => {
  const status = (packages: Record<string, string>) =>
    Object.entries(packages)
      .map(
        ([name, version]) =>
          `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n`,
      )
      .join('\n');
  const debian = (packages: Record<string, string>, files: Files): Files => ({
    '/lib': { type: 'symlink', linkname: 'usr/lib' },
    '/var/lib/dpkg/status': status(packages),
    '/var/lib/dpkg/info/libx:amd64.list': '/.\n/lib\n/lib/libx.so.1\n/usr/share/doc/libx\n',
    '/var/lib/dpkg/info/libx:amd64.md5sums': `${md5(files['/usr/lib/libx.so.1'])}  lib/libx.so.1\n`,
    ...files,
  });
  const md5 = (item: Item | undefined) =>
    hash('md5', (typeof item === 'string' ? item : item?.content) ?? '');
  const explained = async (original: Files, rebuilt: Files) => {
    const { grade, differences } = await compare(await build([original]), await build([rebuilt]));
    const open = differences.filter(({ explanation }) => explanation === undefined);
    return { grade, unexplained: open.map(({ path }) => path) };
  };

  test('compareImages() explains files of a package that moved', async () => {
    const log = (version: string) => ({
      '/var/log/dpkg.log': `2026-01-01 00:00:0${version.at(-1)} status installed libx:amd64 ${version}\n`,
    });
    const original = await build([
      debian({ libx: '1.0', tool: '3' }, { '/usr/lib/libx.so.1': 'one', ...log('1.0') }),
    ]);
    const rebuilt = await build([
      debian({ libx: '1.1', tool: '3' }, { '/usr/lib/libx.so.1': 'two', ...log('1.1') }),
    ]);
    const comparison = await compare(original, rebuilt);
    expect(comparison.grade).toBe('explained');
    expect(comparison.packages).toEqual([
      {
        manager: 'dpkg',
        name: 'libx',
        architecture: 'amd64',
        original: '1.0',
        rebuilt: '1.1',
        origin: { side: 'rebuilt', layer: 0 },
      },
    ]);
    expect(comparison.differences.map(({ path, explanation }) => `${path}: ${explanation}`)).toEqual([
      '/usr/lib/libx.so.1: package libx moved from 1.0 to 1.1',
      '/var/lib/dpkg/info/libx:amd64.md5sums: package libx moved from 1.0 to 1.1',
      '/var/lib/dpkg/status: records of packages that moved: libx:amd64',
      '/var/log/dpkg.log: log of the versions of packages that moved',
    ]);
  });

  test('row 40: compareImages() explains a script of a moved package only by versions in it', async () => {
    const script = (version: string, line = 'true') => ({
      '/var/lib/dpkg/info/libx:amd64.postinst': {
        content: `#!/bin/sh\n# since ${version}\n${line}\n`,
        mode: 0o755,
      },
    });
    const original = debian({ libx: '1.0' }, script('1.0'));
    expect(await explained(original, debian({ libx: '1.1' }, script('1.1')))).toMatchObject({
      unexplained: [],
    });
    const planted = debian({ libx: '1.1' }, script('1.1', 'chmod u+s /bin/sh'));
    expect(await explained(original, planted)).toEqual({
      grade: 'unexplained',
      unexplained: ['/var/lib/dpkg/info/libx:amd64.postinst'],
    });
  });

  test('row 40: compareImages() does not explain a file that another package claims', async () => {
    const file = (content: string): Files => ({ '/usr/lib/libx.so.1': content });
    const other = (name: string, content: string): Files => ({
      '/var/lib/dpkg/info/libx:amd64.md5sums': '',
      [`/var/lib/dpkg/info/${name}:amd64.md5sums`]: `${md5(content)}  lib/libx.so.1\n`,
    });
    const original = debian({ libx: '1.0', evil: '1.0' }, { ...file('a'), ...other('libx', 'a') });
    const rebuilt = debian({ libx: '1.1', evil: '1.1' }, { ...file('b'), ...other('evil', 'b') });
    expect((await explained(original, rebuilt)).unexplained).toContain('/usr/lib/libx.so.1');
  });

  test.each([
    ['a number', '0', '1000', (version: string) => `chown ${version} /bin/x`],
    ['a part of a word', '1.0', '1.1', (version: string) => `/bin/x${version}`],
    ['a command', 'true; evil', '1.1', (version: string) => version],
    ['NUL', '1.0', '1.1', (version: string) => (version === '1.0' ? '\u00000' : version)],
  ])('row 40: compareImages() takes %s in a script for no version', async (_name, before, after, line) => {
    const script = (version: string) => ({
      '/var/lib/dpkg/info/libx:amd64.postinst': { content: `#!/bin/sh\n${line(version)}\n`, mode: 0o755 },
    });
    const original = debian({ libx: before }, script(before));
    expect(await explained(original, debian({ libx: after }, script(after)))).toEqual({
      grade: 'unexplained',
      unexplained: ['/var/lib/dpkg/info/libx:amd64.postinst'],
    });
  });

  test('compareImages() does not explain by packages what they cannot account for', async () => {
    const original = await build([
      debian({ libx: '1.0' }, { '/usr/lib/libx.so.1': 'one', '/etc/motd': 'a' }),
    ]);
    const rebuilt = await build([
      {
        ...debian(
          { libx: '1.1' },
          { '/usr/lib/libx.so.1': { content: 'two', mode: 0o4755 }, '/etc/motd': 'b' },
        ),
        '/var/lib/dpkg/info/libx:amd64.list': '/lib/libx.so.1\n/usr/bin/evil\n',
        '/usr/bin/evil': { content: 'x', mode: 0o755 },
      },
    ]);
    const { grade, differences } = await compare(original, rebuilt);
    expect(grade).toBe('unexplained');
    const unexplained = differences.filter(({ explanation }) => explanation === undefined);
    expect(unexplained.map(({ path }) => path)).toEqual([
      '/etc/motd',
      '/usr/bin',
      '/usr/bin/evil',
      '/usr/lib/libx.so.1',
    ]);
  });

  test('compareImages() does not explain a new file of a moved package that root does not own', async () => {
    const list = '/lib/libx.so.1\n/usr/share/libx.conf\n';
    const added = (owner: { readonly uid?: number; readonly gid?: number }) => ({
      ...debian({ libx: '1.1' }, { '/usr/lib/libx.so.1': 'one' }),
      '/usr/share/': { type: 'directory', mode: 0o755 } as const,
      '/usr/share/libx.conf': { content: 'x', ...owner },
      '/var/lib/dpkg/info/libx:amd64.list': list,
      '/var/lib/dpkg/info/libx:amd64.md5sums': `${md5('one')}  lib/libx.so.1\n${md5('x')}  usr/share/libx.conf\n`,
    });
    const original = {
      ...debian({ libx: '1.0' }, { '/usr/lib/libx.so.1': 'one' }),
      '/usr/share/': { type: 'directory', mode: 0o755 } as const,
    };
    expect(await explained(original, added({}))).toMatchObject({ unexplained: [] });
    for (const owner of [{ uid: 7 }, { gid: 7 }]) {
      expect(await explained(original, added(owner))).toMatchObject({
        unexplained: ['/usr/share/libx.conf'],
      });
    }
  });

  test('compareImages() does not explain a changed file of a package that did not move', async () => {
    const original = await build([debian({ libx: '1.0' }, { '/usr/lib/libx.so.1': 'one' })]);
    const rebuilt = await build([debian({ libx: '1.0' }, { '/usr/lib/libx.so.1': 'two' })]);
    expect(await compare(original, rebuilt)).toMatchObject({ grade: 'unexplained', packages: [] });
  });

  test('compareImages() does not explain a package list that says more than versions that moved', async () => {
    const other = debian({ libx: '1.1', tool: '3' }, {});
    const forged = {
      ...other,
      '/var/lib/dpkg/status': `${status({ libx: '1.1', tool: '3' })}Conffiles: evil\n`,
    };
    const { differences } = await compare(
      await build([debian({ libx: '1.0', tool: '3' }, {})]),
      await build([forged]),
    );
    expect(differences).toMatchObject([{ path: '/var/lib/dpkg/status' }]);
    expect(differences[0]!.explanation).toBeUndefined();
  });

  test('row 40: compareImages() does not take a moved package for the reason of what its checksums contradict', async () => {
    const file = '/usr/lib/libx.so.1';
    const evil = { '/var/lib/dpkg/info/libx:amd64.md5sums': `${md5('two')}  lib/libx.so.1\n` };
    const original = debian({ libx: '1.0' }, { [file]: 'one' });
    expect(await explained(original, debian({ libx: '1.1' }, { [file]: 'evil', ...evil }))).toEqual({
      grade: 'unexplained',
      unexplained: [file],
    });
    const apk = (version: string, content: string): Files => ({
      '/lib/apk/db/installed': `P:zlib\nV:${version}\nA:x86_64\nF:usr/lib\nR:libz.so.1\nZ:Q1${createHash('sha1').update('one').digest('base64')}\n\n`,
      '/usr/lib/libz.so.1': content,
    });
    expect(await explained(apk('1', 'one'), apk('2', 'two'))).toMatchObject({
      unexplained: ['/usr/lib/libz.so.1'],
    });
  });

  test('row 40: compareImages() does not take a list without checksums, a link elsewhere or an account for granted', async () => {
    const list = (lines: string) => ({ '/var/lib/dpkg/info/libx:amd64.list': lines });
    const link = (linkname: string): Item => ({ type: 'symlink', linkname });
    const base = { '/usr/lib/libx.so.1': 'one', ...list('/lib/libx.so.1\n/lib/libx.so\n') };
    const planted = {
      ...list('/lib/libx.so.1\n/lib/libx.so\n/etc/ld.so.preload\n/usr/lib/evil.so\n/etc/passwd\n'),
      '/etc/ld.so.preload': '/usr/lib/evil.so\n',
      '/usr/lib/evil.so': 'evil',
      '/etc/passwd': 'evil::0:0::/:/bin/sh\n',
      '/var/lib/dpkg/info/libx:amd64.md5sums': [
        `${md5('one')}  lib/libx.so.1`,
        `${md5('/usr/lib/evil.so\n')}  etc/ld.so.preload`,
        `${md5('evil::0:0::/:/bin/sh\n')}  etc/passwd\n`,
      ].join('\n'),
    };
    const original = debian({ libx: '1.0' }, { ...base, '/usr/lib/libx.so': link('libx.so.1') });
    const moved = debian({ libx: '1.1' }, { ...base, '/usr/lib/libx.so': link('/lib/libx.so.1') });
    expect(await explained(original, moved)).toMatchObject({ unexplained: [] });
    const away = debian({ libx: '1.1' }, { ...base, '/usr/lib/libx.so': link('/tmp/evil') });
    expect(await explained(original, away)).toMatchObject({ unexplained: ['/usr/lib/libx.so'] });
    const added = debian({ libx: '1.1' }, { ...base, '/usr/lib/libx.so': link('libx.so.1'), ...planted });
    expect((await explained(original, added)).unexplained).toEqual(
      expect.arrayContaining(['/etc/ld.so.preload', '/etc/passwd', '/usr/lib/evil.so']),
    );
  });

  test('compareImages() explains configuration, and packages of images without dpkg', async () => {
    const conffile = (version: string, content: string): Files => ({
      '/var/lib/dpkg/status': `Package: x\nStatus: install ok installed\nArchitecture: all\nVersion: ${version}\nConffiles:\n /etc/x ${md5(content)}\n`,
      '/var/lib/dpkg/info/x.list': '/etc/x\n',
      '/etc/x': content,
    });
    expect(await explained(conffile('1', 'one'), conffile('2', 'two'))).toMatchObject({ unexplained: [] });
    const distroless = (version: string, content: string): Files => ({
      '/var/lib/dpkg/status.d/libx.1': `Package: libx.1\nArchitecture: amd64\nVersion: ${version}\n`,
      '/var/lib/dpkg/status.d/libx.1.md5sums': `${md5(content)}  usr/lib/libx.so\n`,
      '/usr/lib/libx.so': content,
    });
    expect(await explained(distroless('1', 'one'), distroless('2', 'two'))).toEqual({
      grade: 'explained',
      unexplained: [],
    });
  });

  test('compareImages() holds no more of a log than it must', async () => {
    const name = 'p'.repeat(1000);
    const image = (version: string, length: number): Files => ({
      '/var/lib/dpkg/status': status({ [name]: version }),
      '/var/log/dpkg.log': version.repeat(length),
    });
    const grade = async (length: number) => (await explained(image('a', length), image('b', length))).grade;
    expect(await grade(700_000)).toBe('explained');
    expect(await grade(5_000_000)).toBe('unexplained');
  });

  test('compareImages() explains apk packages that moved', async () => {
    const alpine = (version: string, content: string): Files => ({
      '/lib/apk/db/installed': `P:musl\nV:1.2.5-r0\nA:x86_64\n\nP:zlib\nV:${version}\nA:x86_64\nF:usr/lib\nR:libz.so.1\nZ:Q1${createHash('sha1').update(content).digest('base64')}\n\n`,
      '/usr/lib/libz.so.1': { content, mode: 0o755 },
    });
    const comparison = await compare(
      await build([alpine('1.3-r0', 'one')]),
      await build([alpine('1.3-r1', 'two')]),
    );
    expect(comparison.grade).toBe('explained');
    expect(comparison.packages).toMatchObject([
      { manager: 'apk', name: 'zlib', original: '1.3-r0', rebuilt: '1.3-r1' },
    ]);
  });
});
