// What KVM does not tell of an I/O exit, and vmm(4) does: whether the instruction is a string one,
// has a REP prefix, names its port, and how long it is. The instruction is looked at where it lies.
//
// KVM leaves RIP at the instruction or past it, depending on whether the processor's exit or KVM's
// emulator got it there, so that both are tried; the opcode must agree with the exit. SDM vol. 2,
// IN, INS, OUT, OUTS.

/** What an I/O instruction looks like. */
export interface IoInstruction {
  isString: boolean;
  hasRep: boolean;
  portIsImmediate: boolean;
  /** It has an address-size prefix. */
  hasAddressSize: boolean;
  /** 1..15; 0 when the instruction was not found. */
  length: number;
}

/** A description of nothing, to be filled. */
export function emptyIoInstruction(): IoInstruction {
  return {
    isString: false,
    hasRep: false,
    portIsImmediate: false,
    hasAddressSize: false,
    length: 0,
  };
}

/** What the exit says of it. */
export interface IoAccess {
  readonly isIn: boolean;
  readonly size: number;
  readonly port: number;
}

const LENGTH_MAX = 15;
const LEGACY_PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);
const ADDRESS_SIZE = 0x67;
const isRex = (byte: number): boolean => (byte & 0xf0) === 0x40;
const isRep = (byte: number): boolean => byte === 0xf2 || byte === 0xf3;

/** The length of the opcode at `at` with its immediate, if it is the one of the access; else 0. */
function opcodeLength(code: Uint8Array, at: number, dx: number, access: IoAccess): number {
  const { isIn, size, port } = access;
  const opcode = code[at];
  if ((opcode & 1) !== (size === 1 ? 0 : 1)) return 0;
  switch (opcode & 0xfe) {
    case 0x6c:
    case 0xec:
      return isIn && dx === port ? 1 : 0;
    case 0x6e:
    case 0xee:
      return !isIn && dx === port ? 1 : 0;
    case 0xe4:
      return isIn && code[at + 1] === port ? 2 : 0;
    case 0xe6:
      return !isIn && code[at + 1] === port ? 2 : 0;
    default:
      return 0;
  }
}

function describe(
  code: Uint8Array,
  start: number,
  opcodeAt: number,
  length: number,
  into: IoInstruction,
): void {
  const opcode = code[opcodeAt];
  into.isString = opcode < 0x70;
  into.portIsImmediate = length === 2;
  const prefixes = code.subarray(start, opcodeAt);
  into.hasRep = into.isString && prefixes.some(isRep);
  into.hasAddressSize = prefixes.includes(ADDRESS_SIZE);
  into.length = opcodeAt + length - start;
}

/**
 * Finds the instruction of an access in `code`, where RIP is at byte `rip` and DX is `dx`, and
 * describes it. False when there is none: the code is not what was executed.
 */
export function findIoInstruction(
  code: Uint8Array,
  rip: number,
  dx: number,
  access: IoAccess,
  into: IoInstruction,
): boolean {
  // At RIP, behind its prefixes.
  let at = rip;
  while (at - rip < LENGTH_MAX - 1 && (LEGACY_PREFIXES.has(code[at]) || isRex(code[at]))) at++;
  const length = opcodeLength(code, at, dx, access);
  if (length > 0) {
    describe(code, rip, at, length, into);
    return true;
  }
  // Or ending at RIP; its prefixes are what looks like some, which an operand could do as well.
  for (const size of [1, 2]) {
    const opcodeAt = rip - size;
    if (opcodeAt < 0 || opcodeLength(code, opcodeAt, dx, access) !== size) continue;
    let start = opcodeAt;
    const first = Math.max(0, rip - LENGTH_MAX);
    if (start > first && isRex(code[start - 1])) start--;
    while (start > first && LEGACY_PREFIXES.has(code[start - 1])) start--;
    describe(code, start, opcodeAt, size, into);
    return true;
  }
  return false;
}
