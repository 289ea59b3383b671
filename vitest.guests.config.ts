// Whole systems as Debian packages them: `npm run test:guests`. Apart from the other tests, as they
// fetch some hundred megabytes and take minutes, one after the other: each wants a processor.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['scripts/guests/*.test.ts'],
    testTimeout: 1_800_000,
    fileParallelism: false,
    pool: 'threads',
  },
});
