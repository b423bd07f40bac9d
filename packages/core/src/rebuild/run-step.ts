import { setTimeout as delay } from 'node:timers/promises';
import {
  digestHex,
  digestOf,
  formatReference,
  type ImageReference,
  ImagevetError,
  parseReference,
} from '@imagevet/registry';
import { parseDockerfile } from '../dockerfile/parse-dockerfile.ts';
import { externalImages } from '../dockerfile/queries.ts';
import { CoreError } from '../errors.ts';
import { layoutSource } from '../lineage/layout/layout-source.ts';
import type { SourceHost } from '../lineage/types.ts';
import { type ContextFinding, describeFinding, refuseForeignContent } from './context/foreign-content.ts';
import { readStepContext } from './context/inspect-contexts.ts';
import { dockerfileIn } from './context/read-context.ts';
import { type NameRule, readNameRules } from './plan/internal-names.ts';
import { pinnedInput } from './plan/pin-inputs.ts';
import { substituteBases } from './plan/substitute-bases.ts';
import type {
  Builder,
  BuildRequest,
  BuiltImage,
  RebuildOutcome,
  RebuildStep,
  StepLayout,
  StepOptions,
  StepRunner,
} from './types.ts';

/** Log lines kept of a failed step. */
const LOG_LINES = 40;
/** Before the second try; doubled for each after it. */
const RETRY_DELAY_MS = 500;
/** What went away and may come back. */
const PASSING: ReadonlySet<string> = new Set([
  ...['ENGINE_LOST', 'ENGINE_UNREACHABLE', 'SOURCE_UNREACHABLE', 'SOURCE_RATE_LIMITED'],
  ...['UNREACHABLE', 'TIMEOUT', 'RATE_LIMITED'],
]);

/** What a step is built with. */
export interface StepTools {
  readonly builder: Builder;
  /** Reads the build contexts. */
  readonly host: SourceHost;
  /**
   * What becomes of a step whose build copies a submodule or a Git LFS pointer, of which the repository does not hold the content.
   * `allow` builds it with an empty directory, or the pointer's text, under a tag of its own. @defaultValue 'deny'
   */
  readonly incompleteContext?: 'deny' | 'allow';
  /**
   * Where builders find public images that are pinned and not rebuilt: `{ from: 'docker.io/*', to: 'mirror.corp/hub/*' }`, the first
   * rule that takes a name. They are asked for by digest, so that a mirror cannot give another image; it is not passed by when it
   * does not answer. @defaultValue their own registries
   */
  readonly mirrors?: readonly NameRule[];
}

/** Runs steps in this process. */
export function localRunner({ builder, host, incompleteContext, mirrors }: StepTools): StepRunner {
  const tools = { builder, host, incompleteContext, mirrors };
  // A rule that is none is told before anything runs.
  readNameRules(mirrors ?? []);
  return {
    probe: (options) => builder.probe(options),
    run: (step, parents, options) => runStep(step, parents, { ...options, ...tools }),
    release: async () => builder.release?.(),
  };
}

/** Runs one step: finds or builds its image. Failures are outcomes; an abort, and what is no error of ours, are thrown. */
export async function runStep(
  step: RebuildStep,
  parents: ReadonlyMap<string, BuiltImage>,
  options: StepOptions & StepTools,
): Promise<RebuildOutcome> {
  const log: string[] = [];
  const startedAt = performance.now();
  const keep = (text: string) => {
    log.push(text);
    if (log.length > LOG_LINES) log.shift();
    options.onLog?.(text);
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      const found = await findOrBuild(step, parents, options, keep);
      return {
        step: step.id,
        status: 'built',
        ...found,
        durationMs: Math.round(performance.now() - startedAt),
      };
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!ImagevetError.is(error)) throw error;
      if (attempt < (options.attempts ?? 3) && isPassing(error, attempt)) {
        keep(`${error.message}; trying again`);
        await delay(RETRY_DELAY_MS * 2 ** (attempt - 1), undefined, { signal: options.signal }).catch(
          () => {},
        );
        options.signal?.throwIfAborted();
        continue;
      }
      const line = error.details?.line;
      return {
        step: step.id,
        status: 'failed',
        code: error.code,
        message: error.message,
        ...(typeof line === 'number' ? { line } : {}),
        log,
        durationMs: Math.round(performance.now() - startedAt),
      };
    }
  }
}

/**
 * Another run that pushed the same step meanwhile leaves an image to reuse. A registry that failed a push gets one more: two pushes of
 * one blob at once fail one of them in distribution 2.8, and a registry that is full fails both.
 */
function isPassing({ code, details }: ImagevetError, attempt: number): boolean {
  if (code !== 'PUSH_FAILED') return PASSING.has(code);
  return details?.found !== undefined || (attempt === 1 && Number(details?.status) >= 500);
}

interface Found {
  readonly image: BuiltImage;
  readonly reused?: true;
  readonly findings?: readonly ContextFinding[];
}

async function findOrBuild(
  step: RebuildStep,
  parents: ReadonlyMap<string, BuiltImage>,
  options: StepOptions & StepTools,
  log: (text: string) => void,
): Promise<Found> {
  if (step.layout !== undefined) return { image: await takeOver(step, step.layout, options) };
  const { builder, signal, reuse = true, incompleteContext = 'deny' } = options;
  const { registry, repository } = step.scratch;
  const requestAt = (tag: string) => ({ target: { registry, repository, tag }, platform: step.platform });
  const pins = substitutionsOf(step, parents, options.mirrors);
  const complete = requestAt(buildTag(step, pins, [builder.variant]));
  const incomplete = requestAt(buildTag(step, pins, [builder.variant, 'incomplete-context']));
  const find = async (request: typeof complete) => {
    const image = reuse ? await builder.find?.(request, { signal }) : undefined;
    return image !== undefined && standsOn(step, parents, image) ? image : undefined;
  };
  const found = await find(complete);
  if (found !== undefined) return { image: found, reused: true };
  const { context, findings } = await readStepContext(step, options.host, { signal });
  for (const finding of findings) log(describeFinding(finding));
  if (incompleteContext === 'deny') refuseForeignContent(findings);
  const told = findings.length === 0 ? {} : { findings };
  // What was built without something it copies never stands for what was built with it.
  const isComplete = findings.every(({ line }) => line === undefined);
  const left = isComplete ? undefined : await find(incomplete);
  if (left !== undefined) return { image: left, reused: true, ...told };
  const asked = { ...(isComplete ? complete : incomplete), replace: !reuse, context };
  const image = await builder.build(buildRequest(step, parents, pins, asked), {
    signal,
    onProgress: (event) => event.type === 'build-log' && log(event.text),
  });
  if (standsOn(step, parents, image)) return { image, ...told };
  throw new CoreError('BUILD_FAILED', `${step.id} was not built on its rebuilt base`, {
    hint: 'The engine used another base than the digest it was given.',
  });
}

/** Its digest is known beforehand, so that nothing needs to be found or compared. */
async function takeOver(
  { id, key, reference, location, platform, scratch }: RebuildStep,
  { digest }: StepLayout,
  { builder, host, mirrors, signal }: StepOptions & StepTools,
): Promise<BuiltImage> {
  if (builder.importImage === undefined) {
    throw new CoreError('BUILD_UNSUPPORTED', `${id} is an OCI layout, and ${builder.name} takes none over`, {
      hint: 'Give a builder that has importImage, or use importImage() in your own.',
    });
  }
  const { registry, repository } = reference;
  const target = { ...scratch, tag: `build-${key.slice(0, 40)}` };
  const image = await builder.importImage(
    {
      ...{ reference, digest, layout: layoutSource(host, location), target, platform },
      published: readNameRules(mirrors ?? [])(reference) ?? { registry, repository },
    },
    { signal },
  );
  if (image.descriptor.digest === digest) return image;
  throw new CoreError('PUSH_FAILED', `${id} was taken over as ${image.descriptor.digest}, not ${digest}`);
}

/**
 * Tag a step's image is pushed under until it is admitted. It stands for what the image is built from to the byte: when an
 * input was built again and became another image, what stood on the old one is not found any more.
 */
function buildTag(
  { key }: RebuildStep,
  pins: ReadonlyMap<string, string>,
  variant: readonly (string | undefined)[],
): string {
  const inputs = [...pins.values()].map((pin) => pin.slice(pin.lastIndexOf('@') + 1)).sort();
  return `build-${digestHex(digestOf(JSON.stringify([key, inputs, ...variant]))).slice(0, 40)}`;
}

function buildRequest(
  step: RebuildStep,
  parents: ReadonlyMap<string, BuiltImage>,
  pins: ReadonlyMap<string, string>,
  request: Pick<BuildRequest, 'target' | 'platform' | 'replace' | 'context'>,
): BuildRequest {
  const { platform, location, parameters } = step;
  const reading = { platform, ...parameters };
  const dockerfile = substituteBases(step.dockerfile, pins, reading);
  for (const { kind, name, line } of externalImages(parseDockerfile(dockerfile, reading))) {
    if (name.kind === 'scratch' || (name.kind === 'image' && name.reference.digest !== undefined)) continue;
    throw new CoreError(
      'BUILD_UNSUPPORTED',
      `line ${line} names ${name.text}, which could not be pinned (${kind})`,
      {
        hint: 'The way it is written is not understood, or the plan does not have it.',
        details: { line },
      },
    );
  }
  const dockerfilePath = dockerfileIn(location);
  return {
    ...request,
    annotations: annotationsOf(step, parents),
    dockerfile,
    ...(parameters === undefined ? {} : { parameters }),
    unedited: { dockerfile: step.dockerfile, pins: Object.fromEntries(pins) },
    ...(dockerfilePath === undefined ? {} : { dockerfilePath }),
  };
}

/** Says on the image itself where it is from. @see OCI image-spec, annotations.md */
function annotationsOf(
  { location, inputs }: RebuildStep,
  parents: ReadonlyMap<string, BuiltImage>,
): Readonly<Record<string, string>> {
  const base = inputs.find(({ kind }) => kind === 'base');
  const parent = base?.step === undefined ? undefined : parents.get(base.step)?.reference;
  const name = parent === undefined ? base?.reference : (base?.name ?? formatReference(untagged(parent)));
  const digest = parent === undefined ? base?.pinned : parent.digest;
  return {
    'org.opencontainers.image.source': location.repository,
    'org.opencontainers.image.revision': location.commit,
    ...(name === undefined ? {} : { 'org.opencontainers.image.base.name': name }),
    ...(digest === undefined ? {} : { 'org.opencontainers.image.base.digest': digest }),
  };
}

function untagged({ registry, repository }: ImageReference): ImageReference {
  return { registry, repository };
}

/** Each input by digest: the rebuilt image, or the public one the plan pins, where builders are to find it. */
function substitutionsOf(
  step: RebuildStep,
  parents: ReadonlyMap<string, BuiltImage>,
  mirrors: readonly NameRule[] = [],
): ReadonlyMap<string, string> {
  const mirrorOf = readNameRules(mirrors);
  return new Map(
    step.inputs.map((input) => {
      const image = parents.get(input.step ?? '')?.reference;
      const pin = pinnedInput(input, () => image);
      if (pin !== undefined) {
        const { digest, ...own } = parseReference(pin);
        const place = image === undefined ? (mirrorOf(own) ?? own) : own;
        return [input.reference, formatReference({ ...place, ...(digest === undefined ? {} : { digest }) })];
      }
      throw new CoreError(
        'PLAN_INVALID',
        `${step.id} needs ${input.reference}, which the plan neither builds nor pins`,
      );
    }),
  );
}

/** Whether an image begins with the layers of its rebuilt base. */
function standsOn(step: RebuildStep, parents: ReadonlyMap<string, BuiltImage>, image: BuiltImage): boolean {
  const base = step.inputs.find(({ kind }) => kind === 'base');
  const parent = base?.step === undefined ? undefined : parents.get(base.step);
  return parent === undefined || parent.diffIds.every((diffId, index) => image.diffIds[index] === diffId);
}
