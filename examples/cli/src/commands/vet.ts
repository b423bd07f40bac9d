import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  parsePolicy,
  renderHtml,
  renderJson,
  renderMarkdown,
  renderText,
  vet as runVet,
  type VetEvent,
  type VetReport,
} from '@imagevet/core';
import type { Arguments } from '../arguments.ts';
import { EXIT, type Io } from '../io.ts';
import { builderOf, keysOf, notaryOf, readText, servicesOf, targetOf } from '../services.ts';

const RENDERERS: Readonly<Record<string, (report: VetReport) => string>> = {
  text: renderText,
  json: renderJson,
  markdown: renderMarkdown,
  html: renderHtml,
};

/** `imagevet vet <image>` */
export async function vet(args: Arguments, io: Io): Promise<number> {
  const render = RENDERERS[args.format] ?? renderText;
  const target = targetOf(args, io);
  const report = await runVet(args.image, {
    ...servicesOf(args, io),
    platform: args.platform,
    asOf: args.asOf,
    target,
    builder: builderOf(args, target),
    concurrency: args.concurrency,
    mirrors: args.sourceMirrors,
    incompleteContext: args.incompleteContext,
    doubleBuild: args.doubleBuild,
    policy: args.policy === undefined ? undefined : parsePolicy(readText(args.policy)),
    trust:
      target === undefined || args.trust.server === undefined
        ? undefined
        : { server: await notaryOf(target.registry, args.trust, io), keys: keysOf(args.trust, io) },
    signal: io.signal,
    onProgress: (event) => io.stderr(describe(event)),
  });
  io.stdout(render(report));
  if (args.output !== undefined) writeReports(report, args.output);
  if (report.verdict.decision === 'allow') return EXIT.allow;
  return report.verdict.complete ? EXIT.deny : EXIT.error;
}

/** Writes the report in every format. */
export function writeReports(report: VetReport, directory: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'report.json'), renderJson(report));
  writeFileSync(join(directory, 'report.md'), renderMarkdown(report));
  writeFileSync(join(directory, 'report.html'), renderHtml(report));
}

/** One line of progress, or nothing. */
export function describe(event: VetEvent): string {
  switch (event.type) {
    case 'stage-started':
      return `${event.stage} ...\n`;
    case 'stage-finished':
      return `${event.stage}: ${event.summary}\n`;
    case 'stage-skipped':
      return `${event.stage}: skipped, ${event.reason}\n`;
    case 'image-resolving':
      return `  ${event.node}\n`;
    case 'dockerfile-fetched':
      return `    Dockerfile ${event.status}${event.url === undefined ? '' : ` ${event.url}`}\n`;
    case 'edge-graded':
      return `    base ${event.to}: ${event.grade}\n`;
    case 'step-started':
      return `  building ${event.step} (${event.index + 1} of ${event.total})\n`;
    case 'step-finished':
      return `  ${event.status} ${event.step}\n`;
    default:
      return '';
  }
}
