import { defineConfig } from 'vitest/config';

// Tests run against the TypeScript sources; `test/packed.test.ts` alone tests the built packages.
export default defineConfig({
  resolve: { conditions: ['@imagevet/source'] },
  ssr: { resolve: { conditions: ['@imagevet/source'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'examples/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    restoreMocks: true,
  },
});
