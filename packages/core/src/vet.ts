import {
  type Fetcher,
  formatReference,
  type ImageReference,
  ImagevetError,
  type OperationOptions,
  type Platform,
  type Pusher,
  parseReference,
  type Resolver,
  resolveImage,
  withDefaultTag,
} from '@imagevet/registry';
import { auditLineage } from './audit/audit.ts';
import { compareImages } from './compare/compare-images.ts';
import { disagreementBelow } from './compare/disagreement.ts';
import type { Comparison, ComparisonGrade } from './compare/types.ts';
import { type Endorsable, type EndorseOptions, endorse } from './endorse.ts';
import { CoreError, type Gap } from './errors.ts';
import { resolveLineage } from './lineage/resolve-lineage.ts';
import type { Lineage, LineageEvent, ProvenanceSource, SourceHost } from './lineage/types.ts';
import { askWitnesses } from './lineage/witnesses.ts';
import { defaultPolicy } from './policy/default-policy.ts';
import { evaluate } from './policy/evaluate.ts';
import type { Facts, Policy, PolicyException } from './policy/types.ts';
import { publicServices } from './provenance/public-services.ts';
import { attestRebuild } from './rebuild/attest/attest-rebuild.ts';
import { doubleBuilder } from './rebuild/double-build.ts';
import { planRebuild } from './rebuild/plan-rebuild.ts';
import { rebuild } from './rebuild/rebuild.ts';
import { localRunner } from './rebuild/run-step.ts';
import type {
  Builder,
  BuiltImage,
  RebuildEvent,
  RebuildPlan,
  RebuildResult,
  StepRunner,
} from './rebuild/types.ts';
import type { Endorsement, VetReport } from './report/types.ts';

/** The stages of {@link vet}, in order. */
export type VetStage = 'lineage' | 'audit' | 'plan' | 'rebuild' | 'compare' | 'policy' | 'endorse';

/** Progress of {@link vet}. */
export type VetEvent =
  | { readonly type: 'stage-started'; readonly stage: VetStage }
  | { readonly type: 'stage-finished'; readonly stage: VetStage; readonly summary: string }
  | { readonly type: 'stage-skipped'; readonly stage: VetStage; readonly reason: string }
  | LineageEvent
  | RebuildEvent;

export interface VetOptions extends OperationOptions {
  /** Reads public images. @defaultValue anonymous access to the public registries */
  readonly registry?: Fetcher;
  /**
   * The public registries seen with other credentials or from elsewhere: each tag of the lineage must be the same image to
   * all of them. @defaultValue none
   */
  readonly witnesses?: readonly Resolver[];
  /** Who is asked where an image came from. @defaultValue every built-in source, on public services */
  readonly sources?: readonly ProvenanceSource[];
  /** Reads Dockerfiles and build contexts. @defaultValue the public source hosts */
  readonly host?: SourceHost;
  /** @defaultValue linux/amd64 */
  readonly platform?: Platform;
  /** Answers "where did it come from" as of this time. @defaultValue now */
  readonly asOf?: Date;
  /** Where rebuilt images go; without it nothing is planned or rebuilt. */
  readonly target?: RebuildTarget;
  /** Builds and pushes; without it the rebuild is planned only. */
  readonly builder?: Builder;
  /**
   * Builds everything twice with the `builder`, and takes an image only when both builds are equal at least this well.
   * `same-content` is what times and caches of a build allow. @defaultValue one build
   */
  readonly doubleBuild?: ComparisonGrade;
  /** Builds and pushes elsewhere, on a queue of workers for one; instead of a `builder`. */
  readonly runner?: StepRunner;
  /** Builds at the same time. @defaultValue 2; with a `runner`, what it can take */
  readonly concurrency?: number;
  /** Signs what the policy admitted; without it nothing is signed. */
  readonly trust?: Omit<EndorseOptions, 'registry' | 'signal' | 'now'>;
  /** @defaultValue {@link defaultPolicy} */
  readonly policy?: Policy;
  readonly exceptions?: readonly PolicyException[];
  /** The clock. @defaultValue the system's */
  readonly now?: () => Date;
  readonly onProgress?: (event: VetEvent) => void;
}

/** The internal registry rebuilt images are pushed to. */
export interface RebuildTarget {
  /** Host and port: `registry.corp:5000`. */
  readonly registry: string;
  /** Repositories are made below it: `vetted`. */
  readonly repositoryPrefix: string;
  /** Access to that registry. */
  readonly client: Fetcher & Pusher;
}

/**
 * Vets one public image: resolves its lineage, fetches every Dockerfile, audits them, rebuilds every image from
 * source, compares the results with what the public runs, decides, and signs what was admitted.
 *
 * Whatever could not be looked at is a gap of the report and never a pass. The only thing to run is
 * `report.verdict.pinned`.
 *
 * @throws {@link RegistryError} `INVALID_REFERENCE`; `NOT_FOUND`, `AUTH_REQUIRED` or `DENIED` when the image itself is
 * not there to be vetted. {@link CoreError} `INVALID_OPTIONS` for `doubleBuild` with a runner. Aborting rejects with
 * `signal.reason`.
 */
export async function vet(reference: string | ImageReference, options: VetOptions = {}): Promise<VetReport> {
  const now = options.now ?? (() => new Date());
  const report = options.onProgress ?? (() => {});
  const startedAt = now();
  if (options.runner !== undefined && options.doubleBuild !== undefined) {
    throw new CoreError('INVALID_OPTIONS', 'doubleBuild is for a builder, and a runner was given', {
      hint: 'Give the workers a doubleBuilder().',
    });
  }
  const image = withDefaultTag(typeof reference === 'string' ? parseReference(reference) : reference);

  report({ type: 'stage-started', stage: 'lineage' });
  const lineage = await traceLineage(image, options);
  report({ type: 'stage-finished', stage: 'lineage', summary: describeLineage(lineage) });

  report({ type: 'stage-started', stage: 'audit' });
  const findings = auditLineage(lineage, { now: startedAt });
  report({ type: 'stage-finished', stage: 'audit', summary: `${findings.length} findings` });

  const build = await rebuildLineage(lineage, options, report);
  const compared = await compareRebuilt(lineage, build, options, report);
  const gaps = [...lineage.gaps, ...(await witnessed(lineage, options)), ...(build.plan?.gaps ?? [])];
  const facts: Facts = {
    requested: formatReference(image),
    lineage,
    findings,
    ...(build.plan === undefined ? {} : { plan: build.plan }),
    ...(build.result === undefined ? {} : { rebuild: build.result }),
    comparisons: compared.comparisons,
    gaps: [...gaps, ...build.gaps, ...compared.gaps],
  };
  const decided = await decide(facts, build, options, { now: startedAt, report });
  return {
    apiVersion: 'imagevet/v1',
    kind: 'VetReport',
    ...facts,
    ...decided,
    startedAt: startedAt.toISOString(),
    finishedAt: now().toISOString(),
  };
}

function traceLineage(image: ImageReference, options: VetOptions): Promise<Lineage> {
  const wired = options.registry !== undefined && options.sources !== undefined && options.host !== undefined;
  const services = wired ? undefined : publicServices({ internalRegistries: [image.registry] });
  return resolveLineage(image, {
    registry: options.registry ?? services?.registry,
    sources: options.sources ?? services?.sources ?? [],
    host: options.host ?? services?.host,
    platform: options.platform,
    asOf: options.asOf,
    signal: options.signal,
    onProgress: options.onProgress,
  });
}

async function witnessed(lineage: Lineage, options: VetOptions): Promise<readonly Gap[]> {
  const { witnesses = [], signal } = options;
  if (witnesses.length === 0) return [];
  return askWitnesses(lineage, { registry: originals(lineage, options), witnesses, signal });
}

/** Reads the images the lineage is about. */
function originals(lineage: Lineage, options: VetOptions): Fetcher {
  const root = lineage.nodes.find(({ id }) => id === lineage.root)?.reference.registry ?? 'docker.io';
  return options.registry ?? publicServices({ internalRegistries: [root] }).registry;
}

interface Build {
  readonly plan?: RebuildPlan;
  readonly result?: RebuildResult;
  readonly gaps: readonly Gap[];
}

async function rebuildLineage(
  lineage: Lineage,
  options: VetOptions,
  report: (event: VetEvent) => void,
): Promise<Build> {
  const skip = (stage: VetStage, gap: Gap, plan?: RebuildPlan): Build => {
    report({ type: 'stage-skipped', stage, reason: gap.message });
    return { ...(plan === undefined ? {} : { plan }), gaps: [gap] };
  };
  if (options.target === undefined) {
    const hint = 'Name the registry rebuilt images go to: target.';
    return skip('plan', notRebuilt('NO_TARGET', 'no internal registry was named; nothing was rebuilt', hint));
  }
  report({ type: 'stage-started', stage: 'plan' });
  const plan = planRebuild([lineage], { target: options.target });
  report({ type: 'stage-finished', stage: 'plan', summary: `${plan.steps.length} images to rebuild` });
  const runner = runnerOf(options, options.target);
  if (runner === undefined) {
    return skip(
      'rebuild',
      notRebuilt(
        'NO_BUILDER',
        'no builder was given; the rebuild is planned only',
        'Give a builder: dockerEngineBuilder() for a Docker Engine, or a runner.',
      ),
      plan,
    );
  }
  report({ type: 'stage-started', stage: 'rebuild' });
  try {
    const result = await rebuild(plan, {
      runner,
      concurrency: options.concurrency,
      signal: options.signal,
      onProgress: report,
    });
    const built = result.outcomes.filter((outcome) => outcome.status === 'built').length;
    report({
      type: 'stage-finished',
      stage: 'rebuild',
      summary: `${built} of ${plan.steps.length} images rebuilt`,
    });
    return { plan, result, gaps: await attest(plan, result, options.target, options.signal) };
  } catch (error) {
    return skip('rebuild', gapOf('rebuild', error, options.signal), plan);
  }
}

function runnerOf(options: VetOptions, target: RebuildTarget): StepRunner | undefined {
  const { builder, doubleBuild, runner } = options;
  if (runner !== undefined || builder === undefined) return runner;
  const registry = target.client;
  const gated =
    doubleBuild === undefined
      ? builder
      : doubleBuilder(builder, { registry, disagreement: disagreementBelow(doubleBuild, registry) });
  return localRunner({ builder: gated, host: options.host ?? publicServices().host });
}

/** What was built stays, also where nothing can be written down beside it. */
async function attest(
  plan: RebuildPlan,
  result: RebuildResult,
  { client }: RebuildTarget,
  signal: AbortSignal | undefined,
): Promise<readonly Gap[]> {
  try {
    await attestRebuild(plan, result, { registry: client, signal });
    return [];
  } catch (error) {
    return [gapOf('rebuild', error, signal)];
  }
}

async function compareRebuilt(
  lineage: Lineage,
  build: Build,
  options: VetOptions,
  report: (event: VetEvent) => void,
): Promise<{ readonly comparisons: Facts['comparisons']; readonly gaps: readonly Gap[] }> {
  const comparisons: Record<string, Comparison> = {};
  const gaps: Gap[] = [];
  const built = builtImages(build.result);
  if (built.size === 0 || options.target === undefined) {
    report({ type: 'stage-skipped', stage: 'compare', reason: 'nothing was rebuilt' });
    return { comparisons, gaps };
  }
  report({ type: 'stage-started', stage: 'compare' });
  const originalSource = originals(lineage, options);
  for (const node of lineage.nodes) {
    const image = built.get(node.id);
    if (image === undefined) continue;
    try {
      if (node.image === undefined) throw new CoreError('SOURCE_NOT_FOUND', `no registry showed ${node.id}`);
      const rebuilt = await resolveImage(image.reference, {
        source: options.target.client,
        platform: node.platform,
        signal: options.signal,
      });
      comparisons[node.id] = await compareImages(node.image, rebuilt, {
        originalSource,
        rebuiltSource: options.target.client,
        signal: options.signal,
      });
    } catch (error) {
      gaps.push({ ...gapOf('compare', error, options.signal), node: node.id });
    }
  }
  const grades = Object.values(comparisons).map((comparison) => comparison.grade);
  report({
    type: 'stage-finished',
    stage: 'compare',
    summary: grades.join(', ') || 'nothing could be compared',
  });
  return { comparisons, gaps };
}

/**
 * Decides, and signs what was admitted. A signature that was asked for and could not be made is a gap, and the decision is
 * taken again with it: nothing is allowed unsigned that was to be signed, and nothing is signed that was not allowed.
 */
async function decide(
  facts: Facts,
  build: Build,
  options: VetOptions,
  context: { readonly now: Date; readonly report: (event: VetEvent) => void },
): Promise<Pick<VetReport, 'verdict' | 'endorsements' | 'gaps'>> {
  const { report } = context;
  const judge = (evidence: Facts) =>
    evaluate(options.policy ?? defaultPolicy, options.exceptions ?? [], evidence, context.now);
  report({ type: 'stage-started', stage: 'policy' });
  const verdict = judge(facts);
  report({ type: 'stage-finished', stage: 'policy', summary: verdict.decision });
  if (options.trust === undefined || options.target === undefined || verdict.decision !== 'allow') {
    const reason =
      options.trust === undefined ? 'no signing keys were given' : 'the policy did not admit the image';
    report({ type: 'stage-skipped', stage: 'endorse', reason });
    return { verdict, endorsements: [], gaps: facts.gaps };
  }
  report({ type: 'stage-started', stage: 'endorse' });
  try {
    const endorsements = await endorse(endorsable(build), {
      ...options.trust,
      registry: options.target.client,
      signal: options.signal,
      now: () => context.now,
    });
    report({ type: 'stage-finished', stage: 'endorse', summary: describeEndorsements(endorsements) });
    return { verdict, endorsements, gaps: facts.gaps };
  } catch (error) {
    const gap = gapOf('trust', error, options.signal);
    report({ type: 'stage-skipped', stage: 'endorse', reason: gap.message });
    const gaps = [...facts.gaps, gap];
    return { verdict: judge({ ...facts, gaps }), endorsements: [], gaps };
  }
}

function endorsable({ plan, result }: Build): readonly Endorsable[] {
  const built = builtImages(result);
  return (plan?.steps ?? []).flatMap(({ id, target }) => {
    const image = built.get(id);
    return image === undefined ? [] : [{ node: id, image, target }];
  });
}

function builtImages(result: RebuildResult | undefined): ReadonlyMap<string, BuiltImage> {
  return new Map(
    (result?.outcomes ?? []).flatMap((outcome) =>
      outcome.status === 'built' ? [[outcome.step, outcome.image] as const] : [],
    ),
  );
}

function notRebuilt(code: string, message: string, hint: string): Gap {
  return { stage: 'rebuild', code, message, hint };
}

/** An imagevet error becomes a gap; an abort or a bug is not softened. */
function gapOf(stage: Gap['stage'], error: unknown, signal: AbortSignal | undefined): Gap {
  if (signal?.aborted === true || !ImagevetError.is(error)) throw error;
  return {
    stage,
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}

function describeLineage(lineage: Lineage): string {
  return `${lineage.nodes.length} images, ${lineage.edges.length} edges, ${lineage.gaps.length} gaps`;
}

function describeEndorsements(endorsements: readonly Endorsement[]): string {
  return `${endorsements.length} images signed and read back`;
}
