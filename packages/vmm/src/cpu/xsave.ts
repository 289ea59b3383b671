// XSAVE, XSAVEOPT, XSAVEC and XRSTOR: SDM vol. 1, chapter 13. The components that exist are those
// of XCR0: x87 and SSE, which lie in the legacy region, so that the standard and the compacted
// format differ in the header only. A component beyond it takes a place in STANDARD_BYTES, a bit
// in COMPONENTS and its part of `save` and `restore`.
//
// Whether a component is in its initial configuration (XINUSE) is looked up in the registers, not
// tracked: it is exact. Not modelled: the modified optimization of XSAVEOPT, which an
// implementation may leave out, and XSAVES.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { Faults } from './faults.ts';
import { FX, FX_AREA, type FxParts, isReservedMxcsr } from './fxsave.ts';
import type { MemoryRuntime } from './runtime.ts';
import { gprSlot, RAX, S, VECTOR } from './state.ts';
import { times } from './x87-state.ts';

/** Bits of the state components. */
export const XSTATE = { x87: 1, sse: 2, avx: 4 } as const;
/** Those that XCR0 can enable. */
export const XSTATE_MASK: number = XSTATE.x87 | XSTATE.sse;
/** Bytes of an area with all of them: the legacy region and the header. */
export const XSAVE_BYTES = 576;
/** Alignment of an area. */
export const XSAVE_ALIGNMENT = 64;

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
  return {
    inUse,
    xsave: defineSave(m, memory, parts, inUse),
    xrstor: defineRestore(m, memory, parts),
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
    f.return(i32.or(x87, i32.shl(i64.ne(bits, c64(0)), c32(1))));
  });
}

function defineSave(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  parts: FxParts,
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
    // Only what is written need be writable: the header, and the parts of the legacy region.
    const probe = (offset: number): void =>
      faults.attempt(memory.probeWrite, cpu, i64.add(linear, c64(offset)), c32(1));
    probe(HEADER.end - 1);
    f.if(isRequested(saved, XSTATE.sse), () => {
      probe(FX_AREA - 1);
      probe(FX.xmm);
    });
    f.if(isRequested(saved, XSTATE.x87), () => {
      probe(FX.xmm - 1);
      probe(FX.fcw);
    });
    f.if(savesMxcsr, () => {
      probe(FX.mxcsr);
      faults.attempt(parts.storeMxcsr, cpu, linear);
    });
    f.if(isRequested(saved, XSTATE.x87), () => {
      faults.attempt(parts.storeX87, cpu, linear, rexW);
    });
    f.if(isRequested(saved, XSTATE.sse), () => {
      faults.attempt(parts.storeXmm, cpu, linear, registers);
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

function defineRestore(m: ModuleBuilder, memory: MemoryRuntime, parts: FxParts): Fn<'i32'> {
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
    // The header lies at the end of the area; the rest of what can fault is at its start.
    f.drop(call(memory.load[8], cpu, linear));
    faults.check();
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
  });
}
