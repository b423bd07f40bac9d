import {
  type ImageReference,
  ImagevetError,
  type Platform,
  parseReference,
  withDefaultTag,
} from '@imagevet/registry';
import { parseDockerfile } from '../dockerfile/parse-dockerfile.ts';
import { externalImages } from '../dockerfile/queries.ts';
import type { Dockerfile } from '../dockerfile/types.ts';
import { ARCHITECTURES, architecturesOf } from '../provenance/official-images/architectures.ts';
import type { CatalogInput } from './types.ts';

/** What a Dockerfile takes from other images, before names are looked up; plain data. */
export interface RecipeInput {
  readonly kind: CatalogInput['kind'];
  readonly text: string;
  readonly line: number;
  readonly name:
    | { readonly kind: 'image'; readonly reference: ImageReference }
    | { readonly kind: 'scratch' }
    | { readonly kind: 'unresolved'; readonly reason: string };
  /** Architecture it is taken on, when a `--platform` says. */
  readonly architecture?: string;
}

/** What a Dockerfile says, per architecture, or why it says nothing. */
export interface Recipe {
  /** By architecture; under `*` when it is the same on all. */
  readonly inputs: Readonly<Record<string, readonly RecipeInput[]>>;
  readonly problem?: { readonly message: string; readonly line?: number };
}

/** Reads what a Dockerfile takes from other images, on each architecture when a name depends on it. */
export function readRecipe(content: Uint8Array): Recipe {
  try {
    const [first, ...others] = ARCHITECTURES;
    const [architecture, platform] = first!;
    const dockerfile = parseDockerfile(content, { platform });
    if (!dependsOnPlatform(dockerfile)) return { inputs: { '*': [...readInputs(dockerfile)] } };
    const variants = others.map(([name, other]) => [name, readAll(content, other)] as const);
    return { inputs: Object.fromEntries([[architecture, [...readInputs(dockerfile)]], ...variants]) };
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    const { line } = error.details ?? {};
    const problem = { message: error.message, ...(typeof line === 'number' ? { line } : {}) };
    return { inputs: { '*': [] }, problem };
  }
}

function readAll(content: Uint8Array, platform: Platform): readonly RecipeInput[] {
  return [...readInputs(parseDockerfile(content, { platform }))];
}

function* readInputs(dockerfile: Dockerfile): Generator<RecipeInput> {
  for (const { kind, name, line, platform } of externalImages(dockerfile)) {
    const architecture = platform === undefined ? undefined : architectureOf(platform);
    yield {
      kind,
      text: name.text,
      line,
      name:
        name.kind === 'image'
          ? { kind: 'image', reference: name.reference }
          : name.kind === 'scratch'
            ? { kind: 'scratch' }
            : { kind: 'unresolved', reason: name.reason },
      ...(architecture === undefined ? {} : { architecture }),
    };
  }
  if (dockerfile.syntax !== undefined) yield frontendInput(dockerfile.syntax);
}

function frontendInput({ text, line }: NonNullable<Dockerfile['syntax']>): RecipeInput {
  try {
    const name = { kind: 'image', reference: withDefaultTag(parseReference(text)) } as const;
    return { kind: 'frontend', text, line, name };
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return { kind: 'frontend', text, line, name: { kind: 'unresolved', reason: error.message } };
  }
}

/** Variables decide only what `FROM` names; where none is used, the architecture changes nothing. */
function dependsOnPlatform({ stages }: Dockerfile): boolean {
  return stages.some(({ fromText, platform }) => fromText.includes('$') || platform !== undefined);
}

function architectureOf(platform: string): string | undefined {
  const [os = '', architecture = '', variant] = platform.split('/');
  const parsed: Platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  return architecturesOf(parsed)[0];
}
