// Model-specific registers: SDM vol. 4, chapter 2.1 (architectural MSRs). Those that are part of
// the processor's state are here. All others are the monitor's to answer: identification and
// capabilities, the paravirtual clock, and what to do about a register that does not exist.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { DEBUGCTL_BTF, isCanonical } from './control-bits.ts';
import type { ControlRegisters } from './control-registers.ts';
import { Faults } from './faults.ts';
import type { HostRuntime } from './runtime.ts';
import { FS, GS, S, segmentBase, VECTOR } from './state.ts';

/** MSR numbers. */
export const MSR = {
  TSC: 0x10,
  SPEC_CTRL: 0x48,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  MISC_ENABLE: 0x1a0,
  DEBUGCTL: 0x1d9,
  PAT: 0x277,
  EFER: 0xc0000080,
  STAR: 0xc0000081,
  LSTAR: 0xc0000082,
  CSTAR: 0xc0000083,
  SFMASK: 0xc0000084,
  FS_BASE: 0xc0000100,
  GS_BASE: 0xc0000101,
  KERNEL_GS_BASE: 0xc0000102,
  TSC_AUX: 0xc0000103,
} as const;

/** IA32_MISC_ENABLE bits that vmm(4) keeps from the guest: TCC, EIST, xTPR disable. */
const MISC_ENABLE_HIDDEN = (1 << 3) | (1 << 16) | (1 << 23);
/** IA32_SPEC_CTRL: IBRS, STIBP, SSBD, BHI_DIS_S. None has anything to do on this processor. */
const SPEC_CTRL_MASK = 0x407n;

/** How a value is checked before it is stored. */
type Check =
  | 'debugCtl'
  | 'any'
  | 'canonical'
  | 'low32'
  | 'pat'
  | 'specCtrl'
  | 'miscEnable'
  | 'cut32';

interface Register {
  readonly index: number;
  readonly field: number;
  readonly check: Check;
}

/** The MSRs that are fields of the state, the busiest first. */
const REGISTERS: readonly Register[] = [
  { index: MSR.FS_BASE, field: segmentBase(FS), check: 'canonical' },
  { index: MSR.GS_BASE, field: segmentBase(GS), check: 'canonical' },
  { index: MSR.KERNEL_GS_BASE, field: S.kernelGsBase, check: 'canonical' },
  { index: MSR.SPEC_CTRL, field: S.specCtrl, check: 'specCtrl' },
  { index: MSR.TSC_AUX, field: S.tscAux, check: 'low32' },
  { index: MSR.STAR, field: S.star, check: 'any' },
  { index: MSR.LSTAR, field: S.lstar, check: 'canonical' },
  { index: MSR.CSTAR, field: S.cstar, check: 'canonical' },
  { index: MSR.SFMASK, field: S.sfmask, check: 'cut32' },
  { index: MSR.SYSENTER_CS, field: S.sysenterCs, check: 'cut32' },
  { index: MSR.SYSENTER_ESP, field: S.sysenterEsp, check: 'canonical' },
  { index: MSR.SYSENTER_EIP, field: S.sysenterEip, check: 'canonical' },
  { index: MSR.DEBUGCTL, field: S.debugCtl, check: 'debugCtl' },
  { index: MSR.PAT, field: S.pat, check: 'pat' },
  { index: MSR.MISC_ENABLE, field: S.miscEnable, check: 'miscEnable' },
];

/** Functions on MSRs and the time-stamp counter. */
export interface Msrs {
  /** (cpu, index) -> the value; S.faultVector tells. */
  readonly read: Fn<'i64'>;
  /** (cpu, index, value) -> fault. */
  readonly write: Fn<'i32'>;
  /** (cpu) -> the time-stamp counter. */
  readonly tsc: Fn<'i64'>;
}

/** Defines {@link Msrs}. */
export function defineMsrs(m: ModuleBuilder, host: HostRuntime, control: ControlRegisters): Msrs {
  const clock = m.function('clock', [], 'i64', (f) =>
    f.return(i64.trunc_sat_f64_s(call(host.now))),
  );
  const tsc = m.function('tsc', ['i32'], 'i64', (f) => {
    f.return(i64.add(call(clock), i64.load(f.param(0, 'i32'), S.tscOffset)));
  });
  return { read: defineRead(m, host, tsc), write: defineWrite(m, host, control, clock), tsc };
}

const isMsr = (index: I32, number: number): I32 => i32.eq(index, c32(number));

function defineRead(m: ModuleBuilder, host: HostRuntime, tsc: Fn<'i64'>): Fn<'i64'> {
  return m.function('readMsr', ['i32', 'i32'], 'i64', (f) => {
    const [cpu, index] = [f.param(0, 'i32'), f.param(1, 'i32')];
    for (const { index: number, field } of REGISTERS) {
      f.if(isMsr(index, number), () => f.return(i64.load(cpu, field)));
    }
    f.if(isMsr(index, MSR.EFER), () => f.return(i64.load(cpu, S.efer)));
    f.if(isMsr(index, MSR.TSC), () => f.returnCall(tsc, cpu));
    const known = call(host.readMsr, cpu, index);
    new Faults(f, cpu, c64(0)).raiseIf(i32.eqz(known), VECTOR.GP, 0);
    f.return(i64.load(cpu, S.scratch));
  });
}

/** Refuses or trims `value` by the rule of its register. */
function checked(f: FunctionBuilder, cpu: I32, value: I64, check: Check): I64 {
  const faults = new Faults(f, cpu);
  const upper = i32.wrap(i64.shr_u(value, c64(32)));
  switch (check) {
    case 'canonical':
      faults.raiseIf(i32.eqz(isCanonical(value)), VECTOR.GP, 0);
      return value;
    case 'low32':
      faults.raiseIf(upper, VECTOR.GP, 0);
      return value;
    case 'specCtrl':
      faults.raiseIf(i64.ne(i64.and(value, c64(~SPEC_CTRL_MASK)), c64(0)), VECTOR.GP, 0);
      return value;
    case 'debugCtl':
      // Branches are not recorded: of this register there is only what single-stepping needs.
      return i64.and(value, c64(DEBUGCTL_BTF));
    case 'pat':
      faults.raiseIf(badPat(value), VECTOR.GP, 0);
      return value;
    case 'cut32':
      return i64.and(value, c64(0xffffffff));
    case 'miscEnable':
      return i64.and(value, c64(~MISC_ENABLE_HIDDEN));
    case 'any':
      return value;
  }
}

/** 1 unless each byte is one of the memory types 0, 1, 4, 5, 6, 7 (SDM vol. 3A, 12.12.2). */
function badPat(value: I64): I32 {
  const reserved = i64.and(value, c64(0xf8f8f8f8f8f8f8f8n));
  // Types 2 and 3 have bit 1 without bit 2.
  const twos = i64.and(value, c64(0x0202020202020202n));
  const unpaired = i64.and(twos, i64.xor(i64.shr_u(value, c64(1)), c64(-1)));
  return i64.ne(i64.or(reserved, unpaired), c64(0));
}

function defineWrite(
  m: ModuleBuilder,
  host: HostRuntime,
  control: ControlRegisters,
  clock: Fn<'i64'>,
): Fn<'i32'> {
  return m.function('writeMsr', ['i32', 'i32', 'i64'], 'i32', (f) => {
    const [cpu, index, value] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i64')];
    for (const { index: number, field, check } of REGISTERS) {
      f.if(isMsr(index, number), () => {
        f.store64(cpu, checked(f, cpu, value, check), field);
        f.return(c32(0));
      });
    }
    f.if(isMsr(index, MSR.EFER), () => f.returnCall(control.writeEfer, cpu, value));
    f.if(isMsr(index, MSR.TSC), () => {
      f.store64(cpu, i64.sub(value, call(clock)), S.tscOffset);
      f.return(c32(0));
    });
    const faults = new Faults(f, cpu);
    f.store64(cpu, value, S.scratch);
    faults.raiseIf(i32.eqz(call(host.writeMsr, cpu, index)), VECTOR.GP, 0);
    f.return(c32(0));
  });
}
