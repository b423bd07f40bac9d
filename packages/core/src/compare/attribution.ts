import { posix } from 'node:path';
import { ImagevetError, type LayerScan, type ResolvedImage } from '@imagevet/registry';
import { parseDockerfile } from '../dockerfile/parse-dockerfile.ts';
import type { BuildParameters, Dockerfile } from '../dockerfile/types.ts';
import { splitWords } from '../dockerfile/words.ts';
import { type AlignedInstruction, alignHistory } from '../lineage/history/align-history.ts';
import type { PathPair } from './path-pair.ts';
import type { Side } from './side.ts';
import type { DifferenceOrigin } from './types.ts';

/** The Dockerfile both images are said to be of. */
export interface ComparedDockerfile {
  readonly text?: string;
  /** What it was read with. */
  readonly parameters?: BuildParameters;
}

/** Which instruction sets what of a config. */
const KEYWORDS: Readonly<Record<string, string>> = {
  ...{ Entrypoint: 'ENTRYPOINT', Cmd: 'CMD', User: 'USER', WorkingDir: 'WORKDIR', StopSignal: 'STOPSIGNAL' },
  ...{ Shell: 'SHELL', Healthcheck: 'HEALTHCHECK', OnBuild: 'ONBUILD' },
  ...{ Env: 'ENV', Labels: 'LABEL', ExposedPorts: 'EXPOSE', Volumes: 'VOLUME' },
};

/**
 * Says which instruction of a Dockerfile made what differs, by laying it beside each image's history. Where the two do not
 * fit, no line is named: a guess is not a fact.
 */
export class Attribution {
  readonly #dockerfile: Dockerfile | undefined;
  readonly #images: Readonly<Record<Side, readonly AlignedInstruction[] | undefined>>;

  constructor(images: Readonly<Record<Side, ResolvedImage>>, { text, parameters }: ComparedDockerfile = {}) {
    this.#dockerfile = text === undefined ? undefined : parsed(text, images.rebuilt, parameters);
    const align = (image: ResolvedImage) =>
      this.#dockerfile === undefined ? undefined : aligned(this.#dockerfile, image);
    this.#images = { original: align(images.original), rebuilt: align(images.rebuilt) };
  }

  /**
   * What made a path, or took it away: in the rebuilt image, unless that has the path from its base or never had it.
   *
   * @param removedAt - the layer of the rebuilt image that took a path away
   */
  ofPath(
    { original, rebuilt }: Pick<PathPair, 'original' | 'rebuilt'>,
    removedAt: (path: string) => number | undefined = () => undefined,
  ): DifferenceOrigin | undefined {
    const layer = rebuilt?.layer ?? (original && removedAt(original.path));
    const found = [
      layer === undefined ? undefined : this.#ofLayer('rebuilt', layer),
      original && this.#ofLayer('original', original.layer),
    ].filter((origin) => origin !== undefined);
    return found.find(({ inherited }) => inherited !== true) ?? found[0];
  }

  /** What set a field of the config: the last instruction that names it. */
  ofField(field: string): DifferenceOrigin | undefined {
    const side = this.#images.rebuilt === undefined ? 'original' : 'rebuilt';
    const instructions = this.#images[side];
    const dot = field.indexOf('.');
    const keyword = KEYWORDS[dot < 0 ? field : field.slice(0, dot)];
    if (instructions === undefined || keyword === undefined) return undefined;
    const name = dot < 0 ? undefined : field.slice(dot + 1);
    const found = instructions.findLast(
      (instruction) =>
        instruction.keyword === keyword &&
        (name === undefined || instruction.trigger === true || this.#names(instruction.line, name)),
    );
    return found === undefined ? { side, inherited: true } : { side, ...instructionOf(found) };
  }

  #ofLayer(side: Side, layer: number): DifferenceOrigin {
    const instructions = this.#images[side];
    if (instructions === undefined) return { side, layer };
    const made = instructions.find((instruction) => instruction.layer === layer);
    return made === undefined ? { side, layer, inherited: true } : { side, layer, ...instructionOf(made) };
  }

  #names(line: number, name: string): boolean {
    const stages = this.#dockerfile?.stages ?? [];
    const instruction = stages.flatMap((stage) => stage.instructions).find((own) => own.startLine === line);
    const bare = (word: string) => word.replaceAll(/["'[\],]/g, '');
    return splitWords(instruction?.arguments ?? '', this.#dockerfile?.escape ?? '\\')
      .map(bare)
      .some((word) => word === name || word.startsWith(`${name}=`) || `${word}/tcp` === name);
  }
}

function instructionOf({
  line,
  keyword,
  trigger,
}: AlignedInstruction): Pick<DifferenceOrigin, 'instruction'> {
  return { instruction: { line, keyword, ...(trigger === undefined ? {} : { trigger }) } };
}

function parsed(
  text: string,
  { platform }: ResolvedImage,
  parameters: BuildParameters | undefined,
): Dockerfile | undefined {
  try {
    return parseDockerfile(text, { platform, ...parameters });
  } catch (error) {
    if (ImagevetError.is(error)) return undefined;
    throw error;
  }
}

function aligned(dockerfile: Dockerfile, image: ResolvedImage): readonly AlignedInstruction[] | undefined {
  try {
    const { consistency, instructions } = alignHistory(dockerfile, image.history, {
      layers: image.diffIds.length,
    });
    return consistency === 'consistent' ? instructions : undefined;
  } catch (error) {
    if (ImagevetError.is(error)) return undefined;
    throw error;
  }
}

/**
 * Which layer took a path away, if one did.
 *
 * @param first - index of the lowest of the layers
 */
export function removals(
  layers: readonly Pick<LayerScan, 'entries'>[],
  first: number,
): (path: string) => number | undefined {
  const removed = new Map<string, number>();
  for (const [index, { entries }] of layers.entries()) {
    for (const { type, path } of entries)
      if (type === 'whiteout' || type === 'opaque') removed.set(path, first + index);
  }
  return (path) => {
    for (let at = path; at.length > 1; at = posix.dirname(at)) {
      const layer = removed.get(at);
      if (layer !== undefined) return layer;
    }
    return undefined;
  };
}
