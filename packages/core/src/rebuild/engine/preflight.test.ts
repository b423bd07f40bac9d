import { describe, expect, test } from 'vitest';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import type { EngineDescription } from './engine.ts';
import { chooseBackend, refuseCopyOfDockerfile, withoutFloatingFrontend } from './preflight.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const DOCKER_20: EngineDescription = {
  kind: 'docker',
  name: 'Docker Engine',
  version: '20.10.24',
  apiVersion: '1.41',
  containerdStore: false,
  platform,
};
const DOCKER_28: EngineDescription = { ...DOCKER_20, version: '28.5.2', apiVersion: '1.51' };
const DOCKER_17: EngineDescription = { ...DOCKER_20, version: '17.09', apiVersion: '1.32' };
const PODMAN_4: EngineDescription = {
  kind: 'podman',
  name: 'Podman Engine',
  version: '4.3.1',
  apiVersion: '1.41',
  containerdStore: false,
  platform,
};
const PODMAN_5: EngineDescription = { ...PODMAN_4, version: '5.4.2' };

const PLAIN = 'FROM x\nRUN y';
const MOUNT = 'FROM x\nRUN --mount=type=cache,target=/c y';
const HEREDOC = 'FROM x\nRUN <<EOF\ny\nEOF';
const LINK = 'FROM x\nCOPY --link a /';
const CROSS = 'FROM --platform=$BUILDPLATFORM x';
const PINNED = `# syntax=docker/dockerfile:1@sha256:${'0'.repeat(64)}\n${HEREDOC}`;

describe('chooseBackend()', () => {
  test.each([
    [PLAIN, DOCKER_20, 'classic'],
    [PLAIN, DOCKER_28, 'classic'],
    [PLAIN, PODMAN_4, 'podman'],
    [MOUNT, DOCKER_20, 'buildkit'],
    [MOUNT, PODMAN_4, 'podman'],
    [CROSS, DOCKER_20, 'buildkit'],
    [HEREDOC, DOCKER_28, 'buildkit'],
    [HEREDOC, PODMAN_5, 'podman'],
    [LINK, DOCKER_28, 'buildkit'],
    [PINNED, DOCKER_20, 'buildkit'],
    ['FROM x\nHEALTHCHECK --network=1 CMD y', DOCKER_20, 'classic'],
  ] as const)('builds %j on %o by %s', (text, engine, expected) => {
    expect(chooseBackend(parseDockerfile(text), engine)).toBe(expected);
  });

  test.each([
    [HEREDOC, DOCKER_20],
    [LINK, DOCKER_20],
    [MOUNT, DOCKER_17],
    [HEREDOC, PODMAN_4],
    [LINK, PODMAN_5],
    [LINK, { ...DOCKER_28, containerdStore: true }],
    [MOUNT, { ...DOCKER_28, platform: { os: 'windows', architecture: 'amd64' } }],
  ] as const)('refuses %j on %o', (text, engine) => {
    expect(() => chooseBackend(parseDockerfile(text), engine)).toThrow(
      expect.objectContaining({ code: 'BUILD_UNSUPPORTED', details: { line: 2 } }),
    );
  });
});

describe('chooseBackend() within limits', () => {
  test.each([{ memoryBytes: 1 }, { cgroupParent: '/x' }])(
    'refuses what needs BuildKit, which does not heed %o, and builds the rest',
    (limits) => {
      expect(chooseBackend(parseDockerfile(PLAIN), DOCKER_28, limits)).toBe('classic');
      expect(chooseBackend(parseDockerfile(MOUNT), PODMAN_4, limits)).toBe('podman');
      expect(() => chooseBackend(parseDockerfile(MOUNT), DOCKER_28, limits)).toThrow(/within limits/);
    },
  );
});

describe('refuseCopyOfDockerfile()', () => {
  test.each([
    ['COPY . /app', true],
    ['COPY ./ /app/', true],
    ['ADD --chown=1 / /', true],
    ['COPY ["x", ".", "/app"]', true],
    ['COPY x * /app/', true],
    ['COPY $X /app/', true],
    ['COPY x ./', false],
    ['COPY src/ .', false],
    ['COPY --from=y . /', false],
    ['RUN cp . /', false],
  ])('%j: %j', (line, refused) => {
    const check = () => refuseCopyOfDockerfile(parseDockerfile(`FROM x\n${line}`));
    if (refused) expect(check).toThrow(expect.objectContaining({ code: 'BUILD_UNSUPPORTED' }));
    else expect(check).not.toThrow();
  });
});

describe('withoutFloatingFrontend()', () => {
  test.each([
    ['FROM x', 'FROM x'],
    ['# syntax=docker/dockerfile:1\nFROM x', '#\nFROM x'],
    ['# syntax=docker/dockerfile:1\r\nFROM x\r\n', '#\r\nFROM x\r\n'],
    ['# syntax=a/b\n# escape=`\nFROM x', '# escape=`\n#\nFROM x'],
    ['# escape=`\n# syntax=a/b\nFROM x', '# escape=`\n#\nFROM x'],
    [PINNED, PINNED],
  ])('%j', (text, expected) => {
    const result = withoutFloatingFrontend(text);
    expect(result).toBe(expected);
    expect(parseDockerfile(result).escape).toBe(parseDockerfile(text).escape);
  });
});
