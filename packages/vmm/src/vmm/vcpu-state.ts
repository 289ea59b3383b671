// What a suspension keeps of a vCPU, whichever engine runs it: the register classes of vmm(4), and
// what READREGS has no place for. All of it is architectural; what an engine derives from it, it
// derives again. A register set that a later processor has is one more field, declared with
// later(): see base/saved-state.ts.

import {
  bytes,
  type Kind,
  later,
  list,
  type SavedFields,
  savedFields,
  u8,
  u16,
  u32,
  u64,
  whole,
} from '../base/saved-state.ts';
import {
  emptyRegState,
  VCPU_CRS,
  VCPU_DRS,
  VCPU_MSRS,
  VCPU_REGS,
  VCPU_SREGS,
  type VcpuRegState,
  type VcpuSegmentInfo,
} from './registers.ts';

/** The x87 registers as FXSAVE has them (SDM vol. 1, 10.5.1), but for the order of the eight. */
export interface SavedX87 {
  readonly fcw: number;
  readonly fsw: number;
  /** A set bit: the physical register of that number is in use. */
  readonly ftw: number;
  readonly fop: number;
  readonly fip: bigint;
  readonly fdp: bigint;
  readonly fcs: number;
  readonly fds: number;
  /** Physical registers R0 to R7, 16 bytes each: significand, sign and exponent, six of zero. */
  readonly registers: Uint8Array;
}

/** An event that the processor delivers before its next instruction. */
export interface SavedEvent {
  readonly vector: number;
  /** One of EVENT of cpu/state.ts: exception, software, external, privileged. */
  readonly kind: number;
  /** The error code, if it pushes one: none or one. */
  readonly code: readonly number[];
}

/** An MSR that READREGS does not have. */
export interface SavedMsr {
  readonly index: number;
  readonly value: bigint;
}

/** All that there is to know of a vCPU between two instructions. */
export interface VcpuState {
  readonly registers: VcpuRegState;
  readonly cr8: bigint;
  readonly x87: SavedX87;
  /** XMM0 to XMM15. */
  readonly xmm: Uint8Array;
  /** The upper halves of YMM0 to YMM15. */
  readonly ymmHigh: Uint8Array;
  readonly mxcsr: number;
  readonly msrs: readonly SavedMsr[];
  /** The time-stamp counter less the machine's time in nanoseconds, modulo 2^64. */
  readonly tscOffset: bigint;
  /** Of the paravirtual clock: the value of KVM_SYSTEM_TIME, and the version of the record. */
  readonly pvclock: bigint;
  readonly pvclockVersion: number;
  /** What the last instruction holds off: 0 nothing, 1 interrupts, 2 debug exceptions as well. */
  readonly shadow: number;
  /** The event to deliver: none or one. */
  readonly pending: readonly SavedEvent[];
  /** Values that the next instruction, begun already, has read from devices so far. */
  readonly answers: readonly bigint[];
}

const MSRS_MAX = 64;
const ANSWERS_MAX = 8;

const X87: SavedFields<SavedX87> = savedFields<SavedX87>({
  fcw: u16,
  fsw: u16,
  ftw: u8,
  fop: whole(0, 0x7ff),
  fip: u64,
  fdp: u64,
  fcs: u16,
  fds: u16,
  registers: bytes(128),
});

const EVENT: SavedFields<SavedEvent> = savedFields<SavedEvent>({
  vector: u8,
  kind: whole(0, 3),
  code: list(u32, 0, 1),
});

const SEGMENT = savedFields<VcpuSegmentInfo>({
  vsi_sel: u16,
  vsi_limit: u32,
  vsi_ar: u32,
  vsi_base: u64,
});

const named = <T>(names: Readonly<Record<string, number>>, kind: Kind<T>) =>
  savedFields<Record<string, T>>(
    Object.fromEntries(Object.keys(names).map((name) => [name, kind])),
  );

const CLASSES = savedFields({
  gprs: named(VCPU_REGS, u64),
  crs: named(VCPU_CRS, u64),
  msrs: named(VCPU_MSRS, u64),
  drs: named(VCPU_DRS, u64),
  segments: named(VCPU_SREGS, SEGMENT),
  gdtr: SEGMENT,
  idtr: SEGMENT,
});

const pick = <T>(names: Readonly<Record<string, number>>, from: ArrayLike<T>): Record<string, T> =>
  Object.fromEntries(Object.entries(names).map(([name, index]) => [name, from[index]!]));

const REGISTERS: Kind<VcpuRegState> = {
  encode: (state) =>
    CLASSES.encode({
      gprs: pick(VCPU_REGS, state.vrs_gprs),
      crs: pick(VCPU_CRS, state.vrs_crs),
      msrs: pick(VCPU_MSRS, state.vrs_msrs),
      drs: pick(VCPU_DRS, state.vrs_drs),
      segments: pick(VCPU_SREGS, state.vrs_sregs),
      gdtr: state.vrs_gdtr,
      idtr: state.vrs_idtr,
    }),
  decode(value, where) {
    const { gprs, crs, msrs, drs, segments, gdtr, idtr } = CLASSES.decode(value, where);
    const state = emptyRegState();
    for (const [name, index] of Object.entries(VCPU_REGS)) state.vrs_gprs[index] = gprs[name]!;
    for (const [name, index] of Object.entries(VCPU_CRS)) state.vrs_crs[index] = crs[name]!;
    for (const [name, index] of Object.entries(VCPU_MSRS)) state.vrs_msrs[index] = msrs[name]!;
    for (const [name, index] of Object.entries(VCPU_DRS)) state.vrs_drs[index] = drs[name]!;
    for (const [name, index] of Object.entries(VCPU_SREGS)) {
      state.vrs_sregs[index] = segments[name]!;
    }
    state.vrs_gdtr = gdtr;
    state.vrs_idtr = idtr;
    return state;
  },
};

/** The fields of {@link VcpuState} in a file. */
export const VCPU_STATE: SavedFields<VcpuState> = savedFields<VcpuState>({
  registers: REGISTERS,
  cr8: u64,
  x87: X87,
  xmm: bytes(256),
  ymmHigh: later(bytes(256), new Uint8Array(256)),
  mxcsr: u32,
  msrs: list(savedFields<SavedMsr>({ index: u32, value: u64 }), 0, MSRS_MAX),
  tscOffset: u64,
  pvclock: u64,
  pvclockVersion: u32,
  shadow: whole(0, 2),
  pending: list(EVENT, 0, 1),
  answers: later(list(u64, 0, ANSWERS_MAX), []),
});
