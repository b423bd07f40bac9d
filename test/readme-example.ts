import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startWorld } from '../examples/demo/src/index.ts';

/**
 * Runs the README's first example in a project that installed the packed packages, against an embedded world: only
 * the services and the image's name are replaced. Returns what the ESM and the CommonJS form printed last.
 */
export async function runReadmeExample(
  project: string,
  readme: string,
): Promise<{ readonly esm: string; readonly commonJs: string }> {
  const block = /^```ts\n([\s\S]*?)^```/m.exec(readme)?.[1];
  if (block === undefined) throw new Error('the README has no ts example');
  await using world = await startWorld();
  const code = block
    .replace('publicServices()', `publicServices(${JSON.stringify(world.serviceOptions)})`)
    .replace(/vet\('[^']+', \{ \.\.\.services, asOf: [^}]+\}\)/, `vet('${world.image}', services)`)
    .concat('console.log(report.verdict.decision, report.lineage.nodes.length);\n');
  if (!code.includes(world.image))
    throw new Error('the README example no longer has the shape this test replaces');
  writeFileSync(join(project, 'example.mjs'), code);
  writeFileSync(
    join(project, 'example.cjs'),
    `(async () => {\n${code.replace(/import \{([^}]+)\} from ('[^']+');/g, 'const {$1} = require($2);')}\n})();\n`,
  );
  return { esm: await lastLine(project, 'example.mjs'), commonJs: await lastLine(project, 'example.cjs') };
}

async function lastLine(project: string, program: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [program], {
    cwd: project,
    timeout: 60_000,
  });
  return stdout.trim().split('\n').at(-1) ?? '';
}
