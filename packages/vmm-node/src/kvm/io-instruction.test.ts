import { expect, test } from 'vitest';
import { assemble, type Mode } from '../../../vmm/test/guest-program.ts';
import { emptyIoInstruction, findIoInstruction } from './io-instruction.ts';

const PORT = 0x70;

/** The instruction's bytes with NOPs around it, and what is found of it at or past RIP. */
function found(source: string, mode: Mode, isIn: boolean, size: number, dx: number, past: boolean) {
  const instruction = assemble(source, mode);
  const code = new Uint8Array(32).fill(0x90);
  code.set(instruction, 16 - (past ? instruction.length : 0));
  const into = emptyIoInstruction();
  const access = { isIn, size, port: PORT };
  return findIoInstruction(code, 16, dx, access, into) ? into : undefined;
}

test.each<[string, Mode, boolean, number, string]>([
  ['in al, 0x70', 64, true, 1, 'immediate'],
  ['in eax, 0x70', 32, true, 4, 'immediate'],
  ['out 0x70, ax', 64, false, 2, 'immediate'],
  ['out 0x70, ax', 16, false, 2, 'immediate'],
  ['in ax, dx', 64, true, 2, ''],
  ['out dx, eax', 16, false, 4, ''],
  ['insb', 64, true, 1, 'string'],
  ['rep insd', 64, true, 4, 'string rep'],
  ['rep insw', 16, true, 2, 'string rep'],
  ['rep outs dx, word ptr fs:[esi]', 64, false, 2, 'string rep address'],
  ['insb es:[edi], dx', 16, true, 1, 'string address'],
  ['outsb', 32, false, 1, 'string'],
])('"%s" of %d-bit code is found at RIP and before it', (source, mode, isIn, size, words) => {
  const length = assemble(source, mode).length;
  const expected = {
    isString: words.includes('string'),
    hasRep: words.includes('rep'),
    portIsImmediate: words === 'immediate',
    hasAddressSize: words.includes('address'),
    length,
  };
  const dx = expected.portIsImmediate ? 0x3f8 : PORT;
  expect(found(source, mode, isIn, size, dx, false)).toEqual(expected);
  expect(found(source, mode, isIn, size, dx, true)).toEqual(expected);
});

test('code that does not fit the access is refused', () => {
  expect(found('in al, 0x71', 64, true, 1, 0, false)).toBeUndefined();
  expect(found('in al, dx', 64, true, 1, PORT + 1, false)).toBeUndefined();
  expect(found('in al, dx', 64, true, 2, PORT, false)).toBeUndefined();
  expect(found('in al, dx', 64, false, 1, PORT, true)).toBeUndefined();
  expect(found('nop', 64, true, 1, PORT, true)).toBeUndefined();
});
