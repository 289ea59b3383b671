// Vectors by hand: a quiet state to start from, and the pieces of an FXSAVE image (SDM vol. 1,
// 10.5.1) that the generator and the tests fill in.

import type { SiliconVector, VectorMode } from './format.ts';
import { CODE_REGION, Selector } from './layout.ts';

/** Offset of the code in the code region unless a vector wants another. */
const CODE_OFFSET = 0x100n;
/** The status register that every program starts with: all exceptions masked, round to nearest. */
const MXCSR_DEFAULT = 0x1f80;
const FCW_DEFAULT = 0x037f;
/** IF, and bit 1, which is always set. */
export const RFLAGS_FIXED = 0x202;

/** Offsets in an FXSAVE64 image. */
export const Fx = {
  fcw: 0,
  fsw: 2,
  ftw: 4,
  fop: 6,
  fip: 8,
  fdp: 16,
  mxcsr: 24,
  mxcsrMask: 28,
  /** ST0-7 or MM0-7: 16 bytes apart, 10 used. */
  st: 32,
  /** XMM0-15, 16 bytes each. */
  xmm: 160,
  end: 416,
} as const;

/** A FXSAVE image after FNINIT, with MXCSR at its default and all registers zero. */
export function quietFx(): Uint8Array {
  const fx = new Uint8Array(512);
  const view = new DataView(fx.buffer);
  view.setUint16(Fx.fcw, FCW_DEFAULT, true);
  view.setUint32(Fx.mxcsr, MXCSR_DEFAULT, true);
  return fx;
}

/** The address of code in `mode`, `offset` bytes into the code region. */
export function codeRip(mode: VectorMode, offset: bigint = CODE_OFFSET): bigint {
  return mode === 16 ? offset : CODE_REGION.address + offset;
}

/** A vector that runs `code` with zero registers and flat segments, but for what `state` says. */
export function makeVector(
  mode: VectorMode,
  code: readonly number[] | Uint8Array,
  state: Partial<SiliconVector> = {},
): SiliconVector {
  const { flat } = Selector;
  return {
    mode,
    code: Uint8Array.from(code),
    steps: 1,
    seed: 1,
    rip: codeRip(mode),
    rflags: RFLAGS_FIXED,
    gpr: new BigUint64Array(16),
    fsBase: 0n,
    gsBase: 0n,
    selectors: { ds: flat, es: flat, fs: Selector.null, gs: Selector.null, ss: flat },
    fx: quietFx(),
    ymm: new Uint8Array(256),
    patches: [],
    ...state,
  };
}
