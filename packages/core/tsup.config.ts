import { defineConfig } from 'tsup';

export default defineConfig({
  entry: { index: 'src/index.ts', bullmq: 'src/rebuild/bullmq/index.ts' },
  format: ['esm'],
  target: 'node22',
  dts: { compilerOptions: { ignoreDeprecations: '6.0' } },
  sourcemap: true,
  clean: true,
  removeNodeProtocol: false,
});
