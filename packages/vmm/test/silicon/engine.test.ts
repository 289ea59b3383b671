// Our processor against the host's: every form of every instruction that both have, random operands
// and states, faults with error codes and CR2. check.ts is the same for the command line.

import { describe, expect, test } from 'vitest';
import { checkForms, describeMismatch, sharedForms } from './check-forms.ts';
import { siliconUnavailable } from './runner.ts';

const VECTORS_PER_FORM = 6;
/** Each is a module of its own; check.ts runs more. */
const VECTORS_COMPILED = 2;
/** Enough that operands of a form are misaligned at privilege 3 while that is checked. */
const VECTORS_MISALIGNED = 400;
/** Enough to see what is wrong. */
const SHOWN_MAX = 20;

describe.skipIf(siliconUnavailable() !== undefined)('the processor', () => {
  for (const mode of [64, 32, 16] as const) {
    test(`agrees with the silicon in ${mode}-bit code`, () => {
      const forms = sharedForms([mode]);
      expect(forms.length).toBeGreaterThan(900);
      const { mismatches } = checkForms(forms, 0, VECTORS_PER_FORM);
      expect(mismatches.slice(0, SHOWN_MAX).map(describeMismatch)).toEqual([]);
    });
  }

  for (const execution of ['hot', 'always'] as const) {
    test.each([64, 32, 16] as const)(
      `agrees with the silicon when %i-bit code is compiled: ${execution}`,
      (mode) => {
        const forms = sharedForms([mode]);
        const { mismatches, count, regions } = checkForms(forms, 0, VECTORS_COMPILED, execution);
        expect(mismatches.slice(0, SHOWN_MAX).map(describeMismatch)).toEqual([]);
        // Those that fault at once, or were interpreted on the way to a fault, are not compiled.
        expect(regions).toBeGreaterThan(0.5 * count);
      },
    );
  }

  test.each(['interpreted', 'always'] as const)(
    'halves in memory need no alignment, as on silicon: %s',
    (execution) => {
      const forms = sharedForms([64, 32]).filter(({ row }) =>
        /^vcvt(ph2ps|ps2ph)$/.test(row.mnemonic),
      );
      const { mismatches, count } = checkForms(forms, 0, VECTORS_MISALIGNED, execution);
      expect(count).toBeGreaterThan(5000);
      expect(mismatches.slice(0, SHOWN_MAX).map(describeMismatch)).toEqual([]);
    },
  );
});
