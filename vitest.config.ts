import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: [
      'packages/*/src/**/*.test.ts',
      'packages/*/test/**/*.test.ts',
      'scripts/**/*.test.ts',
    ],
    // See vitest.*.config.ts beside this file.
    exclude: [
      'packages/vmd/test/**',
      'packages/vmm-node/test/kernel-gateway.test.ts',
      'scripts/firmware/**',
      'scripts/guests/**',
      '**/node_modules/**',
    ],
    testTimeout: 60_000,
    pool: 'threads',
  },
});
