import { formatReference, type ImageReference, parseReference, withDefaultTag } from '@imagevet/registry';
import { auditLineage } from '../audit/audit.ts';
import { CoreError } from '../errors.ts';
import type { Lineage } from '../lineage/types.ts';
import type { Facts } from '../policy/types.ts';
import type { VetReport } from '../report/types.ts';
import { compareRebuilt } from './compare-rebuilt.ts';
import { decide } from './decide.ts';
import { rebuildLineage } from './rebuild-lineage.ts';
import { traceLineage, witnessed } from './trace-lineage.ts';
import type { VetOptions } from './types.ts';

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
  const { lineage, gaps: unseen, ...compare } = await traceLineage(image, options);
  report({ type: 'stage-finished', stage: 'lineage', summary: describeLineage(lineage) });

  report({ type: 'stage-started', stage: 'audit' });
  const findings = auditLineage(lineage, { now: startedAt, ...compare });
  report({ type: 'stage-finished', stage: 'audit', summary: `${findings.length} findings` });

  const build = await rebuildLineage(lineage, options, report);
  const compared = await compareRebuilt(lineage, build, options, report);
  const gaps = [
    ...lineage.gaps,
    ...unseen,
    ...(await witnessed(lineage, options)),
    ...(build.plan?.gaps ?? []),
  ];
  const facts: Facts = {
    requested: formatReference(image),
    lineage,
    findings,
    ...compare,
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

function describeLineage(lineage: Lineage): string {
  return `${lineage.nodes.length} images, ${lineage.edges.length} edges, ${lineage.gaps.length} gaps`;
}
