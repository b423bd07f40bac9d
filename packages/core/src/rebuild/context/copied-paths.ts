import type { Platform } from '@imagevet/registry';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import type { BuildParameters, Dockerfile, DockerfileInstruction } from '../../dockerfile/types.ts';
import { splitWords } from '../../dockerfile/words.ts';
import { type PathPattern, parsePattern, type StepBudget } from './path-pattern.ts';

/** A Dockerfile and what its bases add to it. */
interface CopyingDockerfile {
  readonly text: string;
  readonly platform: Platform;
  readonly parameters?: BuildParameters;
  /** ONBUILD instructions of the bases, by the line of the `FROM` that sets them off. */
  readonly triggers?: readonly (readonly [line: number, instruction: string])[];
  /** Symbolic links of the context: what is copied through one may be anywhere. */
  readonly links: readonly string[];
}

/** One source of a COPY, by its parts; undefined parts may be anything. */
interface CopiedSource {
  readonly line: number;
  readonly parts: readonly (PathPattern | undefined)[];
}

const MAX_STEPS = 50_000_000;

/**
 * Which paths of its context a build reads: sources of COPY and ADD, and mounts of the context. In doubt it reads a path: behind a
 * variable, behind a symbolic link, in a stage that may not be built.
 */
export class CopiedPaths {
  readonly #sources: readonly CopiedSource[];
  readonly #budget: StepBudget;

  constructor({ text, platform, parameters, triggers = [], links }: CopyingDockerfile) {
    this.#budget = { left: MAX_STEPS, exceeded: () => new RangeError('patterns take too long') };
    const sources = [
      ...sourcesOf(parseDockerfile(text, { platform, ...parameters })),
      ...triggers.flatMap(([line, instruction]) => triggeredSources(line, instruction, platform)),
    ];
    this.#sources = sources.map((source) =>
      links.some((link) => this.#goesThrough(source, link)) ? { ...source, parts: [] } : source,
    );
  }

  /** First line that reads a path, or what is above or below it. */
  lineOf(path: string): number | undefined {
    const parts = path.split('/');
    return this.#sources.find((source) => this.#fits(source, parts))?.line;
  }

  #goesThrough(source: CopiedSource, link: string): boolean {
    const parts = link.split('/');
    return parts.length <= source.parts.length && this.#fits(source, parts);
  }

  #fits({ parts }: CopiedSource, path: readonly string[]): boolean {
    try {
      return parts
        .slice(0, path.length)
        .every((part, index) => part === undefined || part.matches(path[index] ?? '', this.#budget));
    } catch {
      return true;
    }
  }
}

function sourcesOf({ stages, escape: escapeCharacter }: Dockerfile): readonly CopiedSource[] {
  // What a stage has its children do happens in this file only when another stage is its child.
  const inFile = stages.some(({ base }) => base.kind === 'stage');
  return stages.flatMap(({ instructions }) =>
    instructions.flatMap((instruction): readonly CopiedSource[] => {
      const line = instruction.startLine;
      if (instruction.keyword === 'ONBUILD') {
        return inFile ? triggeredSources(line, instruction.arguments, undefined) : [];
      }
      return sourcesIn(instruction, escapeCharacter).map((text) => ({ line, parts: partsOf(text) }));
    }),
  );
}

function triggeredSources(
  line: number,
  instruction: string,
  platform: Platform | undefined,
): readonly CopiedSource[] {
  try {
    const parsed = parseDockerfile(
      `FROM scratch\n${instruction}\n`,
      platform === undefined ? {} : { platform },
    );
    return sourcesOf(parsed).map(({ parts }) => ({ line, parts }));
  } catch {
    return [{ line, parts: [] }];
  }
}

function sourcesIn(
  { keyword, flags, arguments: text }: DockerfileInstruction,
  escapeCharacter: Dockerfile['escape'],
): readonly string[] {
  if (keyword === 'RUN') return flags.flatMap(({ name, value }) => (name === 'mount' ? mounted(value) : []));
  if (
    (keyword !== 'COPY' && keyword !== 'ADD') ||
    flags.some(({ name, value }) => name === 'from' && value !== '')
  )
    return [];
  return wordsOf(text, escapeCharacter)
    .slice(0, -1)
    .filter((source) => !source.startsWith('<<') && !(keyword === 'ADD' && isRemote(source)));
}

function wordsOf(text: string, escapeCharacter: Dockerfile['escape']): readonly string[] {
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every((word) => typeof word === 'string')) return list;
  } catch {
    // Not the list form.
  }
  return splitWords(text, escapeCharacter);
}

function isRemote(source: string): boolean {
  return /^(?:https?:\/\/|git@|git:\/\/|ssh:\/\/)/i.test(source);
}

/** The source of a mount of the context: the whole of it when none is told. */
function mounted(mount: string): readonly string[] {
  const fields = new Map(
    mount.split(',').map((field) => {
      const [name = '', ...value] = field.replaceAll('"', '').split('=');
      return [name.toLowerCase().trim(), value.join('=')] as const;
    }),
  );
  if ((fields.get('from') ?? '') !== '' || (fields.get('type') ?? 'bind') !== 'bind') return [];
  return [fields.get('source') ?? fields.get('src') ?? '/'];
}

function partsOf(source: string): CopiedSource['parts'] {
  // A variable may hold several directories.
  if (source.includes('$')) return [];
  const parts: string[] = [];
  for (const part of source.replaceAll(/["']/g, '').split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.map(parsePattern);
}
