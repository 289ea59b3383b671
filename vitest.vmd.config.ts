// vmd(8) and vmctl(8) as processes, with machines in them: `npm run test:vmd`. Apart from the other
// tests, as it takes minutes of waiting.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['packages/vmd/test/*.test.ts'],
    testTimeout: 60_000,
    pool: 'threads',
    fileParallelism: false,
    // A console fed nonsense was once not closed within a minute; why is not known.
    retry: 1,
  },
});
