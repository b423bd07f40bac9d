import { randomUUID } from 'node:crypto';
import { digestHex, digestOf, formatReference, parseDigest } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import type { BuiltImage, RebuildOutcome, RebuildStep } from '../types.ts';

/** Version of what callers and workers tell one another. */
const VERSION = 3;

/** Why a job ended that its callers had given up: whoever came meanwhile asks again. */
export const UNWANTED = 'nobody waits for it any more';

/** One step, as a job carries it: everything a worker needs but the build context. */
export interface StepJob {
  readonly version: typeof VERSION;
  readonly step: RebuildStep;
  /** Images it stands on, by step. */
  readonly parents: readonly (readonly [string, BuiltImage])[];
  readonly reuse: boolean;
  readonly attempts?: number;
}

/** What a worker tells while it builds: lines of the log. */
export interface StepProgress {
  readonly worker: string;
  readonly lines: readonly string[];
}

export function toJob(
  step: RebuildStep,
  parents: ReadonlyMap<string, BuiltImage>,
  { reuse = true, attempts }: { readonly reuse?: boolean; readonly attempts?: number },
): StepJob {
  return {
    version: VERSION,
    step,
    parents: [...parents],
    reuse,
    ...(attempts === undefined ? {} : { attempts }),
  };
}

/**
 * Id of a step's job. Two callers that want the same image from the same inputs get the same job, and it is built once;
 * who wants it anew gets a job of its own. (A job's id may hold no colon.)
 */
export function jobId({ step, parents, reuse }: StepJob): string {
  const { key, target, scratch, inputs } = step;
  const needed = new Set(inputs.map((input) => input.step));
  const images = parents.flatMap(([id, image]) => (needed.has(id) ? [[id, image.descriptor.digest]] : []));
  const inside = JSON.stringify([key, formatReference(target), formatReference(scratch), images.sort()]);
  const same = digestHex(digestOf(inside)).slice(0, 40);
  return reuse ? `build-${same}` : `build-${same}-${randomUUID()}`;
}

/** Reads a job. @throws {@link CoreError} `QUEUE_INVALID` */
export function parseJob(data: unknown): StepJob {
  if (
    isObject(data) &&
    data.version === VERSION &&
    isStep(data.step) &&
    Array.isArray(data.parents) &&
    data.parents.every((pair) => Array.isArray(pair) && typeof pair[0] === 'string' && isImage(pair[1])) &&
    typeof data.reuse === 'boolean' &&
    (data.attempts === undefined || isPositive(data.attempts))
  ) {
    return data as unknown as StepJob;
  }
  throw new CoreError('QUEUE_INVALID', `a job of the queue is no build of version ${VERSION}`, {
    hint: 'Run callers and workers of one version of this package, on a queue of their own.',
  });
}

/** Reads what a worker made of a step. @throws {@link CoreError} `QUEUE_INVALID` */
export function parseOutcome(step: RebuildStep, value: unknown): RebuildOutcome {
  if (isObject(value) && value.step === step.id && typeof value.durationMs === 'number') {
    const isBuilt = value.status === 'built' && isImage(value.image);
    if (isBuilt && isOf(step, value.image as BuiltImage) && areFindings(value.findings)) {
      return value as unknown as RebuildOutcome;
    }
    const told = typeof value.code === 'string' && typeof value.message === 'string';
    if (value.status === 'failed' && told && isTexts(value.log)) return value as unknown as RebuildOutcome;
  }
  throw new CoreError('QUEUE_INVALID', `what the queue says of ${step.id} is no outcome of a build`, {
    hint: 'Run callers and workers of one version of this package, on a queue of their own.',
  });
}

/** A worker that tells of an image somewhere else, or under two digests, is not believed. */
function isOf({ scratch }: RebuildStep, { reference, descriptor }: BuiltImage): boolean {
  return (
    reference.registry === scratch.registry &&
    reference.repository === scratch.repository &&
    reference.digest === descriptor.digest
  );
}

/** Lines of log in what a worker told, or none when it is something else. */
export function parseProgress(value: unknown): readonly string[] {
  return isObject(value) && isTexts(value.lines) ? value.lines : [];
}

function isStep(value: unknown): boolean {
  return (
    isObject(value) &&
    [value.id, value.key, value.dockerfile].every((text) => typeof text === 'string') &&
    isReference(value.reference) &&
    isReference(value.target) &&
    isReference(value.scratch) &&
    isObject(value.platform) &&
    (value.parameters === undefined || isParameters(value.parameters)) &&
    (value.triggers === undefined || areTriggers(value.triggers)) &&
    (value.layout === undefined ||
      (isObject(value.layout) && isDigest(value.layout.digest) && typeof value.layout.match === 'string')) &&
    isObject(value.location) &&
    [value.location.repository, value.location.commit, value.location.path].every(
      (text) => typeof text === 'string',
    ) &&
    Array.isArray(value.inputs) &&
    value.inputs.every((input) => isObject(input) && typeof input.reference === 'string')
  );
}

function areFindings(value: unknown): boolean {
  return (
    value === undefined ||
    (Array.isArray(value) &&
      value.every(
        (finding) =>
          isObject(finding) &&
          isTexts([finding.code, finding.repository, finding.commit, finding.path]) &&
          (finding.content === undefined || typeof finding.content === 'string') &&
          (finding.line === undefined || isPositive(finding.line)),
      ))
  );
}

function areTriggers(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every((pair) => Array.isArray(pair) && isPositive(pair[0]) && typeof pair[1] === 'string')
  );
}

function isParameters(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { buildArgs = {}, target = '' } = value;
  return (
    typeof target === 'string' &&
    isObject(buildArgs) &&
    Object.values(buildArgs).every((text) => typeof text === 'string')
  );
}

function isImage(value: unknown): boolean {
  return (
    isObject(value) &&
    isReference(value.reference) &&
    isObject(value.descriptor) &&
    isDigest(value.descriptor.digest) &&
    isDigest(value.imageId) &&
    Array.isArray(value.diffIds) &&
    value.diffIds.every(isDigest) &&
    (value.builtBy === undefined || isEngine(value.builtBy))
  );
}

function isEngine(value: unknown): boolean {
  return isObject(value) && typeof value.name === 'string' && typeof value.version === 'string';
}

function isReference(value: unknown): boolean {
  return isObject(value) && typeof value.registry === 'string' && typeof value.repository === 'string';
}

function isDigest(value: unknown): boolean {
  if (typeof value !== 'string') return false;
  try {
    parseDigest(value);
    return true;
  } catch {
    return false;
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isPositive(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
