import type { SourceLocation } from '../lineage/types.ts';
import { ARCHITECTURES } from '../provenance/official-images/architectures.ts';
import type { LibraryBuild, LibraryEntry } from '../provenance/official-images/types.ts';
import { resolveTriggers } from './base-triggers.ts';
import { buildId } from './build-id.ts';
import { CatalogCache, knowledgeOf } from './catalog-cache.ts';
import { InputResolver, type ResolvedInput } from './input-resolver.ts';
import { readLibraryFiles } from './library-files.ts';
import { LibraryIndex } from './library-index.ts';
import { locate } from './locate.ts';
import { SourceReader } from './source-reader.ts';
import type {
  CatalogBuild,
  CatalogFinding,
  CatalogImage,
  CatalogLibrary,
  ResolveCatalogOptions,
} from './types.ts';

/**
 * Resolves every official image of a library from git mirrors: for each entry and architecture the repository, commit and Dockerfile,
 * and what it is built from, each name looked up among the entries of the same library. Images come in the order of their names, as
 * they are resolved. What could not be found out is a finding, never a guess and never an error.
 *
 * @throws {@link CoreError} `SOURCE_NOT_FOUND`, `SOURCE_LIMIT_EXCEEDED`, `SOURCE_INVALID`, `SOURCE_UNREACHABLE`, `SOURCE_UNSUPPORTED`
 * when the library itself cannot be read
 */
export async function* resolveCatalog(
  library: CatalogLibrary,
  options: ResolveCatalogOptions,
): AsyncGenerator<CatalogImage, void, undefined> {
  const { mirrors, cache = new CatalogCache(), lookahead = 4, onRead } = options;
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  signal.throwIfAborted();
  const { commit, texts, pins } = await readLibraryFiles(library, { ...mirrors, onRead, signal });
  const index = new LibraryIndex(texts);
  await using reader = new SourceReader({ mirrors, known: knowledgeOf(cache), signal, onRead });
  const resolver = new InputResolver(index, pins);
  const names = [...texts.keys()];
  const running: Promise<CatalogImage>[] = [];
  try {
    for (let next = 0; next < names.length || running.length > 0; ) {
      while (next < names.length && running.length <= lookahead) {
        const resolving = resolveImage(names[next++]!, { index, reader, resolver });
        resolving.catch(() => {}); // awaited in its turn
        running.push(resolving);
      }
      const { entries, ...image } = await running.shift()!;
      signal.throwIfAborted();
      yield { ...image, ...(commit === undefined ? {} : { commit }), entries };
    }
  } finally {
    stop.abort(new Error('no more images are asked for'));
    await Promise.allSettled(running);
  }
}

interface Tools {
  readonly index: LibraryIndex;
  readonly reader: SourceReader;
  readonly resolver: InputResolver;
}

async function resolveImage(name: string, tools: Tools): Promise<CatalogImage> {
  const parsed = tools.index.files.get(name);
  if (parsed?.file === undefined) {
    const line = parsed?.problem.details?.line;
    const message = parsed?.problem.message ?? 'the library file is gone';
    const finding = {
      code: 'library-invalid',
      message,
      ...(typeof line === 'number' ? { line } : {}),
    } as const;
    return { name, entries: [], findings: [finding] };
  }
  const entries = await Promise.all(
    parsed.file.entries.map(async ({ line, tags, sharedTags, constraints, builds }, at, all) => ({
      ...{ line, tags, sharedTags, constraints },
      builds: await Promise.all(builds.map((build) => resolveBuild(name, all[at]!, build, tools))),
    })),
  );
  return { name, entries, findings: [] };
}

async function resolveBuild(
  name: string,
  entry: LibraryEntry,
  build: LibraryBuild,
  { reader, resolver }: Tools,
): Promise<CatalogBuild> {
  const platform = ARCHITECTURES.get(build.architecture)!;
  const draft = {
    id: buildId(name, entry, build),
    architecture: build.architecture,
    platform,
    ...(build.builder === undefined ? {} : { builder: build.builder }),
  };
  const without = (code: CatalogFinding['code'], message: string, source?: SourceLocation): CatalogBuild => ({
    ...draft,
    ...(source === undefined ? {} : { source }),
    inputs: [],
    findings: [{ code, message, line: entry.line }],
  });
  const source = await locate(build, reader);
  if ('code' in source) return without(source.code, source.message);
  const { repository, commit, path } = source;
  const at = `${path} of ${repository} at ${commit.slice(0, 12)}`;
  const found = await reader.find(repository, commit, path);
  if (found.status === 'no-mirror') return without('mirror-missing', found.message, source);
  if (found.status === 'no-commit') {
    return without('commit-missing', `no mirror holds commit ${commit} of ${repository}`, source);
  }
  if (found.status === 'no-path') return without('file-missing', `there is no ${at}`, source);
  if (found.status === 'no-object') return without('object-missing', `the mirror lacks ${at}`, source);
  const file = { id: found.id, path: found.path };
  if (build.builder === 'oci-import') {
    const target = { kind: 'root', root: 'rootfs-import' } as const;
    return {
      ...draft,
      source,
      file,
      inputs: [{ kind: 'base', text: 'scratch', line: 0, target }],
      findings: [],
    };
  }
  const { inputs, problem, missing } = await reader.inputs(repository, found.id, build.architecture);
  if (missing === true) return { ...without('object-missing', `the mirror lacks ${at}`, source), file };
  if (problem !== undefined)
    return { ...without('dockerfile-invalid', `${at}: ${problem.message}`, source), file };
  const asking = { constraints: entry.constraints, architecture: build.architecture };
  const resolved: ResolvedInput[] = [];
  const findings: CatalogFinding[] = [];
  for (const input of inputs) {
    const one = resolver.resolve(input, asking);
    const triggered = await resolveTriggers(input, one, asking, { reader, resolver });
    resolved.push(one, ...triggered.inputs);
    findings.push(...triggered.findings);
  }
  return {
    ...{ ...draft, source, file },
    inputs: resolved.map(({ input }) => input),
    findings: [...resolved.flatMap(({ finding }) => finding ?? []), ...findings],
  };
}
