import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseLibraryFile } from '../../packages/core/src/index.ts';
import { findProgram } from '../services.ts';
import { git, type Mirrors, mirrorOf } from './mirrors.ts';
import type { Comparison } from './run.ts';

/** One line of JSON for each entry and architecture. */
const TEMPLATE = `{{ range $entry := .Entries }}{{ range $arch := .Architectures -}}
[{{ json $entry.Tags }},{{ json $entry.SharedTags }},{{ json $entry.Constraints }},{{ json $arch }}
,{{ json ($entry.ArchGitRepo $arch) }},{{ json ($entry.ArchGitFetch $arch) }},{{ json ($entry.ArchGitCommit $arch) }}
,{{ json ($entry.ArchDirectory $arch) }},{{ json ($entry.ArchFile $arch) }},{{ json ($entry.ArchBuilder $arch) }}]
{{ end }}{{ end }}`.replaceAll('\n,', ',');

/**
 * Reads every library file of a commit of official-images, and compares with what the program `bashbrew` reads in it. A file in
 * the format of one line per tag is one that today's bashbrew refuses, and is not compared.
 */
export async function compareBashbrew(mirrors: Mirrors, commit = 'HEAD'): Promise<readonly Comparison[]> {
  const program = findProgram('bashbrew');
  if (program === undefined) throw new Error('bashbrew is not on the PATH');
  const official = mirrorOf(mirrors, 'docker-library/official-images');
  const id = git(official, 'rev-parse', '--verify', commit);
  const names = git(official, 'ls-tree', '--name-only', `${id}:library`)
    .split('\n')
    .filter((name) => name !== 'MAINTAINERS');
  const comparison = {
    title: `builds of ${names.length} library files, official-images ${id.slice(0, 12)}`,
    ...{ compared: 0, equal: 0, differences: [] as string[], unread: [] as string[] },
  };
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-truth-'));
  try {
    for (const name of names) {
      const text = git(official, 'show', `${id}:library/${name}`);
      const path = join(directory, name);
      writeFileSync(path, `${text}\n`);
      const cat = spawnSync(program, ['cat', '--format', TEMPLATE, path], { encoding: 'utf8' });
      compareRows(name, read(text), cat.status === 0 ? rowsOf(cat.stdout) : cat.stderr.trim(), comparison);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return [comparison];
}

/** The rows, or why there are none. */
type Rows = readonly string[] | string;

function compareRows(
  name: string,
  ours: Rows | { readonly lineFormat: readonly string[] },
  theirs: Rows,
  comparison: { compared: number; equal: number; differences: string[]; unread: string[] },
): void {
  if (typeof ours === 'object' && 'lineFormat' in ours) {
    comparison.unread.push(`${name}: one line per tag, ${ours.lineFormat.length} builds`);
  } else if (typeof ours === 'string' || typeof theirs === 'string') {
    if (typeof ours === typeof theirs) comparison.unread.push(`${name}: both refuse it: ${ours}`);
    else comparison.differences.push(`${name}: one refuses it: ${typeof ours === 'string' ? ours : theirs}`);
  } else {
    const length = Math.max(ours.length, theirs.length);
    comparison.compared += length;
    for (let row = 0; row < length; row += 1) {
      if (ours[row] === theirs[row]) comparison.equal += 1;
      else comparison.differences.push(`${name}: ${ours[row]} instead of ${theirs[row]}`);
    }
  }
}

function rowsOf(printed: string): readonly string[] {
  const lines = printed.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.stringify((JSON.parse(line) as unknown[]).map((value) => value ?? [])));
}

function read(text: string): Rows | { readonly lineFormat: readonly string[] } {
  try {
    const { format, entries } = parseLibraryFile(text);
    const rows = entries.flatMap(({ tags, sharedTags, constraints, builds }) =>
      builds.map(({ architecture, gitRepo, gitFetch, gitCommit, directory, file, builder = '' }) =>
        JSON.stringify([
          ...[tags, sharedTags, constraints, architecture],
          ...[gitRepo, gitFetch, gitCommit, directory, file, builder],
        ]),
      ),
    );
    return format === 'line' ? { lineFormat: rows } : rows;
  } catch (error) {
    return String(error);
  }
}
