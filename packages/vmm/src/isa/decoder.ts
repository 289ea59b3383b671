// The instruction decoder: prefixes, opcode, ModRM, SIB, displacement, immediate. SDM vol. 2A, 2.1
// 2.2.1 and 2.3. Table driven and without allocation. EVEX, XOP and 3DNow! are not decoded: their
// bytes are invalid where they are not BOUND or POP.

import {
  buildTables,
  type DecodeTables,
  GROUP_CELLS,
  type Layout,
  slotOf,
  VARIANT,
  vexSlotOf,
} from './decode-tables.ts';
import { BASE_RIP, type CodeMode, DecodeStatus, type Instruction } from './instruction.ts';
import { type Feature, featureNames } from './row.ts';
import { rows } from './rows.ts';

/** The longest instruction (SDM vol. 2A, 2.3.11). */
export const INSTRUCTION_BYTES_MAX = 15;

const SS = 2;
const DS = 3;
const FS = 4;

/** The kinds of bytes an instruction may begin with. */
const KIND = { opcode: 0, segment: 1, opsize: 2, address: 3, lock: 4, repeat: 5, rex: 6 } as const;

const byteKinds: Uint8Array = new Uint8Array(256);
byteKinds.fill(KIND.rex, 0x40, 0x50);
byteKinds[0x66] = KIND.opsize;
byteKinds[0x67] = KIND.address;
byteKinds[0xf0] = KIND.lock;
byteKinds[0xf2] = byteKinds[0xf3] = KIND.repeat;
for (const prefix of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) byteKinds[prefix] = KIND.segment;

/**
 * Base and index of the 16-bit addressing forms (SDM vol. 2A, table 2-1); BX 3, BP 5, SI 6, DI 7.
 */
const base16 = [3, 3, 5, 5, 6, 7, 5, 3];
const index16 = [6, 7, 6, 7, -1, -1, -1, -1];

/** Where the decoder ran out of bytes. */
const SHORT = -1;

/** A fresh record for {@link Decoder.decode} to fill. */
export function createInstruction(): Instruction {
  return {
    row: rows[0],
    length: 0,
    codeSize: 8,
    opsize: 4,
    addrSize: 8,
    lock: false,
    rep: 0,
    opsizePrefix: false,
    segmentOverride: -1,
    segment: DS,
    rex: 0,
    rexPresent: false,
    mod: 3,
    reg: 0,
    rm: 0,
    vvvv: 0,
    base: -1,
    index: -1,
    scale: 0,
    sib: -1,
    disp: 0,
    dispHi: 0,
    immLo: 0,
    immHi: 0,
    imm2: 0,
  };
}

/** A decoder for one set of features: bytes that need another feature are not instructions. */
export class Decoder {
  private readonly tables: DecodeTables;

  /** `features`: those the processor has; without it, all that the rows know. */
  constructor(features: Iterable<Feature> = featureNames) {
    this.tables = buildTables(rows, new Set(features));
  }

  /**
   * Decodes the instruction at `code[offset]` into `out`, reading no byte at or beyond `limit`.
   * `mode` is the size of the code segment in bytes. Unless the answer is DecodeStatus.ok, what
   * `out` holds means nothing.
   */
  decode(
    code: Uint8Array,
    offset: number,
    limit: number,
    mode: CodeMode,
    out: Instruction,
  ): DecodeStatus {
    const end = Math.min(limit, offset + INSTRUCTION_BYTES_MAX);
    const short =
      limit < offset + INSTRUCTION_BYTES_MAX ? DecodeStatus.truncated : DecodeStatus.tooLong;
    let at = decodePrefixes(code, offset, end, mode, out);
    if (at === SHORT) return short;

    let opcode = code[at++];
    if ((opcode & 0xfe) === 0xc4) {
      // Outside 64-bit code it is LES or LDS, unless what follows would be a register.
      if (mode !== 8 && at >= end) return short;
      if (mode === 8 || code[at] >= 0xc0) {
        return this.decodeVex(code, at - 1, end, mode, short, out, offset);
      }
    }
    let map = 0;
    if (opcode === 0x0f) {
      if (at >= end) return short;
      opcode = code[at++];
      map = opcode === 0x38 ? 2 : opcode === 0x3a ? 3 : 1;
      if (map !== 1) {
        if (at >= end) return short;
        opcode = code[at++];
      }
    }

    const wide = (out.rex & 8) !== 0;
    const size = wide ? 2 : out.opsizePrefix === (mode !== 2) ? 0 : 1;
    const variant = prefixVariant(out);
    const slot = slotOf(mode === 8 ? 1 : 0, size, map, variant, opcode);
    const found = this.find(slot, code, at, end);
    if (found === SHORT) return short;
    if (found === 0) return DecodeStatus.invalid;
    let layout = this.tables.layouts[found - 1];
    if (layout.withRexB !== undefined && (out.rex & 1) !== 0) layout = layout.withRexB;
    out.row = layout.row;
    out.opsize = effectiveOpsize(layout, size, mode);
    out.vvvv = 0;

    if (layout.modrm) {
      if (at >= end) return short;
      at = decodeModrm(code, at, end, layout, out);
      if (at === SHORT) return short;
      if (((layout.regAllowed >> out.reg) & 1) === 0) return DecodeStatus.invalid;
    } else {
      out.mod = 3;
      out.rm = (opcode & 7) | ((out.rex & 1) << 3);
      out.segment = dataSegment(out, DS);
    }
    if (out.lock && (!layout.lockable || out.mod === 3)) return DecodeStatus.invalid;
    if (layout.immediate !== undefined) {
      at = decodeImmediate(code, at, end, layout, out);
      if (at === SHORT) return short;
    }
    out.length = at - offset;
    return DecodeStatus.ok;
  }

  /** What is in a slot: a layout's number plus one, 0, or SHORT if the ModRM byte would tell. */
  private find(slot: number, code: Uint8Array, at: number, end: number): number {
    const found = this.tables.slots[slot];
    if (found >= 0) return found;
    if (at >= end) return SHORT;
    const modrm = code[at];
    const cell = modrm >= 0xc0 ? 8 + (modrm & 0x3f) : (modrm >> 3) & 7;
    return this.tables.groups[(-found - 1) * GROUP_CELLS + cell];
  }

  /** Decodes from a VEX prefix at `start` on (SDM vol. 2A, 2.3.5). */
  private decodeVex(
    code: Uint8Array,
    start: number,
    end: number,
    mode: CodeMode,
    short: DecodeStatus,
    out: Instruction,
    offset: number,
  ): DecodeStatus {
    const isLong = code[start] === 0xc4;
    const opcodeAt = start + (isLong ? 3 : 2);
    if (opcodeAt >= end) return short;
    // #UD after LOCK, 66, F2, F3 or REX (2.3.2, 2.3.3).
    if (out.lock || out.opsizePrefix || out.rep !== 0 || out.rexPresent) {
      return DecodeStatus.invalid;
    }
    const last = code[opcodeAt - 1];
    const map = isLong ? code[start + 1] & 31 : 1;
    if (map < 1 || map > 3) return DecodeStatus.invalid;
    const w = isLong ? last >> 7 : 0;
    const extensions = isLong ? ~code[start + 1] >> 5 : (~code[start + 1] >> 5) & 4;
    // Outside 64-bit code there are eight registers, whatever the bits say.
    out.rex = mode === 8 ? (w << 3) | (extensions & 7) : 0;
    out.vvvv = (~last >> 3) & (mode === 8 ? 15 : 7);
    const long = mode === 8 ? 1 : 0;
    let at = opcodeAt + 1;
    const slot = vexSlotOf(long, w, (last >> 2) & 1, map, vexVariants[last & 3], code[opcodeAt]);
    const found = this.find(slot, code, at, end);
    if (found === SHORT) return short;
    if (found === 0) return DecodeStatus.invalid;
    const layout = this.tables.layouts[found - 1];
    if (!layout.usesVvvv && (last & 0x78) !== 0x78) return DecodeStatus.invalid;
    out.row = layout.row;
    out.opsize = layout.row.encoding.onlyOpsize === 8 ? 8 : 4;
    if (layout.modrm) {
      if (at >= end) return short;
      at = decodeModrm(code, at, end, layout, out);
      if (at === SHORT) return short;
      if (layout.isVsib && !takeVectorIndex(out)) return DecodeStatus.invalid;
    } else {
      out.mod = 3;
      out.segment = dataSegment(out, DS);
    }
    if (layout.immediate !== undefined) {
      at = decodeImmediate(code, at, end, layout, out);
      if (at === SHORT) return short;
    }
    out.length = at - offset;
    return DecodeStatus.ok;
  }
}

/** Prefix variants by VEX.pp. */
const vexVariants = [VARIANT.NP, VARIANT.P66, VARIANT.F3, VARIANT.F2];

/**
 * Makes the index a vector register. False when there is no SIB byte, or when index, mask and
 * destination are not three registers (SDM vol. 2A, 2.3.12; vol. 2C, VGATHERDPS).
 */
function takeVectorIndex(out: Instruction): boolean {
  if (out.sib < 0) return false;
  out.index = ((out.sib >> 3) & 7) | ((out.rex & 2) << 2);
  out.scale = out.sib >> 6;
  return out.index !== out.reg && out.index !== out.vvvv && out.reg !== out.vvvv;
}

/**
 * Reads the prefixes from `at` on into `out`; answers where the opcode is. A REX prefix counts only
 * right before the opcode; 64-bit code ignores segment prefixes other than FS and GS, which do not
 * cancel those (SDM vol. 2A, 2.1.1 and 2.2.1).
 */
function decodePrefixes(
  code: Uint8Array,
  start: number,
  end: number,
  mode: CodeMode,
  out: Instruction,
): number {
  let at = start;
  let rex = 0;
  let address = false;
  out.codeSize = mode;
  out.opsizePrefix = false;
  out.lock = false;
  out.rep = 0;
  out.segmentOverride = -1;
  for (; at < end; at++) {
    const byte = code[at];
    const kind = byteKinds[byte];
    if (kind === KIND.opcode || (kind === KIND.rex && mode !== 8)) {
      out.rex = rex;
      out.rexPresent = rex !== 0;
      out.addrSize = mode === 8 ? (address ? 4 : 8) : (mode === 4) === address ? 2 : 4;
      return at;
    }
    rex = 0;
    if (kind === KIND.rex) {
      rex = byte;
    } else if (kind === KIND.segment) {
      const segment = byte >= 0x64 ? byte - 0x60 : (byte >> 3) & 3;
      if (mode !== 8 || segment >= FS || out.segmentOverride < FS) out.segmentOverride = segment;
    } else if (kind === KIND.opsize) {
      out.opsizePrefix = true;
    } else if (kind === KIND.address) {
      address = true;
    } else if (kind === KIND.lock) {
      out.lock = true;
    } else {
      out.rep = byte as 0xf2 | 0xf3;
    }
  }
  return SHORT;
}

/** Which mandatory prefix stands: F2 and F3, the last of them, before 66 (SDM vol. 2A, 2.1.2). */
function prefixVariant({ rep, opsizePrefix }: Instruction): number {
  if (rep !== 0) return rep === 0xf3 ? VARIANT.F3 : VARIANT.F2;
  return opsizePrefix ? VARIANT.P66 : VARIANT.NP;
}

/**
 * Operand size in bytes from its class (0, 1, 2: two, four, eight bytes) and the row's own rule.
 */
function effectiveOpsize(layout: Layout, size: number, mode: CodeMode): 1 | 2 | 4 | 8 {
  if (layout.byteSized) return 1;
  if (size === 2) return layout.sizeMax;
  if (mode !== 8) return size === 0 && !layout.alwaysFour ? 2 : 4;
  return size === 0 ? layout.shortSize : layout.longSize;
}

/** The segment of a memory operand: the override, if this mode heeds it, else `byDefault`. */
function dataSegment(out: Instruction, byDefault: number): number {
  const segment = out.segmentOverride;
  return segment >= (out.codeSize === 8 ? FS : 0) ? segment : byDefault;
}

/** Decodes ModRM, SIB and displacement at `at`; answers where they end, or SHORT. */
function decodeModrm(
  code: Uint8Array,
  at: number,
  end: number,
  layout: Layout,
  out: Instruction,
): number {
  const modrm = code[at];
  const mod = layout.alwaysRegister ? 3 : modrm >> 6;
  out.mod = mod;
  out.reg = (((modrm >> 3) & 7) | ((out.rex & 4) << 1)) & layout.regMask;
  out.base = -1;
  out.index = -1;
  out.scale = 0;
  out.sib = -1;
  out.disp = 0;
  out.dispHi = 0;
  if (mod === 3) {
    out.rm = ((modrm & 7) | ((out.rex & 1) << 3)) & layout.rmMask;
    out.segment = dataSegment(out, DS);
    return at + 1;
  }
  out.rm = modrm & 7;
  return out.addrSize === 2
    ? decodeAddress16(code, at + 1, end, out)
    : decodeAddress(code, at + 1, end, out);
}

/** The 16-bit addressing forms (SDM vol. 2A, table 2-1). */
function decodeAddress16(code: Uint8Array, at: number, end: number, out: Instruction): number {
  const absolute = out.mod === 0 && out.rm === 6;
  if (!absolute) {
    out.base = base16[out.rm];
    out.index = index16[out.rm];
  }
  out.segment = dataSegment(out, out.base === 5 ? SS : DS);
  return decodeDisplacement(code, at, end, absolute || out.mod === 2 ? 2 : out.mod, out);
}

/** The 32- and 64-bit addressing forms (SDM vol. 2A, tables 2-2, 2-3, 2-5 and 2-7). */
function decodeAddress(code: Uint8Array, at: number, end: number, out: Instruction): number {
  let next = at;
  let base = out.rm;
  if (base === 4) {
    if (next >= end) return SHORT;
    const sib = code[next++];
    out.sib = sib;
    base = sib & 7;
    const index = ((sib >> 3) & 7) | ((out.rex & 2) << 2);
    if (index !== 4) {
      out.index = index;
      out.scale = sib >> 6;
    }
  }
  if (out.mod === 0 && base === 5) {
    out.base = out.sib < 0 && out.codeSize === 8 ? BASE_RIP : -1;
    out.segment = dataSegment(out, DS);
    return decodeDisplacement(code, next, end, 4, out);
  }
  out.base = base | ((out.rex & 1) << 3);
  out.segment = dataSegment(out, out.base === 4 || out.base === 5 ? SS : DS);
  return decodeDisplacement(code, next, end, out.mod === 2 ? 4 : out.mod, out);
}

/** Reads a sign-extended displacement of `bytes` (0, 1, 2 or 4). */
function decodeDisplacement(
  code: Uint8Array,
  at: number,
  end: number,
  bytes: number,
  out: Instruction,
): number {
  if (bytes === 0) return at;
  if (at + bytes > end) return SHORT;
  out.disp = readSigned(code, at, bytes);
  out.dispHi = out.disp >> 31;
  return at + bytes;
}

/** Reads `bytes` (1, 2 or 4) at `at`, sign-extended. */
function readSigned(code: Uint8Array, at: number, bytes: number): number {
  if (bytes === 1) return (code[at] << 24) >> 24;
  const low = code[at] | (code[at + 1] << 8);
  if (bytes === 2) return (low << 16) >> 16;
  return low | (code[at + 2] << 16) | (code[at + 3] << 24);
}

/** Reads what follows ModRM: an immediate, a branch offset, a far pointer, or a moffs. */
function decodeImmediate(
  code: Uint8Array,
  at: number,
  end: number,
  layout: Layout,
  out: Instruction,
): number {
  const kind = layout.immediate;
  if (kind === 'mo') return decodeOffset(code, at, end, out);
  const bytes = immediateBytes(kind, out.opsize);
  let next = at + bytes;
  if (next > end) return SHORT;
  if (bytes === 8) {
    out.immLo = readSigned(code, at, 4);
    out.immHi = readSigned(code, at + 4, 4);
    return next;
  }
  const value = readSigned(code, at, bytes);
  out.immLo = layout.signed || bytes === 4 ? value : value & (bytes === 1 ? 0xff : 0xffff);
  out.immHi = layout.signed ? value >> 31 : 0;
  if (kind === 'cp') {
    if (next + 2 > end) return SHORT;
    out.imm2 = code[next] | (code[next + 1] << 8);
    next += 2;
  } else if (layout.secondByte) {
    if (next >= end) return SHORT;
    out.imm2 = code[next++];
  }
  return next;
}

/** The bytes of an immediate, without ENTER's level or a far pointer's selector. */
function immediateBytes(kind: Layout['immediate'], opsize: number): number {
  switch (kind) {
    case 'ib':
    case 'cb':
      return 1;
    case 'iw':
      return 2;
    case 'iv':
      return opsize;
    default:
      return opsize === 2 ? 2 : 4;
  }
}

/** An offset of address size, zero-extended. */
function decodeOffset(code: Uint8Array, at: number, end: number, out: Instruction): number {
  const bytes = out.addrSize;
  if (at + bytes > end) return SHORT;
  out.disp = readSigned(code, at, bytes === 2 ? 2 : 4);
  if (bytes === 2) out.disp &= 0xffff;
  out.dispHi = bytes === 8 ? readSigned(code, at + 4, 4) : 0;
  return at + bytes;
}
