// One run over a catalog, in a process of its own, so that its memory is its own: prints a CatalogRun.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { CatalogCache, resolveCatalog } from '../packages/core/src/index.ts';
import type { CatalogPlan, CatalogRun } from './lineage-catalog.ts';

const { official, remotes, cache: file } = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as CatalogPlan;
const start = performance.now();
const cache = new CatalogCache(existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined);
const reads = new Map<string, number>();
let [entries, builds, resolved] = [0, 0, 0];
const images = resolveCatalog(
  { mirror: official },
  {
    mirrors: { directory: official, remotes, hosts: [], offline: true },
    cache,
    onRead: ({ id }) => reads.set(id, (reads.get(id) ?? 0) + 1),
  },
);
for await (const image of images) {
  for (const entry of image.entries) {
    entries += 1;
    builds += entry.builds.length;
    resolved += entry.builds.filter(({ inputs }) => inputs.length > 0).length;
  }
}
const milliseconds = Math.round(performance.now() - start);
writeFileSync(file, JSON.stringify(cache));
const counts = [...reads.values()];
const run: CatalogRun = {
  ...{ milliseconds, entries, builds, resolved },
  megabytes: Math.round(process.resourceUsage().maxRSS / 1024),
  reads: counts.reduce((sum, count) => sum + count, 0),
  twice: counts.reduce((sum, count) => sum + count - 1, 0),
};
console.log(JSON.stringify(run));
