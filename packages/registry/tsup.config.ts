import { defineConfig } from 'tsup';

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    names: 'src/names.ts',
    'testing/index': 'src/testing/index.ts',
    // A thread's entry: a file of its own, imported by no one.
    'layer/scan-worker': 'src/layer/scan-worker.ts',
  },
  format: ['esm'],
  target: 'node22',
  dts: { compilerOptions: { ignoreDeprecations: '6.0' } },
  sourcemap: true,
  clean: true,
  removeNodeProtocol: false,
});
