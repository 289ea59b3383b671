// Firmware, boot loaders and what they boot, unmodified: `npm run test:firmware`. Apart from the
// other tests, as it takes minutes.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['scripts/firmware/*.test.ts'],
    testTimeout: 600_000,
    pool: 'threads',
  },
});
