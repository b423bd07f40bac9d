import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ImagevetError } from '@imagevet/registry';
import { type CommitFile, createRepository } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CatalogCache } from './catalog-cache.ts';
import { resolveCatalog } from './resolve-catalog.ts';
import type { CatalogBuild, CatalogImage, CatalogLibrary, ResolveCatalogOptions } from './types.ts';

const GONE = '9'.repeat(40);
const PIN = `sha256:${'a'.repeat(64)}`;
const HEAD = 'Maintainers: A. Person <a@imagevet.example> (@a)\n';

let directory: string;
let official: string;
let library: Record<string, string>;
const remotes: Record<string, string> = {};

async function repository(
  name: string,
  files: Record<string, CommitFile>,
  tags?: readonly string[],
): Promise<string> {
  const path = join(directory, name.replace('/', '+'));
  const commit = {
    files,
    message: 'One',
    date: '2020-01-01T00:00:00Z',
    ...(tags === undefined ? {} : { tags }),
  };
  const { commits } = await createRepository(path, [commit]);
  remotes[`https://github.com/${name}`] = path;
  return commits[0]!;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-catalog-'));
  const rootfs = await repository('acme/rootfs', {
    'slim/oci/index.json': '{}',
    'slim/Dockerfile': 'FROM scratch\n',
  });
  const runtime = await repository(
    'acme/runtime',
    {
      '7/Dockerfile': 'FROM rootfs:slim\nRUN make\n',
      '7/win/Dockerfile': '# escape=`\nFROM mcr.microsoft.com/windows/servercore:ltsc2022\n',
      '7/win25/Dockerfile': 'FROM mcr.microsoft.com/windows/servercore:ltsc2025\n',
      'odd/template/Dockerfile': 'FROM {{ env.FROM }}\n',
      'odd/args/Dockerfile': 'ARG BASE\nFROM ${BASE}\n',
      'odd/target/Dockerfile': 'ARG TARGETARCH\nFROM runtime:7-${TARGETARCH}\n',
      'torn/Dockerfile': 'FROM rootfs:slim\nONBUILD # nothing\n',
      'trigger/Dockerfile':
        'FROM rootfs:slim\nONBUILD COPY --from=tool:1 /a /a\nONBUILD RUN --mount=from=built,target=/b true\nONBUILD COPY --from=0 /a /a\nONBUILD USER app\nONBUILD COPY --from=acme/helper:2 /h /h\n',
      'odd/digest/Dockerfile': `FROM rootfs:slim@${PIN}\n`,
    },
    ['v7'],
  );
  const blog = await repository('acme/blog', {
    Dockerfile:
      'FROM runtime:7\nCOPY --from=tool:1 /tool /tool\nRUN --mount=from=acme/helper:2,target=/h true\n',
    latest: { symlink: '4' },
    '4/Dockerfile':
      '# syntax=docker/dockerfile:1\nFROM tool:1 AS build\nFROM --platform=linux/amd64 runtime:7\n',
    'win/Dockerfile': 'FROM runtime:7\n',
    'triggered/Dockerfile':
      'FROM runtime:7 AS built\n\nFROM runtime:trigger\nFROM built AS last\nCOPY --from=1 /a /a\n',
    'torn/Dockerfile': 'FROM runtime:torn\n',
    'above/Dockerfile': 'FROM blog:direct\n',
    'direct/Dockerfile': '\nFROM runtime:trigger AS built\n',
    'gone/Dockerfile': 'FROM runtime:6\n',
    'unknown/Dockerfile': 'FROM forgotten\n',
    'broken/Dockerfile': 'FROM broken:1\n',
  });
  library = {
    rootfs: `${HEAD}GitRepo: https://github.com/acme/rootfs.git\nGitCommit: ${GONE}\nBuilder: oci-import\nFile: index.json\n\nTags: slim, latest\nArchitectures: amd64, arm64v8\namd64-GitCommit: ${rootfs}\namd64-Directory: slim/oci/\n`,
    runtime: [
      `${HEAD}GitRepo: https://github.com/acme/runtime.git\nGitCommit: ${runtime}`,
      'Tags: 7.0, 7-amd64\nSharedTags: 7\nArchitectures: amd64, arm64v8, s390x\nDirectory: 7',
      'Tags: 7-ltsc2022\nSharedTags: 7\nArchitectures: windows-amd64\nConstraints: windowsservercore-ltsc2022\nDirectory: 7/win',
      'Tags: 7-ltsc2025\nSharedTags: 7\nArchitectures: windows-amd64\nConstraints: windowsservercore-ltsc2025\nDirectory: 7/win25',
      'Tags: template\nDirectory: odd/template',
      'Tags: args\nDirectory: odd/args',
      'Tags: target\nArchitectures: amd64, arm64v8\nDirectory: odd/target',
      'Tags: digest\nDirectory: odd/digest',
      'Tags: trigger\nArchitectures: amd64, arm64v8\nDirectory: trigger',
      'Tags: torn\nDirectory: torn',
      'Tags: nofile\nDirectory: none',
    ].join('\n\n'),
    tool: `# maintainer: A. Person <a@imagevet.example> (@a)\n\n1: git://github.com/acme/runtime@v7 7\nlatest: git://github.com/acme/runtime@v7 7\nnext: git://github.com/acme/runtime@v8 7\n`,
    blog: [
      `${HEAD}GitRepo: https://github.com/acme/blog\nGitCommit: ${blog}`,
      'Tags: 3\nArchitectures: amd64, arm64v8',
      'Tags: 4\nArchitectures: arm64v8\nDirectory: latest',
      'Tags: win\nArchitectures: windows-amd64\nConstraints: windowsservercore-ltsc2025\nDirectory: win',
      'Tags: anywin\nArchitectures: windows-amd64\nDirectory: win',
      'Tags: triggered\nDirectory: triggered',
      'Tags: direct\nArchitectures: amd64, arm64v8\nDirectory: direct',
      'Tags: above\nDirectory: above',
      'Tags: torn\nDirectory: torn',
      'Tags: riscv\nArchitectures: riscv64\nDirectory: win',
      'Tags: gone\nDirectory: gone',
      'Tags: unknown\nDirectory: unknown',
      'Tags: broken\nDirectory: broken',
      'Tags: nomirror\nGitRepo: https://github.com/acme/nowhere',
      'Tags: ssh\nGitRepo: ssh://github.com/acme/blog',
    ].join('\n\n'),
    broken: 'Tags: 1\n',
  };
  official = join(directory, 'official');
  const files = (extra: Record<string, CommitFile>) => ({
    ...Object.fromEntries(Object.entries(library).map(([name, text]) => [`library/${name}`, text])),
    'library/MAINTAINERS': 'A. Person\n',
    '.external-pins/mcr.microsoft.com/windows/servercore___ltsc2022': `${PIN}\n`,
    '.external-pins/acme/helper___2': `${PIN}\n`,
    '.external-pins/tag.sh': '#!/bin/sh\n',
    ...extra,
  });
  await createRepository(official, [
    { files: { 'library/rootfs': library.rootfs! }, message: 'Before', date: '2020-01-01T00:00:00Z' },
    { files: files({}), message: 'Now', date: '2020-02-01T00:00:00Z' },
  ]);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const options = (more: Partial<ResolveCatalogOptions> = {}): ResolveCatalogOptions => ({
  mirrors: { directory: join(directory, 'mirrors'), remotes, hosts: [], offline: true },
  ...more,
});

async function resolve(
  from: CatalogLibrary,
  more: Partial<ResolveCatalogOptions> = {},
): Promise<CatalogImage[]> {
  const images: CatalogImage[] = [];
  for await (const image of resolveCatalog(from, options(more))) images.push(image);
  return images;
}

/** A git that counts how often it is started. */
function countGit(name: string) {
  const bin = join(directory, `bin-${name}`);
  const file = join(bin, 'started');
  mkdirSync(bin);
  writeFileSync(
    join(bin, 'git'),
    `#!/bin/sh\necho >> '${file}'\nPATH='${process.env.PATH}' exec git "$@"\n`,
    {
      mode: 0o755,
    },
  );
  return {
    log: () => (existsSync(file) ? readFileSync(file).length : 0),
    environment: { PATH: `${bin}:/usr/bin:/bin` },
  };
}

const buildsOf = (images: readonly CatalogImage[]): ReadonlyMap<string, CatalogBuild> =>
  new Map(
    images
      .flatMap(({ entries }) => entries.flatMap(({ builds }) => builds))
      .map((build) => [build.id, build]),
  );
const nodeId = (tag: string, platform = 'linux/amd64') => `docker.io/library/${tag} ${platform}`;

describe('resolveCatalog()', () => {
  it('finds for every entry and architecture its file, and what it is built from', async () => {
    const builds = buildsOf(await resolve({ mirror: official }));
    const blog = builds.get(nodeId('blog:3', 'linux/arm64/v8'));
    expect(blog?.source).toMatchObject({
      repository: 'https://github.com/acme/blog',
      path: 'Dockerfile',
      directory: '.',
    });
    expect(blog?.inputs).toEqual([
      {
        kind: 'base',
        text: 'runtime:7',
        line: 1,
        target: { kind: 'build', id: nodeId('runtime:7.0', 'linux/arm64/v8') },
      },
      { kind: 'copy-from', text: 'tool:1', line: 2, target: { kind: 'unresolved' } },
      {
        kind: 'mount-from',
        text: 'acme/helper:2',
        line: 3,
        target: { kind: 'external', reference: 'docker.io/acme/helper:2', digest: PIN },
      },
    ]);
    expect(blog?.findings).toMatchObject([{ code: 'architecture-missing', line: 2 }]);
    expect(builds.get(nodeId('blog:3'))?.inputs[1]?.target).toEqual({
      kind: 'build',
      id: nodeId('tool:1'),
    });
    expect(builds.get(nodeId('runtime:7.0'))?.inputs[0]?.target).toEqual({
      kind: 'build',
      id: nodeId('rootfs:slim'),
    });
    expect(builds.get(nodeId('rootfs:slim'))).toMatchObject({
      builder: 'oci-import',
      source: { path: 'slim/oci/index.json' },
      inputs: [{ kind: 'base', target: { kind: 'root', root: 'rootfs-import' } }],
      findings: [],
    });
  });

  it('follows directories that are links, and the platform a stage asks for', async () => {
    const build = buildsOf(await resolve({ mirror: official })).get(nodeId('blog:4', 'linux/arm64/v8'));
    expect(build?.file?.path).toBe('4/Dockerfile');
    expect(build?.inputs.map(({ kind, target }) => [kind, 'id' in target ? target.id : target.kind])).toEqual(
      [
        ['base', nodeId('runtime:7.0')],
        ['stage', 'unresolved'],
        ['frontend', 'external'],
      ],
    );
  });

  it('follows the ONBUILD triggers of a base, once, and of the base of another stage', async () => {
    const builds = buildsOf(await resolve({ mirror: official }));
    const trigger = (platform?: string) => ({ triggeredBy: nodeId('runtime:trigger', platform) });
    const helper = {
      ...{ kind: 'copy-from', text: 'acme/helper:2' },
      target: { kind: 'external', reference: 'docker.io/acme/helper:2', digest: PIN },
    };
    const tool = { kind: 'copy-from', text: 'tool:1' };
    const found = { target: { kind: 'build', id: nodeId('tool:1') } };
    // The stage itself is called `built`, none before it: that is the name of an image.
    const direct = builds.get(nodeId('blog:direct'));
    expect(direct?.inputs).toMatchObject([
      { kind: 'base', text: 'runtime:trigger', line: 2 },
      { ...tool, ...found, ...trigger(), line: 2 },
      { kind: 'mount-from', text: 'built', ...trigger(), line: 2, target: { kind: 'unresolved' } },
      { ...helper, ...trigger(), line: 2 },
    ]);
    expect(direct?.inputs[0]).not.toHaveProperty('triggeredBy');
    expect(direct?.findings.map(({ code, line }) => [code, line])).toEqual([['image-missing', 2]]);
    expect(builds.get(nodeId('blog:direct', 'linux/arm64/v8'))?.findings[0]).toMatchObject({
      code: 'architecture-missing',
      message: 'tool:1: the tag is not built for arm64v8',
    });
    // `built` and 0 are stages of this one.
    expect(builds.get(nodeId('blog:triggered'))).toMatchObject({
      inputs: [
        { kind: 'base', text: 'runtime:7' },
        { kind: 'stage', text: 'runtime:trigger', line: 3 },
        { ...tool, ...found, ...trigger(), line: 3 },
        { ...helper, ...trigger(), line: 3 },
      ],
      findings: [],
    });
    expect(builds.get(nodeId('blog:above'))?.inputs).toHaveLength(1);
    expect(builds.get(nodeId('blog:torn'))?.findings).toMatchObject([
      {
        code: 'dockerfile-invalid',
        message: `an ONBUILD trigger of ${nodeId('runtime:torn')}: it is not one instruction`,
      },
    ]);
  });

  it('reads a Dockerfile for each architecture where a name depends on it', async () => {
    const builds = buildsOf(await resolve({ mirror: official }));
    expect(builds.get(nodeId('runtime:target'))?.inputs[0]?.target).toEqual({
      kind: 'build',
      id: nodeId('runtime:7.0'),
    });
    expect(builds.get(nodeId('runtime:target', 'linux/arm64/v8'))?.findings).toMatchObject([
      { code: 'tag-missing' },
    ]);
  });

  it('tells Windows versions apart by constraints, and says when it cannot', async () => {
    const builds = buildsOf(await resolve({ mirror: official }));
    const base = (tag: string) => builds.get(nodeId(tag, 'windows/amd64'))?.inputs[0]?.target;
    const [ltsc2022, ltsc2025] = ['2022', '2025'].map((year) =>
      nodeId(`runtime:7-ltsc${year}`, 'windows/amd64'),
    );
    expect(base('blog:win')).toEqual({ kind: 'build', id: ltsc2025 });
    expect(base('blog:anywin')).toEqual({ kind: 'unresolved', candidates: [ltsc2022, ltsc2025] });
    const servercore = 'mcr.microsoft.com/windows/servercore';
    expect(base('runtime:7-ltsc2022')).toEqual({
      kind: 'external',
      reference: `${servercore}:ltsc2022`,
      digest: PIN,
    });
    expect(base('runtime:7-ltsc2025')).toEqual({ kind: 'external', reference: `${servercore}:ltsc2025` });
  });

  it('takes no base from another architecture', async () => {
    // So it stood in the library of 2018-08-01: erlang:18 was built for s390x, and its base, buildpack-deps:jessie, no longer.
    const build = buildsOf(await resolve({ mirror: official })).get(nodeId('blog:riscv', 'linux/riscv64'));
    expect(build?.file?.path).toBe('win/Dockerfile');
    expect(build?.inputs).toEqual([
      { kind: 'base', text: 'runtime:7', line: 1, target: { kind: 'unresolved' } },
    ]);
    expect(build?.findings).toEqual([
      { code: 'architecture-missing', message: 'runtime:7: the tag is not built for riscv64', line: 1 },
    ]);
  });

  it('takes a name with a digest for what it pins', async () => {
    const build = buildsOf(await resolve({ mirror: official })).get(nodeId('runtime:digest'));
    expect(build?.inputs[0]?.target).toMatchObject({ kind: 'external', digest: PIN });
  });

  it.each([
    ['blog:gone', 'linux/amd64', 'tag-missing'],
    ['blog:unknown', 'linux/amd64', 'image-missing'],
    ['blog:broken', 'linux/amd64', 'library-invalid'],
    ['blog:riscv', 'linux/riscv64', 'architecture-missing'],
    ['blog:anywin', 'windows/amd64', 'tag-ambiguous'],
    ['blog:nomirror', 'linux/amd64', 'mirror-missing'],
    ['blog:ssh', 'linux/amd64', 'source-unnamed'],
    ['tool:next', 'linux/amd64', 'source-unnamed'],
    ['rootfs:slim', 'linux/arm64/v8', 'commit-missing'],
    ['runtime:nofile', 'linux/amd64', 'file-missing'],
    ['runtime:template', 'linux/amd64', 'dockerfile-invalid'],
    ['runtime:args', 'linux/amd64', 'name-unresolved'],
  ])('says of %s on %s: %s', async (tag, platform, code) => {
    const build = buildsOf(await resolve({ mirror: official })).get(nodeId(tag, platform));
    expect(build?.findings.map((finding) => finding.code)).toEqual([code]);
  });

  it('names the library file that does not parse, and goes on', async () => {
    const images = await resolve({ mirror: official });
    expect(images.map(({ name }) => name)).toEqual(['blog', 'broken', 'rootfs', 'runtime', 'tool']);
    expect(images[1]).toMatchObject({ entries: [], findings: [{ code: 'library-invalid', line: 1 }] });
  });

  it('reads a git tag of the line format as it stands now', async () => {
    const build = buildsOf(await resolve({ mirror: official })).get(nodeId('tool:1'));
    expect(build?.source).toMatchObject({
      commit: expect.stringMatching(/^[0-9a-f]{40}$/),
      ref: 'refs/tags/v7',
    });
    expect(build?.inputs[0]?.target).toEqual({ kind: 'build', id: nodeId('rootfs:slim') });
  });

  it('reads the library of a day, of a commit and of a directory', async () => {
    const before = await resolve({ mirror: official, asOf: new Date('2020-01-15T00:00:00Z') });
    expect(before.map(({ name }) => name)).toEqual(['rootfs']);
    const [{ commit } = {}] = await resolve({ mirror: official });
    expect((await resolve({ mirror: official, commit: commit! })).length).toBe(5);
    const checkout = join(directory, 'checkout');
    for (const [name, text] of Object.entries(library)) {
      mkdirSync(dirname(join(checkout, 'library', name)), { recursive: true });
      writeFileSync(join(checkout, 'library', name), text);
    }
    const fromDirectory = await resolve({ directory: checkout });
    expect(fromDirectory.map(({ name }) => name)).toEqual(['blog', 'broken', 'rootfs', 'runtime', 'tool']);
    expect(fromDirectory[0]?.commit).toBeUndefined();
  });

  it.each([
    [
      'a day before the first',
      () => ({ mirror: official, asOf: new Date('2019-01-01') }),
      'SOURCE_NOT_FOUND',
    ],
    ['a commit that is not there', () => ({ mirror: official, commit: GONE }), 'SOURCE_NOT_FOUND'],
    ['a commit that is none', () => ({ mirror: official, commit: 'main' }), 'INVALID_OPTIONS'],
    ['a mirror that is none', () => ({ mirror: join(directory, 'none') }), 'SOURCE_NOT_FOUND'],
    ['a directory without library/', () => ({ directory }), 'SOURCE_NOT_FOUND'],
  ])('says that it cannot read %s', async (_, from, code) => {
    await expect(resolve(from())).rejects.toSatisfy(
      (error) => ImagevetError.is(error) && error.code === code,
    );
  });

  it('reads each git object once, and with a cache none but the library', async () => {
    const reads: string[] = [];
    const onRead = ({ id }: { readonly id: string }) => void reads.push(id);
    const first = new CatalogCache();
    const cold = await resolve({ mirror: official }, { cache: first, onRead });
    expect(reads.length).toBeGreaterThan(20);
    expect(reads.filter((id, at) => reads.indexOf(id) !== at)).toEqual([]);
    reads.length = 0;
    const saved = JSON.parse(JSON.stringify(first));
    const warm = await resolve({ mirror: official }, { cache: new CatalogCache(saved), onRead });
    expect(warm).toEqual(cold);
    const own =
      new Set([...Object.keys(library), 'MAINTAINERS']).size + 3 /* pins */ + 7; /* commit and trees */
    expect(reads.length).toBeLessThanOrEqual(own);
  });

  it.each(['loose', 'packed'])(
    'asks again for a missing commit only when the mirror has other objects, here %s ones',
    async (form) => {
      const path = join(directory, `lost-${form}`);
      const files = { Dockerfile: 'FROM scratch\n' };
      await createRepository(path, [{ files, message: 'Early', date: '2020-01-01T00:00:00Z' }]);
      const later = join(directory, `later-${form}`);
      const { commits } = await createRepository(later, [
        { files, message: 'Late', date: '2020-03-01T00:00:00Z' },
      ]);
      const checkout = join(directory, `checkout-${form}`);
      mkdirSync(join(checkout, 'library'), { recursive: true });
      const text = `${HEAD}GitRepo: https://github.com/acme/lost\nGitCommit: ${commits[0]}\n\nTags: 1\n`;
      writeFileSync(join(checkout, 'library', 'lost'), text);
      const { log, environment } = countGit(form);
      let saved: unknown;
      const codes = async () => {
        const cache = new CatalogCache(saved);
        const lost = { 'https://github.com/acme/lost': path };
        const mirrors = { ...options().mirrors, remotes: lost, environment };
        const builds = buildsOf(await resolve({ directory: checkout }, { cache, mirrors }));
        saved = JSON.parse(JSON.stringify(cache));
        return builds.get(nodeId('lost:1'))?.findings.map(({ code }) => code);
      };
      expect(await codes()).toEqual(['commit-missing']);
      const asked = log();
      expect(asked).toBeGreaterThan(0);
      expect(await codes()).toEqual(['commit-missing']);
      expect(log()).toBe(asked);
      const limit = `fetch.unpackLimit=${form === 'loose' ? 100 : 1}`;
      const refs = 'refs/heads/*:refs/heads/late/*';
      execFileSync('git', ['-C', path, '-c', limit, 'fetch', '--quiet', later, refs]);
      expect(await codes()).toEqual([]);
      expect(log()).toBeGreaterThan(asked);
    },
  );

  it('forgets what was not used', async () => {
    const cache = new CatalogCache();
    await resolve({ mirror: official }, { cache });
    const saved = JSON.parse(JSON.stringify(cache));
    const next = new CatalogCache(saved);
    await resolve({ mirror: official, asOf: new Date('2020-01-15T00:00:00Z') }, { cache: next });
    const kept = JSON.parse(JSON.stringify(next)) as { paths: object };
    expect(Object.keys(kept.paths).length).toBe(1);
    expect(Object.keys(saved.paths).length).toBeGreaterThan(10);
  });

  it.each([
    [null],
    [{}],
    [{ version: 1, paths: {}, recipes: {} }],
    [{ version: 2 }],
    [{ version: 2, paths: {}, recipes: { a: { inputs: { '*': [1] } } }, missing: {} }],
    [{ version: 2, paths: {}, recipes: {}, missing: { a: { state: 'x' } } }],
  ])('refuses %j as a cache', (saved) => {
    expect(() => new CatalogCache(saved)).toThrow(/CatalogCache saved/);
  });

  it('stops when asked, and when nobody takes more', async () => {
    const reason = new Error('enough');
    await expect(resolve({ mirror: official }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const images = resolveCatalog({ mirror: official }, options({ signal: controller.signal }));
    await images.next();
    controller.abort(reason);
    await expect(images.next()).rejects.toBe(reason);
    const left = resolveCatalog({ mirror: official }, options({ lookahead: 0 }));
    await left.next();
    expect(await left.return()).toEqual({ done: true, value: undefined });
  });
});
