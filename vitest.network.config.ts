// The network against the host's kernel: `npm run test:network`. Apart from the other tests, as it
// wants the machine to itself: what it moves through two network stacks must come in time.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['packages/vmm-node/test/kernel-gateway.test.ts'],
    testTimeout: 120_000,
    // Its peers are programs with timeouts of their own, which a busy host can run into.
    retry: 1,
    pool: 'threads',
  },
});
