import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import type { Dockerfile } from '../../dockerfile/types.ts';
import { CoreError } from '../../errors.ts';
import type { EngineDescription } from './engine.ts';

/** Flags that are BuildKit's, and `<<` for heredocs. */
const BUILDKIT_ONLY: ReadonlySet<string> = new Set([
  ...[
    '<<',
    'mount',
    'network',
    'security',
    'link',
    'chmod',
    'checksum',
    'parents',
    'exclude',
    'keep-git-dir',
    'unpack',
  ],
]);
/** What the frontend inside Docker 20.10 does not know; Docker 23 brought most of it. */
const NEWER_FRONTEND: ReadonlySet<string> = new Set([
  ...['<<', 'link', 'checksum', 'parents', 'exclude', 'keep-git-dir', 'unpack'],
]);
/** What Podman's builder ignores or refuses, before version 5 and still. */
const NOT_IN_PODMAN: ReadonlySet<string> = new Set(['link', 'security', 'parents', 'keep-git-dir', 'unpack']);
const NOT_IN_OLD_PODMAN: ReadonlySet<string> = new Set([...NOT_IN_PODMAN, '<<', 'checksum', 'exclude']);

/** Limits that the engine is to put on a build. */
interface BuildLimits {
  readonly memoryBytes?: number;
  readonly cgroupParent?: string;
}

/**
 * Chooses how an engine is to build a Dockerfile. The classic builder must not see what is BuildKit's: newer engines' classic
 * builder accepts a heredoc, does not run its body, and reports success.
 *
 * @throws {@link CoreError} `BUILD_UNSUPPORTED`, with the line, for what this engine would fail at or silently do wrong
 */
export function chooseBackend(
  dockerfile: Dockerfile,
  engine: EngineDescription,
  limits: BuildLimits = {},
): 'classic' | 'buildkit' | 'podman' {
  const features = featuresOf(dockerfile);
  if (engine.kind === 'podman') {
    const unknown = Number.parseInt(engine.version, 10) >= 5 ? NOT_IN_PODMAN : NOT_IN_OLD_PODMAN;
    refuse(features, unknown, engine);
    return 'podman';
  }
  const needed = features.filter(({ name }) => BUILDKIT_ONLY.has(name) || name === 'platform');
  if (needed.length === 0) return 'classic';
  if (olderThan(engine.apiVersion, 39) || engine.platform.os !== 'linux') refuse(needed, undefined, engine);
  if (engine.containerdStore)
    refuse(needed, undefined, engine, 'Use buildkitBuilder(), which speaks to its BuildKit.');
  // Taken without a word, and not heeded.
  if (limits.memoryBytes !== undefined || limits.cgroupParent !== undefined) {
    const hint =
      'Its BuildKit heeds neither memoryBytes nor cgroupParent. Use buildkitBuilder() with cgroupParent.';
    refuse(needed, undefined, engine, hint, ' within limits');
  }
  // A frontend named by digest brings what it knows; any other is the engine's own.
  if (olderThan(engine.apiVersion, 42) && !isPinned(dockerfile)) refuse(features, NEWER_FRONTEND, engine);
  return 'buildkit';
}

interface Feature {
  readonly name: string;
  readonly line: number;
}

function featuresOf({ stages }: Dockerfile): readonly Feature[] {
  return stages.flatMap(({ platform, startLine, instructions }) => [
    ...(platform === undefined ? [] : [{ name: 'platform', line: startLine }]),
    ...instructions.flatMap(({ keyword, heredocs, flags, startLine: line }) => [
      ...(heredocs.length === 0 ? [] : [{ name: '<<', line }]),
      ...(keyword === 'HEALTHCHECK' ? [] : flags.map(({ name }) => ({ name, line }))),
    ]),
  ]);
}

function refuse(
  features: readonly Feature[],
  unknown: ReadonlySet<string> | undefined,
  engine: EngineDescription,
  hint = 'Use a newer engine.',
  how = '',
): void {
  const feature = features.find(({ name }) => unknown === undefined || unknown.has(name));
  if (feature === undefined) return;
  const what = feature.name === '<<' ? 'a heredoc' : `--${feature.name}`;
  throw new CoreError(
    'BUILD_UNSUPPORTED',
    `${engine.name} ${engine.version} cannot build ${what} in line ${feature.line}${how}`,
    { hint, details: { line: feature.line } },
  );
}

function isPinned({ syntax }: Dockerfile): boolean {
  return syntax !== undefined && /@sha256:[0-9a-f]{64}$/.test(syntax.text);
}

function olderThan(apiVersion: string, minor: number): boolean {
  const [major = 0, own = 0] = apiVersion.split('.').map(Number);
  return major < 1 || (major === 1 && own < minor);
}

/**
 * The Dockerfile with a `# syntax=` that names no digest taken out, line for line: the frontend inside the engine reads it
 * instead of whatever image has that name today. Directives after it move up, as they must come first.
 */
export function withoutFloatingFrontend(text: string): string {
  const dockerfile = parseDockerfile(text);
  const { syntax } = dockerfile;
  if (syntax === undefined || isPinned(dockerfile)) return text;
  const lines = text.split('\n');
  const [removed = ''] = lines.splice(syntax.line - 1, 1);
  let end = syntax.line - 1;
  while (/^\s*#\s*(?:escape|check)\s*=/i.test(lines[end]?.slice(0, 100) ?? '')) end += 1;
  lines.splice(end, 0, removed.endsWith('\r') ? '#\r' : '#');
  return lines.join('\n');
}

/**
 * Refuses a Dockerfile that copies the whole context into the image, for a build by BuildKit whose Dockerfile lies in the
 * context under a name the repository does not have: the image would hold it.
 *
 * @throws {@link CoreError} `BUILD_UNSUPPORTED`
 */
export function refuseCopyOfDockerfile({ stages }: Dockerfile): void {
  for (const { keyword, flags, heredocs, arguments: text, startLine } of stages.flatMap(
    (stage) => stage.instructions,
  )) {
    if (keyword !== 'COPY' && keyword !== 'ADD') continue;
    if (heredocs.length > 0 || flags.some(({ name }) => name === 'from')) continue;
    // The last word is where to; in the exec form all are quoted.
    const sources = text
      .replaceAll(/["'[\],]/g, ' ')
      .trim()
      .split(/\s+/)
      .slice(0, -1);
    if (!sources.some((source) => /^(?:\.?\/?)*$|[*?$]/.test(source))) continue;
    throw new CoreError(
      'BUILD_UNSUPPORTED',
      `line ${startLine} would copy the changed Dockerfile, which the repository's .dockerignore leaves out`,
      { hint: 'Use buildkitBuilder(), which gives it to BuildKit apart.', details: { line: startLine } },
    );
  }
}
