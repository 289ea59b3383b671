// SYSCALL, SYSRET, SYSENTER and SYSEXIT: SDM vol. 2 and vol. 3A, 5.8.7 and 5.8.8. The segments they
// load are fixed: no descriptor is read. SYSCALL is for 64-bit code only, as on Intel processors.

import { IF, RF, TF, VM } from '../isa/flags.ts';
import { c32, c64, call, type Fn, type I32, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { control, DR6_BS, EFER_SCE, hasBits, isCanonical, isLong } from './control-bits.ts';
import { AR_FLAT_CODE32, AR_FLAT_CODE64, AR_FLAT_DATA } from './descriptor.ts';
import { Faults } from './faults.ts';
import type { Modes } from './modes.ts';
import { STAGED } from './stage.ts';
import { AR_DPL_SHIFT, CS, gprSlot, RCX, RDX, RSP, S, SS, segmentCache, VECTOR } from './state.ts';

const R11 = 11;
/** RFLAGS bits that SYSRET loads from R11. */
const SYSRET_FLAGS = 0x3c7fd7;

/** Fast system calls; all return non-zero on a fault, and leave S.rip where to go on. */
export interface FastCall {
  /** (cpu, return address) */
  readonly syscall: Fn<'i32'>;
  /** (cpu, operand size) */
  readonly sysret: Fn<'i32'>;
  /** (cpu) */
  readonly sysenter: Fn<'i32'>;
  /** (cpu, operand size) */
  readonly sysexit: Fn<'i32'>;
}

/** Defines {@link FastCall}. */
export function defineFastCall(m: ModuleBuilder, modes: Modes): FastCall {
  const setFlat = defineSetFlat(m, modes);
  return {
    syscall: defineSyscall(m, modes, setFlat),
    sysret: defineSysret(m, modes, setFlat),
    sysenter: defineSysenter(m, modes, setFlat),
    sysexit: defineSysexit(m, setFlat),
  };
}

/** (cpu, CS selector, SS selector, access rights of CS at DPL 0, privilege): flat CS and SS. */
function defineSetFlat(m: ModuleBuilder, modes: Modes): Fn<'void'> {
  return m.function('setFlatSegments', ['i32', 'i32', 'i32', 'i32', 'i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const cpl = f.param(4, 'i32');
    const dpl = f.let(i32.shl(cpl, c32(AR_DPL_SHIFT)));
    const set = (segment: number, selector: I32, ar: I32): void => {
      const at = segmentCache(segment);
      const loaded = i32.or(i32.and(selector, c32(0xfffc)), cpl);
      f.store32(cpu, loaded, at + STAGED.selector);
      f.store32(cpu, c32(-1), at + STAGED.limit);
      f.store32(cpu, i32.or(ar, dpl), at + STAGED.ar);
      f.store32(cpu, c32(0), at + STAGED.base);
    };
    set(CS, f.param(1, 'i32'), f.param(3, 'i32'));
    set(SS, f.param(2, 'i32'), c32(AR_FLAT_DATA));
    f.store32(cpu, cpl, S.cpl);
    f.call(modes.updateSegments, cpu);
  });
}

/** 16 bits of an MSR that holds selectors. */
const selectorAt = (cpu: I32, field: number, byte: number): I32 =>
  i32.and(i32.load16_u(cpu, field + byte), c32(0xfffc));

function defineSyscall(m: ModuleBuilder, modes: Modes, setFlat: Fn<'void'>): Fn<'i32'> {
  return m.function('syscall', ['i32', 'i64'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const disabled = i32.eqz(hasBits(control(cpu, S.efer), EFER_SCE));
    new Faults(f, cpu).raiseIf(disabled, VECTOR.UD);
    const flags = f.let(i32.and(call(modes.packFlags, cpu), c32(~RF)));
    f.store64(cpu, f.param(1, 'i64'), gprSlot(RCX));
    f.store64(cpu, i64.extend_u(flags), gprSlot(R11));
    f.store64(cpu, i64.load(cpu, S.lstar), S.rip);
    const selector = f.let(selectorAt(cpu, S.star, 4));
    f.call(setFlat, cpu, selector, i32.add(selector, c32(8)), c32(AR_FLAT_CODE64), c32(0));
    const mask = i32.xor(i32.load(cpu, S.sfmask), c32(-1));
    f.call(modes.setFlags, cpu, i32.and(flags, mask));
    // If that clears TF there is no single-step trap behind SYSCALL.
    f.if(i32.eqz(hasBits(i32.load(cpu, S.eflags), TF)), () => {
      const traps = i32.and(i32.load(cpu, S.debugTraps), c32(~DR6_BS));
      f.store32(cpu, traps, S.debugTraps);
    });
    f.return(c32(0));
  });
}

function defineSysret(m: ModuleBuilder, modes: Modes, setFlat: Fn<'void'>): Fn<'i32'> {
  return m.function('sysret', ['i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const wide = f.let(i32.eq(f.param(1, 'i32'), c32(8)));
    const faults = new Faults(f, cpu);
    faults.raiseIf(i32.eqz(hasBits(control(cpu, S.efer), EFER_SCE)), VECTOR.UD);
    const rip = f.let(i64.load(cpu, gprSlot(RCX)));
    // The check is before anything changes, so the #GP is in ring 0 with the user's RSP: as on
    // Intel.
    faults.raiseIf(i32.and(wide, i32.eqz(isCanonical(rip))), VECTOR.GP, 0);
    f.if(i32.eqz(wide), () => f.set(rip, i64.and(rip, c64(0xffffffff))));
    f.store64(cpu, rip, S.rip);
    const selector = f.let(selectorAt(cpu, S.star, 6));
    const cs = i32.add(selector, i32.shl(wide, c32(4)));
    const ar = select(wide, c32(AR_FLAT_CODE64), c32(AR_FLAT_CODE32));
    f.call(setFlat, cpu, cs, i32.add(selector, c32(8)), ar, c32(3));
    const flags = i32.and(i32.load(cpu, gprSlot(R11)), c32(SYSRET_FLAGS & ~(RF | VM)));
    f.call(modes.setFlags, cpu, flags);
    f.return(c32(0));
  });
}

/** Raises #GP(0) while IA32_SYSENTER_CS holds a null selector. */
function requireSysenterCs(f: FunctionBuilder, cpu: I32): void {
  const absent = i32.eqz(selectorAt(cpu, S.sysenterCs, 0));
  new Faults(f, cpu).raiseIf(absent, VECTOR.GP, 0);
}

function defineSysenter(m: ModuleBuilder, modes: Modes, setFlat: Fn<'void'>): Fn<'i32'> {
  return m.function('sysenter', ['i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    requireSysenterCs(f, cpu);
    const long = f.let(isLong(cpu));
    const mask = f.let(select(long, c64(-1), c64(0xffffffff)));
    f.store64(cpu, i64.and(i64.load(cpu, S.sysenterEsp), mask), gprSlot(RSP));
    f.store64(cpu, i64.and(i64.load(cpu, S.sysenterEip), mask), S.rip);
    const selector = f.let(selectorAt(cpu, S.sysenterCs, 0));
    const ar = select(long, c32(AR_FLAT_CODE64), c32(AR_FLAT_CODE32));
    f.call(setFlat, cpu, selector, i32.add(selector, c32(8)), ar, c32(0));
    f.call(modes.setSystemFlags, cpu, i32.and(i32.load(cpu, S.eflags), c32(~(IF | VM | RF))));
    f.return(c32(0));
  });
}

function defineSysexit(m: ModuleBuilder, setFlat: Fn<'void'>): Fn<'i32'> {
  return m.function('sysexit', ['i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    requireSysenterCs(f, cpu);
    const wide = f.let(i32.eq(f.param(1, 'i32'), c32(8)));
    const [rip, rsp] = [f.let(i64.load(cpu, gprSlot(RDX))), f.let(i64.load(cpu, gprSlot(RCX)))];
    const crooked = i32.eqz(i32.and(isCanonical(rip), isCanonical(rsp)));
    new Faults(f, cpu).raiseIf(i32.and(wide, crooked), VECTOR.GP, 0);
    const mask = f.let(select(wide, c64(-1), c64(0xffffffff)));
    f.store64(cpu, i64.and(rip, mask), S.rip);
    f.store64(cpu, i64.and(rsp, mask), gprSlot(RSP));
    // From IA32_SYSENTER_CS, the ring-3 selectors are 16 and 24 on for 32-bit code, 32 and 40 for
    // 64.
    const distance = i32.shl(c32(16), wide);
    const cs = f.let(i32.add(selectorAt(cpu, S.sysenterCs, 0), distance));
    const ar = select(wide, c32(AR_FLAT_CODE64), c32(AR_FLAT_CODE32));
    f.call(setFlat, cpu, cs, i32.add(cs, c32(8)), ar, c32(3));
    f.return(c32(0));
  });
}
