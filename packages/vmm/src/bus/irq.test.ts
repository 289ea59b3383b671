// A line with several drivers, as PCI's interrupts are.
import { expect, test } from 'vitest';
import { SharedLine } from './irq.ts';

test('a shared line is high while any of its drivers has it high', () => {
  let level = false;
  const shared = new SharedLine({ set: (high) => void (level = high) });
  const [a, b] = [shared.input(), shared.input()];
  a.set(true);
  b.set(true);
  b.set(true);
  a.set(false);
  expect(level).toBe(true);
  b.set(false);
  expect(level).toBe(false);
  a.set(false);
  b.set(true);
  expect(level).toBe(true);
});
