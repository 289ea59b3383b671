import { expect, test, vi } from 'vitest';
import { CATCH_UP_STEP_MS, HostClock, HostEntropy } from './host-capabilities.ts';

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

test('HostClock goes on from a time, catches up in small steps, and then keeps pace', () => {
  let realMs = 1e6;
  const real = vi.spyOn(performance, 'now').mockImplementation(() => realMs);
  try {
    const clock = new HostClock(7e9, 1000);
    const nowMs = (): number => clock.now() / 1e6;
    expect(nowMs()).toBe(7000);
    realMs += 2;
    expect(nowMs()).toBeCloseTo(7020);
    // The host had no time for a second: that is a second for the guest, not ten.
    realMs += 1000;
    expect(nowMs()).toBeCloseTo(8020 + 9 * CATCH_UP_STEP_MS);
    for (let step = 0; step < 200; step++) {
      const beforeMs = nowMs();
      realMs += 1;
      expect(nowMs()).toBeGreaterThan(beforeMs);
    }
    expect(clock.isBehind).toBe(false);
    // All that has passed, and the second that it was behind.
    expect(nowMs()).toBeCloseTo(7000 + 1202 + 1000);
    expect(new HostClock(0, 2 * 3600e3).isBehind).toBe(false);
    expect(new HostClock(0, -1).isBehind).toBe(false);
  } finally {
    real.mockRestore();
  }
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
