// XSAVE, XSAVEOPT, XSAVEC and XRSTOR: SDM vol. 1, chapter 13. The components that exist are those
// of XCR0: x87 and SSE, which lie in the legacy region, and AVX, which follows the header in the
// standard and in the compacted format alike: the formats differ in the header only. (Of a
// compacted area without AVX nothing follows the header.)
//
// Whether a component is in its initial configuration (XINUSE) is looked up in the registers, not
// tracked: it is exact. Not modelled: the modified optimization of XSAVEOPT, which an
// implementation may leave out, and XSAVES.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { Faults } from './faults.ts';
import { FX, FX_AREA, type FxParts, isReservedMxcsr } from './fxsave.ts';
import type { MemoryRuntime } from './runtime.ts';
import { gprSlot, RAX, S, VECTOR } from './state.ts';
import { times } from './x87-state.ts';
import { XSAVE_AVX_OFFSET, XSAVE_BYTES, XSTATE } from './xstate.ts';

/** The forms of XSAVE. */
export const XSAVE_FORM = { plain: 0, optimized: 1, compacted: 2 } as const;

/** Offsets of the header, which has 64 bytes; what is behind XCOMP_BV is reserved. */
const HEADER = { xstateBv: 512, xcompBv: 520, reserved: 528, end: 576 } as const;
/** Bit 63 of XCOMP_BV: the compacted format. */
const COMPACTED = 1n << 63n;
const MXCSR_INITIAL = 0x1f80;
const FCW_INITIAL = 0x37f;

/** The functions; all but `inUse` return non-zero when they have set a fault. */
export interface XSave {
  /** (cpu, linear, rexW, XMM registers, {@link XSAVE_FORM}). EDX:EAX says what to save. */
  readonly xsave: Fn<'i32'>;
  /** (cpu, linear, rexW, XMM registers). */
  readonly xrstor: Fn<'i32'>;
  /** (cpu, XMM registers) -> XINUSE, the components not in their initial configuration. */
  readonly inUse: Fn<'i32'>;
}

/** Defines {@link XSave}. */
export function defineXSave(m: ModuleBuilder, memory: MemoryRuntime, parts: FxParts): XSave {
  const inUse = defineInUse(m);
  const avx = defineAvxPart(m, memory);
  return {
    inUse,
    xsave: defineSave(m, memory, { ...parts, avx }, inUse),
    xrstor: defineRestore(m, memory, { ...parts, avx }),
  };
}

/** AVX state: (cpu, linear of the area, registers) -> fault. */
interface AvxPart {
  readonly store: Fn<'i32'>;
  readonly load: Fn<'i32'>;
}

type Parts = FxParts & { readonly avx: AvxPart };

function defineAvxPart(m: ModuleBuilder, memory: MemoryRuntime): AvxPart {
  type Move = (f: FunctionBuilder, faults: Faults, place: I32, linear: I64) => void;
  const define = (name: string, move: Move): Fn<'i32'> =>
    m.function(name, ['i32', 'i64', 'i32'], 'i32', (f) => {
      const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
      const faults = new Faults(f, cpu);
      // Eight bytes at a time: two for each register.
      times(f, i32.shl(f.param(2, 'i32'), c32(1)), (i) => {
        const offset = f.let(i32.shl(i, c32(3)));
        const at = i64.add(linear, i64.extend_u(i32.add(offset, c32(XSAVE_AVX_OFFSET))));
        move(f, faults, f.let(i32.add(cpu, offset)), f.let(at));
      });
      f.return(c32(0));
    });
  return {
    store: define('storeYmm', (f, faults, place, linear) => {
      faults.attempt(memory.store[8], f.param(0, 'i32'), linear, i64.load(place, S.ymmHigh));
    }),
    load: define('loadYmm', (f, faults, place, linear) => {
      const value = f.let(call(memory.load[8], f.param(0, 'i32'), linear));
      faults.check();
      f.store64(place, value, S.ymmHigh);
    }),
  };
}

/** The components that XCR0 and EDX:EAX ask for (RFBM). */
const requested = (cpu: I32): I32 =>
  i32.and(i32.wrap(i64.load(cpu, gprSlot(RAX))), i32.wrap(i64.load(cpu, S.xcr0)));

/** EDX:EAX, of which XSAVEC notes what XCR0 has. */
const isRequested = (components: I32, bits: number): I32 =>
  i32.ne(i32.and(components, c32(bits)), c32(0));

function defineInUse(m: ModuleBuilder): Fn<'i32'> {
  return m.function('xinuse', ['i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const bits = f.local('i64');
    const collect = (value: I64): void => f.set(bits, i64.or(bits, value));
    times(f, c32(8), (i) => {
      const at = f.let(i32.add(cpu, i32.shl(i, c32(4))));
      collect(i64.or(i64.load(at, S.fpr), i64.load16_u(at, S.fpr + 8)));
    });
    // FCW and FSW in one word; only the former is not 0 at first.
    collect(i64.xor(i64.load32_u(cpu, S.fcw), c64(FCW_INITIAL)));
    collect(i64.or(i64.load8_u(cpu, S.ftw), i64.load16_u(cpu, S.fop)));
    collect(i64.or(i64.load(cpu, S.fip), i64.load(cpu, S.fdp)));
    const x87 = f.let(i64.ne(bits, c64(0)));
    f.set(bits, c64(0));
    times(f, f.param(1, 'i32'), (i) => {
      const at = f.let(i32.add(cpu, i32.shl(i, c32(4))));
      collect(i64.or(i64.load(at, S.xmm), i64.load(at, S.xmm + 8)));
    });
    const sse = f.let(i32.shl(i64.ne(bits, c64(0)), c32(1)));
    f.set(bits, c64(0));
    times(f, f.param(1, 'i32'), (i) => {
      const at = f.let(i32.add(cpu, i32.shl(i, c32(4))));
      collect(i64.or(i64.load(at, S.ymmHigh), i64.load(at, S.ymmHigh + 8)));
    });
    f.return(i32.or(i32.or(x87, sse), i32.shl(i64.ne(bits, c64(0)), c32(2))));
  });
}

/** Only what is written need be writable: the header, and the parts before and behind it. */
function probeParts(
  f: FunctionBuilder,
  faults: Faults,
  memory: MemoryRuntime,
  linear: I64,
  saved: I32,
): void {
  const probe = (...offsets: readonly number[]): void => {
    for (const offset of offsets) {
      const place = i64.add(linear, c64(offset));
      faults.attempt(memory.probeWrite, f.param(0, 'i32'), place, c32(1));
    }
  };
  f.if(isRequested(saved, XSTATE.avx), () => probe(XSAVE_BYTES - 1, XSAVE_AVX_OFFSET));
  probe(HEADER.end - 1);
  f.if(isRequested(saved, XSTATE.sse), () => probe(FX_AREA - 1, FX.xmm));
  f.if(isRequested(saved, XSTATE.x87), () => probe(FX.xmm - 1, FX.fcw));
}

function defineSave(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  { avx, ...parts }: Parts,
  inUse: Fn<'i32'>,
): Fn<'i32'> {
  return m.function('xsave', ['i32', 'i64', 'i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, linear, rexW] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    const [registers, form] = [f.param(3, 'i32'), f.param(4, 'i32')];
    const faults = new Faults(f, cpu);
    const asked = f.let(requested(cpu));
    const used = f.let(call(inUse, cpu, registers));
    const compacted = f.let(i32.eq(form, c32(XSAVE_FORM.compacted)));
    // For XSAVEC, MXCSR is a part of the SSE state.
    const mxcsr = i32.ne(i32.load(cpu, S.mxcsr), c32(MXCSR_INITIAL));
    f.if(i32.and(compacted, mxcsr), () => f.set(used, i32.or(used, c32(XSTATE.sse))));
    const present = f.let(i32.and(asked, used));
    // Only XSAVE writes what is in its initial configuration.
    const plain = i32.eq(form, c32(XSAVE_FORM.plain));
    const saved = f.let(select(plain, asked, present));
    const withMxcsr = select(compacted, present, asked);
    const mxcsrWith = select(compacted, c32(XSTATE.sse), c32(XSTATE.sse | XSTATE.avx));
    const savesMxcsr = f.let(i32.and(withMxcsr, mxcsrWith));
    probeParts(f, faults, memory, linear, saved);
    f.if(savesMxcsr, () => {
      const place = i64.add(linear, c64(FX.mxcsr));
      faults.attempt(memory.probeWrite, cpu, place, c32(1));
      faults.attempt(parts.storeMxcsr, cpu, linear);
    });
    f.if(isRequested(saved, XSTATE.x87), () => {
      faults.attempt(parts.storeX87, cpu, linear, rexW);
    });
    f.if(isRequested(saved, XSTATE.sse), () => {
      faults.attempt(parts.storeXmm, cpu, linear, registers);
    });
    f.if(isRequested(saved, XSTATE.avx), () => {
      faults.attempt(avx.store, cpu, linear, registers);
    });
    const header = (offset: number): I64 => i64.add(linear, c64(offset));
    f.if(
      compacted,
      () => {
        const format = i64.or(i64.extend_u(asked), c64(COMPACTED));
        faults.attempt(memory.store[8], cpu, header(HEADER.xcompBv), format);
        faults.attempt(memory.store[8], cpu, header(HEADER.xstateBv), i64.extend_u(present));
      },
      () => {
        const old = f.let(call(memory.load[8], cpu, header(HEADER.xstateBv)));
        faults.check();
        const kept = i64.and(old, i64.xor(i64.extend_u(asked), c64(-1)));
        const value = i64.or(kept, i64.extend_u(present));
        faults.attempt(memory.store[8], cpu, header(HEADER.xstateBv), value);
      },
    );
    f.return(c32(0));
  });
}

/**
 * (cpu, linear) -> fault: the header is one that XRSTOR takes; its XSTATE_BV goes to S.fpResult, 1
 * or 0 for the compacted format to S.fpScratch (vol. 1, 13.8).
 */
function defineCheckHeader(m: ModuleBuilder, memory: MemoryRuntime): Fn<'i32'> {
  return m.function('xrstorHeader', ['i32', 'i64'], 'i32', (f) => {
    const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const faults = new Faults(f, cpu);
    const load = (offset: number): I64 => {
      const value = f.let(call(memory.load[8], cpu, i64.add(linear, c64(offset))));
      faults.check();
      return value;
    };
    // In this order, which a page fault shows.
    const format = load(HEADER.xcompBv);
    const present = load(HEADER.xstateBv);
    const refuse = (bits: I64): void => faults.raiseIf(i64.ne(bits, c64(0)), VECTOR.GP, 0);
    const beyond = (bits: I64, allowed: I64): I64 => i64.and(bits, i64.xor(allowed, c64(-1)));
    const compacted = f.let(i32.wrap(i64.shr_u(format, c64(63))));
    const enabled = f.let(i64.load(cpu, S.xcr0));
    refuse(beyond(present, enabled));
    f.if(
      compacted,
      () => {
        refuse(beyond(format, i64.or(enabled, c64(COMPACTED))));
        refuse(beyond(present, format));
        for (let at: number = HEADER.reserved; at < HEADER.end; at += 8) refuse(load(at));
      },
      () => {
        // The standard form looks at 16 reserved bytes only: XCOMP_BV and what follows it.
        refuse(format);
        refuse(load(HEADER.reserved));
      },
    );
    f.store64(cpu, present, S.fpResult);
    f.store32(cpu, compacted, S.fpScratch);
    f.return(c32(0));
  });
}

function defineRestore(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  { avx, ...parts }: Parts,
): Fn<'i32'> {
  const checkHeader = defineCheckHeader(m, memory);
  const clear = defineClear(m);
  return m.function('xrstor', ['i32', 'i64', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, linear, rexW] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    const registers = f.param(3, 'i32');
    const faults = new Faults(f, cpu);
    const asked = f.let(requested(cpu));
    faults.attempt(checkHeader, cpu, linear);
    const present = f.let(i32.wrap(i64.load(cpu, S.fpResult)));
    const compacted = f.let(i32.load(cpu, S.fpScratch));
    // The header has been read; what else can fault is at the start of the area and behind it.
    f.drop(call(memory.load[8], cpu, linear));
    faults.check();
    f.if(isRequested(i32.and(asked, present), XSTATE.avx), () => {
      f.drop(call(memory.load[8], cpu, i64.add(linear, c64(XSAVE_BYTES - 8))));
      faults.check();
    });
    const image = f.let(call(memory.load[8], cpu, i64.add(linear, c64(FX.mxcsr))));
    faults.check();
    const mxcsr = f.let(i32.wrap(image));
    // The standard form takes MXCSR from memory whatever XSTATE_BV says.
    const taken = f.let(
      select(
        compacted,
        i32.and(i32.and(asked, present), c32(XSTATE.sse)),
        i32.and(asked, c32(XSTATE.sse | XSTATE.avx)),
      ),
    );
    f.if(taken, () => faults.raiseIf(isReservedMxcsr(mxcsr), VECTOR.GP, 0));
    f.if(isRequested(asked, XSTATE.sse), () => f.store32(cpu, c32(MXCSR_INITIAL), S.mxcsr));
    f.if(taken, () => f.store32(cpu, mxcsr, S.mxcsr));
    const loaded = f.let(i32.and(asked, present));
    f.call(clear, cpu, i32.xor(asked, loaded), registers);
    f.if(isRequested(loaded, XSTATE.x87), () => {
      faults.attempt(parts.loadX87, cpu, linear, rexW);
    });
    f.if(isRequested(loaded, XSTATE.sse), () => {
      faults.attempt(parts.loadXmm, cpu, linear, registers);
    });
    f.if(isRequested(loaded, XSTATE.avx), () => {
      faults.attempt(avx.load, cpu, linear, registers);
    });
    f.return(c32(0));
  });
}

/** (cpu, components, XMM registers): gives components their initial configuration. */
function defineClear(m: ModuleBuilder): Fn<'void'> {
  return m.function('clearXState', ['i32', 'i32', 'i32'], 'void', (f) => {
    const [cpu, components] = [f.param(0, 'i32'), f.param(1, 'i32')];
    f.if(isRequested(components, XSTATE.x87), () => {
      const zero = (offset: number, bytes: number): void =>
        f.memoryFill(i32.add(cpu, c32(offset)), c32(0), c32(bytes));
      zero(S.fpr, 128);
      // From the control word to the selectors of the pointers.
      zero(S.fcw, S.mxcsr - S.fcw);
      f.store16(cpu, c32(FCW_INITIAL), S.fcw);
    });
    f.if(isRequested(components, XSTATE.sse), () => {
      f.memoryFill(i32.add(cpu, c32(S.xmm)), c32(0), i32.shl(f.param(2, 'i32'), c32(4)));
    });
    f.if(isRequested(components, XSTATE.avx), () => {
      f.memoryFill(i32.add(cpu, c32(S.ymmHigh)), c32(0), i32.shl(f.param(2, 'i32'), c32(4)));
    });
  });
}
