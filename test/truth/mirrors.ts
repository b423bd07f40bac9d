import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Bare clones on this machine. */
export interface Mirrors {
  readonly directory: string;
  /** Path by repository URL: `https://github.com/docker-library/php`. */
  readonly remotes: Readonly<Record<string, string>>;
}

/** Finds the clones of GitHub repositories in a directory: `<owner>+<name>`, or a folder of that name that holds one as `repo`. */
export function findMirrors(directory: string): Mirrors {
  const remotes = readdirSync(directory).flatMap((name) => {
    const path = [join(directory, name), join(directory, name, 'repo')].find((at) =>
      existsSync(join(at, 'HEAD')),
    );
    return name.includes('+') && path !== undefined
      ? [[`https://github.com/${name.replace('+', '/')}`, path] as const]
      : [];
  });
  return { directory, remotes: Object.fromEntries(remotes) };
}

/** The path of a clone. @throws Error when it is not there */
export function mirrorOf({ directory, remotes }: Mirrors, name: string): string {
  const path = remotes[`https://github.com/${name}`];
  if (path === undefined) throw new Error(`${directory} holds no clone of ${name}`);
  return path;
}

/** What git prints, without the last line end. */
export function git(repository: string, ...parameters: readonly string[]): string {
  const arguments_ = ['--git-dir', repository, ...parameters];
  return execFileSync('git', arguments_, { encoding: 'utf8', maxBuffer: 1 << 30 }).trimEnd();
}
