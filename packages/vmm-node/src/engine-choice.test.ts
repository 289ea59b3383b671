import { expect, test } from 'vitest';
import { kvmAbsence, kvmIsEmulated } from '../../vmm/test/kvm-engine-under-test.ts';
import { chooseEngine } from './engine-choice.ts';

test('chooseEngine() of a name is that engine, or says why not', () => {
  expect(chooseEngine('soft').engine).toBe('soft');
  if (kvmAbsence === '') expect(chooseEngine('kvm').engine).toBe('kvm');
  else expect(() => chooseEngine('kvm')).toThrow(kvmAbsence);
});

test('auto takes KVM where it is good, says why, and is quick about it', () => {
  const isGood = kvmAbsence === '' && !kvmIsEmulated;
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const startMs = performance.now();
    const { engine, reason } = chooseEngine('auto');
    times.push(performance.now() - startMs);
    expect(reason).toMatch(isGood ? /^KVM runs guests well here \(/ : /^[A-Z].*[^.]$/);
    // A host that is busy meanwhile may look slow, but one without KVM never looks good.
    if (!isGood) expect(engine).toBe('soft');
  }
  expect(Math.min(...times)).toBeLessThan(50);
});
