import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: [
      'packages/*/src/**/*.test.ts',
      'packages/*/test/**/*.test.ts',
      'scripts/**/*.test.ts',
    ],
    // See vitest.network.config.ts and vitest.guests.config.ts.
    exclude: [
      'packages/vmm-node/test/kernel-gateway.test.ts',
      'scripts/guests/**',
      '**/node_modules/**',
    ],
    testTimeout: 60_000,
    pool: 'threads',
  },
});
