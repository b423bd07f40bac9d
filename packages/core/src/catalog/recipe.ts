import {
  type ImageReference,
  ImagevetError,
  type Platform,
  parseReference,
  withDefaultTag,
} from '@imagevet/registry';
import { parseDockerfile } from '../dockerfile/parse-dockerfile.ts';
import { type ExternalImage, externalImages } from '../dockerfile/queries.ts';
import type { Dockerfile, DockerfileStage } from '../dockerfile/types.ts';
import { triggersIn } from '../lineage/dockerfile/triggered-inputs.ts';
import { ARCHITECTURES, architecturesOf } from '../provenance/official-images/architectures.ts';

/** What a Dockerfile takes from other images, before names are looked up; plain data. */
export interface RecipeInput {
  readonly kind: ExternalImage['kind'];
  readonly text: string;
  readonly line: number;
  readonly name:
    | { readonly kind: 'image'; readonly reference: ImageReference }
    | { readonly kind: 'scratch' }
    | { readonly kind: 'unresolved'; readonly reason: string };
  /** Architecture it is taken on, when a `--platform` says. */
  readonly architecture?: string;
  /** The stages before the one it is the base of, when there are any. */
  readonly earlier?: readonly Pick<DockerfileStage, 'name'>[];
}

/** What a Dockerfile says, per architecture, or why it says nothing. */
export interface Recipe {
  /** By architecture; under `*` when it is the same on all. */
  readonly inputs: Readonly<Record<string, readonly RecipeInput[]>>;
  /** `ONBUILD` instructions of the image, without that word. */
  readonly triggers?: readonly string[];
  readonly problem?: { readonly message: string; readonly line?: number };
}

/** Reads what a Dockerfile takes from other images, on each architecture when a name depends on it. */
export function readRecipe(content: Uint8Array): Recipe {
  try {
    const [first, ...others] = ARCHITECTURES;
    const [architecture, platform] = first!;
    const dockerfile = parseDockerfile(content, { platform });
    const triggers = triggersIn(dockerfile);
    const set = triggers.length === 0 ? {} : { triggers };
    if (!dependsOnPlatform(dockerfile)) return { inputs: { '*': [...readInputs(dockerfile)] }, ...set };
    const variants = others.map(([name, other]) => [name, readAll(content, other)] as const);
    const inputs = Object.fromEntries([[architecture, [...readInputs(dockerfile)]], ...variants]);
    return { inputs, ...set };
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
  for (const image of externalImages(dockerfile)) {
    const stage = dockerfile.stages.find(({ base }) => base === image.name)?.index ?? 0;
    const earlier = dockerfile.stages.slice(0, stage).map(({ name }) => (name === undefined ? {} : { name }));
    yield { ...toInput(image), ...(earlier.length === 0 ? {} : { earlier }) };
  }
  if (dockerfile.syntax !== undefined) yield frontendInput(dockerfile.syntax);
}

/** An image that is taken from, as plain data. */
export function toInput({ kind, name, line, platform }: ExternalImage): RecipeInput {
  const architecture = platform === undefined ? undefined : architectureOf(platform);
  return {
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
