import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type Builder,
  dockerEngineBuilder,
  publicServices,
  renderHtml,
  renderJson,
  renderMarkdown,
  renderText,
  type VetEvent,
  type VetReport,
  vet,
} from '@imagevet/core';
import { ImagevetError } from '@imagevet/registry';
import { createKeyStore } from '@imagevet/trust';
import { startWorld, type World } from './world.ts';

/** What the demonstration may touch. */
export interface DemoIo {
  readonly stdout: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/**
 * Vets one image of an embedded world: `[--tampered] [--output FOLDER]`. Returns 0 when the vetting ran to its end, whatever
 * the verdict; 130 when interrupted.
 */
export async function main(parameters: readonly string[], io: DemoIo): Promise<number> {
  const tampered = parameters.includes('--tampered');
  const at = parameters.indexOf('--output');
  const output = resolve(at >= 0 ? (parameters[at + 1] ?? 'report') : 'report');
  io.stdout(
    'Starting an embedded world: a registry, a Docker Hub, a git host, an internal registry, a notary.\n',
  );
  await using world = await startWorld();
  try {
    const report = await vetIn(world, tampered ? world.tamperedImage : world.image, io);
    writeReports(report, output);
    io.stdout(`\n${renderText(report)}\n`);
    io.stdout(`Report: ${pathToFileURL(join(output, 'report.html')).href}\n`);
    return 0;
  } catch (error) {
    if (!io.signal.aborted) throw error;
    io.stdout('Interrupted.\n');
    return 130;
  }
}

async function vetIn(world: World, image: string, io: DemoIo): Promise<VetReport> {
  const builder = await findEngine(world, io);
  io.stdout(`Vetting ${image}\n\n`);
  return vet(image, {
    ...publicServices(world.serviceOptions),
    platform: world.platform,
    target: world.target,
    ...(builder === undefined ? {} : { builder }),
    trust: { server: world.notary, keys: createKeyStore() },
    signal: io.signal,
    onProgress: (event) => io.stdout(describe(event)),
  });
}

async function findEngine(world: World, io: DemoIo): Promise<Builder | undefined> {
  const dockerHost = io.env.DOCKER_HOST;
  const builder = dockerEngineBuilder({
    ...(dockerHost === undefined ? {} : { dockerHost }),
    registry: world.target.client,
  });
  try {
    const { name, version } = await builder.probe({ signal: io.signal });
    io.stdout(`Docker Engine ${version} (${name}): the rebuild is real.\n`);
    return builder;
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    io.stdout(`No Docker Engine answers (${error.message}): the rebuild is planned only.\n`);
    return undefined;
  }
}

function writeReports(report: VetReport, directory: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'report.html'), renderHtml(report));
  writeFileSync(join(directory, 'report.md'), renderMarkdown(report));
  writeFileSync(join(directory, 'report.json'), renderJson(report));
}

function describe(event: VetEvent): string {
  switch (event.type) {
    case 'stage-started':
      return `${event.stage}\n`;
    case 'stage-finished':
      return `  ${event.summary}\n`;
    case 'stage-skipped':
      return `${event.stage}: skipped, ${event.reason}\n`;
    case 'dockerfile-fetched':
      return `  ${event.node}: Dockerfile ${event.status}\n`;
    case 'edge-graded':
      return `  built on ${event.to}: ${event.grade}\n`;
    case 'step-started':
      return `  building ${event.step} (${event.index + 1} of ${event.total})\n`;
    case 'step-finished':
      return `  ${event.status}: ${event.step}\n`;
    default:
      return '';
  }
}
