// Moves of MMX and SSE: MOVAPS to MOVUPS, MOVD, MOVQ, halves, non-temporal and masked stores, and
// the control register MXCSR. SDM vol. 2; vol. 1, 10.2.3 (MXCSR).
//
// Not modelled: the cache hints of non-temporal moves, which are not architectural here.

import { c32, type I32, i32, i64 } from '../wasm/expr.ts';
import { i8x16 } from '../wasm/simd.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import {
  begin,
  enterMmx,
  isMmx,
  isXmm,
  pendingX87,
  registerAddress,
  source128,
  sourceScalar,
  sourceVector,
  write128,
  writeMmx,
  writeScalar,
  writeZeroExtended,
} from './sse-operand.ts';
import { RDI, S, VECTOR } from './state.ts';

/** Offset of the high half of an XMM register. */
const HIGH = 8;
/** Bits of MXCSR that are always zero. */
const MXCSR_RESERVED = 0xffff0000;

/** 16 bytes, from and to registers or memory. */
const move128: Semantic = (x) => write128(x, 0, source128(x, 1));

/**
 * MOVD, MOVQ: 4 or 8 bytes between any two of MMX, XMM, general registers and memory. What a vector
 * register has beyond them is cleared.
 */
const moveScalar =
  (bytes: 4 | 8): Semantic =>
  (x) => {
    begin(x);
    const vector = isMmx(x, 1) || isXmm(x, 1);
    const value = x.f.let(vector ? sourceScalar(x, 1, bytes) : x.read(1));
    if (isMmx(x, 0) && !x.inMemory(0)) {
      writeMmx(x, x.mmAddress(0), value);
      return;
    }
    if (isXmm(x, 0) && !x.inMemory(0)) writeZeroExtended(x, 0, value);
    else if (isMmx(x, 0) || isXmm(x, 0)) x.store(bytes, x.linearAddress(bytes, true), value);
    else x.write(0, value);
    if (isMmx(x, 0) || isMmx(x, 1)) enterMmx(x);
  };

/** MOVSS, MOVSD: from memory the rest of the register is cleared, from a register it stays. */
const moveFloat =
  (bytes: 4 | 8): Semantic =>
  (x) => {
    const value = sourceScalar(x, 1, bytes);
    if (x.inMemory(1)) writeZeroExtended(x, 0, value);
    else writeScalar(x, 0, bytes, value);
  };

/** MOVLPS, MOVLPD: the low half of a register, to or from memory. */
const moveLow: Semantic = (x) => writeScalar(x, 0, 8, sourceScalar(x, 1, 8));

/** MOVHPS, MOVHPD: the high half of a register, to or from memory. */
const moveHigh: Semantic = (x) => {
  if (x.inMemory(0)) x.write(0, i64.load(x.xmmAddress(1), HIGH));
  else x.f.store64(x.xmmAddress(0), sourceScalar(x, 1, 8), HIGH);
};

const movhlps: Semantic = (x) => x.f.store64(x.xmmAddress(0), i64.load(x.xmmAddress(1), HIGH));

const movlhps: Semantic = (x) => x.f.store64(x.xmmAddress(0), i64.load(x.xmmAddress(1)), HIGH);

/** MOVNTQ: an MMX register to memory. */
const movntq: Semantic = (x) => {
  begin(x);
  x.store(8, x.linearAddress(8, true), i64.load(x.mmAddress(1)));
  enterMmx(x);
};

/** Loops over the set bits of `mask`, lowest first, and leaves it zero. */
export function forEachBit(x: Context, mask: I32, body: (bit: I32) => void): void {
  const { f } = x;
  const left = f.let(mask);
  f.block((done) => {
    f.loop((next) => {
      f.br(done, i32.eqz(left));
      body(f.let(i32.ctz(left)));
      f.set(left, i32.and(left, i32.sub(left, c32(1))));
      f.br(next);
    });
  });
}

/**
 * MASKMOVDQU, MASKMOVQ: stores the bytes of op0 whose bytes in op1 are negative at seg:rDI. The
 * first and the last byte to store are probed first, so that a fault leaves memory as it was;
 * bytes not stored do not fault, and with none there is no access at all.
 */
const maskedStore: Semantic = (x) => {
  const { f } = x;
  begin(x);
  const bytes = isMmx(x, 0) ? 8 : 16;
  const registers = registerAddress(x, 0);
  // The upper half of an MMX operand is zero, and so are its signs.
  const mask = f.let(i8x16.bitmask(sourceVector(x, 1)));
  f.if(mask, () => {
    const offset = f.let(i64.and(x.gpr(RDI), x.addressMask()));
    const linear = f.let(x.sourceAddress(offset, bytes, true));
    const first = f.let(i64.add(linear, i64.extend_u(i32.ctz(mask))));
    const last = f.let(i64.add(linear, i64.extend_u(i32.sub(c32(31), i32.clz(mask)))));
    const { probeWrite } = x.runtime.memory;
    x.attempt(probeWrite, x.cpu, first, c32(1));
    x.attempt(probeWrite, x.cpu, last, c32(1));
    forEachBit(x, mask, (bit) => {
      const byte = i64.load8_u(i32.add(registers, bit));
      x.store(1, i64.add(linear, i64.extend_u(bit)), byte);
    });
  });
  if (isMmx(x, 0)) enterMmx(x);
};

const ldmxcsr: Semantic = (x) => {
  const value = x.f.let(i32.wrap(x.read(0)));
  x.raise(VECTOR.GP, { code: c32(0), when: i32.and(value, c32(MXCSR_RESERVED)) });
  x.f.store32(x.cpu, value, S.mxcsr);
};

const stmxcsr: Semantic = (x) => x.write(0, i64.load32_u(x.cpu, S.mxcsr));

/** EMMS: TOP = 0, as of any MMX instruction, but all x87 registers are empty. */
const emms: Semantic = (x) => {
  pendingX87(x);
  enterMmx(x);
  x.f.store8(x.cpu, c32(0), S.ftw);
};

/** Semantics by mnemonic. */
export const sseMoveSemantics: SemanticTable = {
  movaps: move128,
  movapd: move128,
  movups: move128,
  movupd: move128,
  movdqa: move128,
  movdqu: move128,
  lddqu: move128,
  movntps: move128,
  movntpd: move128,
  movntdq: move128,
  movntdqa: move128,
  movd: moveScalar(4),
  movq: moveScalar(8),
  movq2dq: moveScalar(8),
  movdq2q: moveScalar(8),
  movss: moveFloat(4),
  movsd: moveFloat(8),
  movlps: moveLow,
  movlpd: moveLow,
  movhps: moveHigh,
  movhpd: moveHigh,
  movhlps,
  movlhps,
  movntq,
  maskmovdqu: maskedStore,
  maskmovq: maskedStore,
  ldmxcsr,
  stmxcsr,
  emms,
};
