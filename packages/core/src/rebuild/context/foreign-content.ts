import { CoreError } from '../../errors.ts';
import type { SourceEntry, SourceLocation } from '../../lineage/types.ts';
import { CopiedPaths } from './copied-paths.ts';

/** Something a build context names and the repository does not hold at that commit. Plain data. */
export interface ContextFinding {
  readonly code: 'context-submodule' | 'context-lfs-pointer';
  readonly repository: string;
  /** Commit of the repository the context is read at. */
  readonly commit: string;
  /** Inside the build context. */
  readonly path: string;
  /** Where the content would be: the submodule's commit, or the pointer's `sha256:<hex>`; absent for a pointer without one. */
  readonly content?: string;
  /** First line that has the build read it; absent when none does, so that the image is the same without. */
  readonly line?: number;
}

const LFS_VERSION = /^version https:\/\/(?:git-lfs|hawser)\.github\.com\/spec\/v1\r?\n/;
/** A pointer is smaller. @see git-lfs, docs/spec.md, "The Pointer" */
const MAX_POINTER_BYTES = 1024;

/**
 * Finds the submodules and the Git LFS pointers of a context, and whether the build reads them. A builder gets an empty directory
 * for the first, as in a clone without submodules, and the pointer's text for the second.
 *
 * @param triggers - ONBUILD instructions of the bases, by the line of the `FROM` that sets them off
 */
export function findForeignContent(
  entries: readonly SourceEntry[],
  { repository, commit }: Pick<SourceLocation, 'repository' | 'commit'>,
  dockerfile: Pick<
    ConstructorParameters<typeof CopiedPaths>[0],
    'text' | 'parameters' | 'platform' | 'triggers'
  >,
): readonly ContextFinding[] {
  const foreign = entries.flatMap((entry) => {
    const found = foreignContent(entry);
    return found === undefined ? [] : [{ repository, commit, path: entry.path, ...found }];
  });
  if (foreign.length === 0) return [];
  const links = entries.filter(({ type }) => type === 'symlink').map(({ path }) => path);
  const copied = new CopiedPaths({ ...dockerfile, links });
  foreign.sort((one, other) => (one.path < other.path ? -1 : 1));
  return foreign.map(({ code, ...finding }) => {
    const line = copied.lineOf(finding.path);
    return { code, ...finding, ...(line === undefined ? {} : { line }) };
  });
}

/** What an entry stands for that is not there; undefined when it is the content itself. */
export function foreignContent({
  type,
  content,
}: Pick<SourceEntry, 'type' | 'content'>): Pick<ContextFinding, 'code' | 'content'> | undefined {
  if (type === 'submodule') {
    const commit = Buffer.from(content).toString('latin1');
    return { code: 'context-submodule', ...(commit === '' ? {} : { content: commit }) };
  }
  if (type === 'symlink' || content.byteLength >= MAX_POINTER_BYTES) return undefined;
  const text = Buffer.from(content).toString('latin1');
  if (!LFS_VERSION.test(text)) return undefined;
  const oid = /^oid (sha256:[0-9a-f]{64})\r?$/m.exec(text)?.[1];
  return { code: 'context-lfs-pointer', ...(oid === undefined ? {} : { content: oid }) };
}

/** @throws {@link CoreError} `SOURCE_UNSUPPORTED` for the first finding the build reads */
export function refuseForeignContent(findings: readonly ContextFinding[]): void {
  const finding = findings.find(({ line }) => line !== undefined);
  if (finding === undefined) return;
  const { path, repository, line } = finding;
  throw new CoreError(
    'SOURCE_UNSUPPORTED',
    `line ${line} copies ${path} of ${repository}, ${wrong(finding)}`,
    {
      hint: 'Build it from a source that holds the content, or allow it with incompleteContext.',
      details: { ...finding },
    },
  );
}

/** One line about a finding. */
export function describeFinding(finding: ContextFinding): string {
  const { path, repository, line } = finding;
  const use = line === undefined ? 'which no line copies' : `which line ${line} copies`;
  return `${finding.code}: ${path} of ${repository}, ${use}, ${wrong(finding)}`;
}

function wrong({ code, content = 'unknown content' }: ContextFinding): string {
  return code === 'context-submodule'
    ? `is a submodule (${content}), of which the context has an empty directory`
    : `is a Git LFS pointer (${content}), of which the context has no content`;
}
