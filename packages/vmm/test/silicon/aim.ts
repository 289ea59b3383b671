// Where operands lie: chooses the linear address of a memory operand, around the regions of
// layout.ts and their edges, and sets registers (or the displacement) so that the instruction
// reaches it.

import { hasVectorIndex } from '../../src/cpu/operand-size.ts';
import { BASE_RIP, type Instruction } from '../../src/isa/instruction.ts';
import { segmentBase, stackBytes } from './address.ts';
import type { Draft } from './draft.ts';
import { DATA_REGIONS } from './layout.ts';
import type { Random } from './random.ts';

const [PAIR, READ_ONLY, HIGH] = DATA_REGIONS;
const PAGE = 0x1000n;
const RSP = 4;

/**
 * Bases that address nothing in 64-bit mode: #GP, or #SS for the stack. Not canonical with linear
 * addresses of 48 bits nor with those of 57, as the host may have either.
 */
const NON_CANONICAL = [0x8000_0000_1001_0000n, 0x0100_0000_1001_0000n, 0xfeff_ffff_1001_0000n];

const end = (region: { address: bigint; length: number }): bigint =>
  region.address + BigInt(region.length);

/**
 * A linear address for an operand of `size` bytes. Most lie in the writable pages; the rest at their
 * edges, in the read-only page, in a guard page or, when `wide`, above 4 GiB or not canonical.
 * `alignment` (a power of two) is that which the instruction demands, or 1.
 */
export function chooseLinear(
  random: Random,
  size: number,
  alignment: number,
  wide: boolean,
): bigint {
  const before = (address: bigint, most: number): bigint =>
    address - BigInt(random.between(0, most));
  const inside = (region: { address: bigint; length: number }): bigint => {
    const at = region.address + BigInt(random.below(region.length - size + 1));
    const unit = alignment > 1 ? alignment : random.percent(60) ? 16 : 1;
    return random.percent(92) ? at & -BigInt(unit) : at;
  };
  const choice = random.below(wide ? 108 : 100);
  if (choice < 68) return inside(PAIR);
  if (choice < 76) return before(PAIR.address + PAGE, size);
  if (choice < 82) return before(end(PAIR), size);
  if (choice < 88) return inside(READ_ONLY);
  if (choice < 93) return before(end(READ_ONLY), size);
  if (choice < 97) return before(PAIR.address, size);
  if (choice < 100) return PAIR.address - PAGE + BigInt(random.below(0x800));
  if (choice < 104) return inside(HIGH);
  if (choice < 105) return before(end(HIGH), size);
  return random.pick(NON_CANONICAL) + BigInt(random.below(0x1000));
}

/**
 * True when the host's program has nothing of its own at `address`: the instruction may touch it.
 * The runner is linked below 32 MiB and its heap follows; all else of it is far above the regions.
 */
export function isFree(address: bigint): boolean {
  if (address >= 0x0f00_0000n && address < 0xf000_0000n) return true;
  if (address >= HIGH.address - 0x1000_0000n && address < HIGH.address + 0x1000_0000n) return true;
  const canonical = BigInt.asUintN(64, BigInt.asIntN(57, address)) === address;
  return address < 0x8000n || !canonical;
}

/** `linear` as an offset in `segment`, in an address size of `bytes`. */
export function offsetOf(draft: Draft, linear: bigint, segment: number, bytes: number): bigint {
  return BigInt.asUintN(bytes * 8, linear - segmentBase(draft, segment));
}

/** Sets the low `bytes` of a register, leaving what the address size does not reach as it is. */
export function setLow(draft: Draft, register: number, value: bigint, bytes: number): void {
  const old = draft.gpr[register];
  const kept = (old >> BigInt(bytes * 8)) << BigInt(bytes * 8);
  draft.gpr[register] = kept | BigInt.asUintN(bytes * 8, value);
}

/** The low `bytes` of a register. */
export const low = (draft: Draft, register: number, bytes: number): bigint =>
  BigInt.asUintN(bytes * 8, draft.gpr[register]);

/** Bytes of immediates behind the displacement. */
function immediateBytes(instruction: Instruction): number {
  const { opsize, addrSize, row } = instruction;
  const z = Math.min(opsize, 4);
  const sizes = { ib: 1, iw: 2, iz: z, iv: opsize, cb: 1, cz: z, cp: z + 2, mo: addrSize };
  return row.encoding.immediates.reduce((sum, code) => sum + sizes[code], 0);
}

/** Writes the `bytes` bytes of `value` so that they end `behind` bytes before the code's end. */
export function setCode(draft: Draft, value: bigint, bytes: number, behind: number): void {
  for (let index = 0; index < bytes; index++) {
    const at = draft.instruction.length - behind - bytes + index;
    draft.code[at] = Number((value >> BigInt(index * 8)) & 0xffn);
  }
}

/** Makes the instruction's ModRM operand lie at `linear`, or as near as its registers allow. */
export function aimOperand(draft: Draft, linear: bigint): void {
  const { row, base, scale, disp, addrSize, segment } = draft.instruction;
  const index = hasVectorIndex(row) ? -1 : draft.instruction.index;
  const offset = offsetOf(draft, linear, segment, addrSize);
  if (base === BASE_RIP || (base < 0 && index < 0)) {
    const from = base === BASE_RIP ? draft.rip + BigInt(draft.instruction.length) : 0n;
    const bytes = addrSize === 2 ? 2 : 4;
    setCode(draft, BigInt.asUintN(64, offset - from), bytes, immediateBytes(draft.instruction));
    draft.decode();
    return;
  }
  const wanted = offset - BigInt(disp);
  if (index >= 0 && index !== base) {
    if (base < 0) {
      setLow(draft, index, wanted >> BigInt(scale), addrSize);
      return;
    }
    setLow(draft, index, BigInt(draft.random.between(-64, 64)), addrSize);
  }
  if (index === base) {
    setLow(draft, base, wanted / BigInt(1 + (1 << scale)), addrSize);
    return;
  }
  const rest = index >= 0 ? draft.gpr[index] << BigInt(scale) : 0n;
  setLow(draft, base, wanted - rest, addrSize);
}

/** Makes `register` point to `linear` in `segment` with the instruction's address size. */
export function aimRegister(draft: Draft, register: number, linear: bigint, segment: number): void {
  const { addrSize } = draft.instruction;
  setLow(draft, register, offsetOf(draft, linear, segment, addrSize), addrSize);
}

/** Makes the stack's top lie at `linear`. */
export function aimStack(draft: Draft, linear: bigint, register: number = RSP): void {
  const bytes = stackBytes(draft);
  setLow(draft, register, offsetOf(draft, linear, 2, bytes), bytes);
}
