// The bits of CR0, CR4, EFER, DR6 and DR7, named as in SDM vol. 3A, 2.2.1, 2.5 and vol. 3B, 18.2.
// Numbers, for values below bit 31 or used with wrap(); the masks that need 64 bits are bigint,
// which only the emitting code sees.

import { VM } from '../isa/flags.ts';
import { c32, c64, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import { S } from './state.ts';

export const CR0_PE: number = 1 << 0;
export const CR0_MP: number = 1 << 1;
export const CR0_EM: number = 1 << 2;
export const CR0_TS: number = 1 << 3;
export const CR0_ET: number = 1 << 4;
export const CR0_NE: number = 1 << 5;
export const CR0_WP: number = 1 << 16;
export const CR0_AM: number = 1 << 18;
export const CR0_NW: number = 1 << 29;
export const CR0_CD: number = 1 << 30;
export const CR0_PG: number = 1 << 31;

export const CR4_VME: number = 1 << 0;
export const CR4_PVI: number = 1 << 1;
export const CR4_TSD: number = 1 << 2;
export const CR4_DE: number = 1 << 3;
export const CR4_PSE: number = 1 << 4;
export const CR4_PAE: number = 1 << 5;
export const CR4_MCE: number = 1 << 6;
export const CR4_PGE: number = 1 << 7;
export const CR4_PCE: number = 1 << 8;
export const CR4_OSFXSR: number = 1 << 9;
export const CR4_OSXMMEXCPT: number = 1 << 10;
export const CR4_UMIP: number = 1 << 11;
export const CR4_FSGSBASE: number = 1 << 16;
export const CR4_OSXSAVE: number = 1 << 18;
export const CR4_SMEP: number = 1 << 20;
export const CR4_SMAP: number = 1 << 21;

export const EFER_SCE: number = 1 << 0;
export const EFER_LME: number = 1 << 8;
export const EFER_LMA: number = 1 << 10;
export const EFER_NXE: number = 1 << 11;

/** DR6: a MOV of a debug register met DR7.GD; single step. */
export const DR6_BD: number = 1 << 13;
export const DR6_BS: number = 1 << 14;
/** DR6: a task switch to a TSS with its T bit set. */
export const DR6_BT: number = 1 << 15;
/** IA32_DEBUGCTL: single-step on branches. */
export const DEBUGCTL_BTF: number = 1 << 1;
/** DR7: L0 G0 .. L3 G3, and general detect. */
export const DR7_ENABLES = 0xff;
/** DR7: L0 to L3 and LE, which a task switch clears. */
export const DR7_LOCAL = 0x155;
export const DR7_GD: number = 1 << 13;

/** The low 32 bits of control register field `offset` (S.cr0, S.cr4, S.efer). */
export const control = (cpu: I32, offset: number): I32 => i32.load(cpu, offset);

/** 1 when any of `bits` is set in `word`, else 0. */
export const hasBits = (word: I32, bits: number): I32 => i32.ne(i32.and(word, c32(bits)), c32(0));

/** 1 in real-address mode (CR0.PE clear). */
export const isReal = (cpu: I32): I32 => i32.eqz(i32.and(control(cpu, S.cr0), c32(CR0_PE)));

/** 1 in virtual-8086 mode (RFLAGS.VM, which implies CR0.PE and privilege 3). */
export const isVirtual = (cpu: I32): I32 => hasBits(i32.load(cpu, S.eflags), VM);

/** 1 where selectors are paragraph numbers: in real-address and in virtual-8086 mode. */
export const hasParagraphs = (cpu: I32): I32 => i32.or(isReal(cpu), isVirtual(cpu));

/** RFLAGS.IOPL, 0..3. */
export const ioplOf = (cpu: I32): I32 =>
  i32.and(i32.shr_u(i32.load(cpu, S.eflags), c32(12)), c32(3));

/** 1 in IA-32e mode (EFER.LMA): 64-bit and compatibility mode. */
export const isLong = (cpu: I32): I32 => hasBits(control(cpu, S.efer), EFER_LMA);

/** 1 when `address` is canonical: its upper 17 bits are equal. */
export const isCanonical = (address: I64): I32 =>
  i64.lt_u(i64.add(address, c64(0x800000000000)), c64(0x1000000000000));
