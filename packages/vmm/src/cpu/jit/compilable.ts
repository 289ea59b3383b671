// How regions do an instruction: with registers and flags in the region's locals, where its
// semantics reach them only through their context; or else on the state of the vCPU, as the
// interpreter does, with the locals written back before and taken up again behind it.

import type { Row } from '../../isa/row.ts';
import { rows } from '../../isa/rows.ts';
import type { RegionInstruction } from './region.ts';

const INTEGER = new Set(
  `add or adc sbb and sub xor cmp inc dec neg not test mul imul div idiv cmpxchg xadd cmpxchg8b
  rol ror rcl rcr shl shr sar shld shrd bt bts btr btc bsf bsr bswap tzcnt lzcnt movbe
  andn bextr blsi blsmsk blsr bzhi mulx pdep pext rorx sarx shlx shrx mov movsx movsxd movzx movnti
  xchg lea cmovcc setcc cbw cwd popcnt crc32 nop pause clc stc cmc cld std endbr64 endbr32
  push pop leave jcc jmp call ret loop loope loopne jrcxz movs stos lods scas cmps
  lfence sfence mfence prefetcht0 prefetcht1 prefetcht2 prefetchnta prefetchw xlat`
    .trim()
    .split(/\s+/),
);

/** Moves to and from segment, control and debug registers, and far transfers. */
const isSystemOperand = (type: string): boolean =>
  /^(sreg|creg|dreg|far|mfar|[escdfg]s)$/.test(type);

/** What works on vector registers in the state, or loads MXCSR, which a local is derived from. */
const ON_VECTOR_STATE =
  /^v?(ldmxcsr|fxsave|fxrstor|xsave|xrstor|pcmp.str|insertps|maskmov(dqu|q$)|p?gather|zeroall)/;

function reachesLocals(row: Row): boolean {
  if (row.cpl0 || row.protectedOnly) return false;
  if (row.unit !== 'integer') return !row.endsBlock && !ON_VECTOR_STATE.test(row.mnemonic);
  if (!INTEGER.has(row.mnemonic)) return false;
  return row.operands.every(({ type }) => !isSystemOperand(type));
}

const LOCAL_ROWS = new Set(rows.filter(reachesLocals));

/** True for rows whose instructions work on the region's locals, if {@link isLocal} agrees. */
export const isLocalRow = (row: Row): boolean => LOCAL_ROWS.has(row);

/**
 * True for instructions that work on the region's locals. In 64-bit code those with an address-size
 * prefix do not.
 */
export const isLocal = ({ instruction, addressing }: RegionInstruction): boolean =>
  (addressing !== 'checked' || instruction.codeSize !== 8) && isLocalRow(instruction.row);

/** Instructions that end the interpreter's block, but go on behind themselves as a rule. */
const GOES_ON = new Set('mov pop popf sti clac stac swapgs'.split(' '));

/** True when a region may go on behind an instruction that ends the interpreter's block. */
export const goesOn = (row: Row): boolean =>
  GOES_ON.has(row.mnemonic) && row.operands.every(({ type }) => !/^[cd]reg$/.test(type));

/** Shifts by CL and repeated strings set flags or not, as their count says. */
export function setsFlagsOnCondition({ instruction: { row, rep } }: RegionInstruction): boolean {
  if (row.flagsWritten === 0) return false;
  if (rep !== 0 && row.rep !== 'none') return true;
  return row.operands.some(({ type, place }) => type === 'cl' && place === 'fixed');
}
