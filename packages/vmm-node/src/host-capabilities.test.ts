import { expect, test } from 'vitest';
import { HostClock, HostEntropy } from './host-capabilities.ts';

test('HostClock begins at zero and goes on in nanoseconds', async () => {
  const clock = new HostClock();
  const first = clock.now();
  expect(first).toBeGreaterThanOrEqual(0);
  expect(first).toBeLessThan(1e9);
  const beforeMs = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 5));
  const elapsedMs = performance.now() - beforeMs;
  const measuredMs = (clock.now() - first) / 1e6;
  expect(measuredMs).toBeGreaterThanOrEqual(elapsedMs - 1);
  expect(Math.abs(clock.wallMs() - Date.now())).toBeLessThan(1000);
});

test('HostEntropy fills buffers of all sizes, each time with something else', () => {
  const entropy = new HostEntropy();
  const seen = new Set<string>();
  const sizes = [8, 8, 4096, 16, 5000, 65536, 100, 8];
  for (const size of sizes) {
    const bytes = new Uint8Array(size);
    entropy.fill(bytes);
    // One chance in 2^64 that eight random bytes are all zero.
    expect(bytes.subarray(-8).some((byte) => byte !== 0)).toBe(true);
    seen.add(bytes.subarray(0, 8).join());
  }
  expect(seen.size).toBe(sizes.length);
});
