import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: [
      'packages/*/src/**/*.test.ts',
      'packages/*/test/**/*.test.ts',
      'scripts/**/*.test.ts',
    ],
    // See vitest.network.config.ts, vitest.guests.config.ts and vitest.firmware.config.ts.
    exclude: [
      'packages/vmm-node/test/kernel-gateway.test.ts',
      'scripts/firmware/**',
      'scripts/guests/**',
      '**/node_modules/**',
    ],
    testTimeout: 60_000,
    pool: 'threads',
    // Most files wait for processes or for the host: as many at once as small machines have cores.
    maxWorkers: 2,
  },
});
