import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';

const BUILDKIT_FLAGS: ReadonlySet<string> = new Set([
  'mount',
  'network',
  'security',
  'link',
  'chmod',
  'checksum',
  'parents',
  'exclude',
  'keep-git-dir',
]);

/**
 * Tells whether a Dockerfile needs BuildKit. The classic builder must not see such a file: newer engines' classic builder
 * accepts a heredoc, does not run its body, and reports success.
 */
export function needsBuildKit(text: string): boolean {
  const { stages } = parseDockerfile(text);
  return stages.some(
    ({ instructions, platform }) =>
      platform !== undefined ||
      instructions.some(
        ({ heredocs, flags }) => heredocs.length > 0 || flags.some(({ name }) => BUILDKIT_FLAGS.has(name)),
      ),
  );
}
