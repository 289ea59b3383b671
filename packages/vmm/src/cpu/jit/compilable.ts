// Which instructions regions may contain: those whose semantics reach general registers, flags and
// control only through their context. All others (system instructions, far transfers, port I/O) end
// the region, and the interpreter does them.

import type { Instruction } from '../../isa/instruction.ts';

const INTEGER = new Set(
  `add or adc sbb and sub xor cmp inc dec neg not test mul imul div idiv cmpxchg xadd cmpxchg8b
  rol ror rcl rcr shl shr sar shld shrd bt bts btr btc bsf bsr bswap mov movsx movsxd movzx movnti
  xchg lea cmovcc setcc cbw cwd popcnt crc32 nop pause clc stc cmc cld std endbr64 endbr32
  push pop leave jcc jmp call ret loop loope loopne jrcxz movs stos lods scas cmps
  lfence sfence mfence prefetcht0 prefetcht1 prefetcht2 prefetchnta prefetchw xlat`
    .trim()
    .split(/\s+/),
);

/** True when an instruction of 64-bit code can be part of a region. */
export function isCompilable({ row }: Instruction): boolean {
  if (row.cpl0 || row.protectedOnly) return false;
  if (row.unit !== 'integer') return row.unit === 'sse' && !row.endsBlock;
  if (!INTEGER.has(row.mnemonic)) return false;
  // Moves to and from segment, control and debug registers, and far transfers.
  return row.operands.every(({ type }) => !/^(sreg|creg|dreg|far|mfar|[escdfg]s)$/.test(type));
}
