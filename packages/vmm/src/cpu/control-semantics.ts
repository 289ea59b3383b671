// Semantics of control and debug registers, MSRs, identification, time, caches, translation, and of
// the flags that are not arithmetic. SDM vol. 2.

import { AC, AF, CF, IF, OF, PF, RF, SF, VIF, VIP, VM, ZF } from '../isa/flags.ts';
import { c32, c64, call, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import {
  CR0_EM,
  CR0_MP,
  CR0_PE,
  CR0_TS,
  CR4_OSXSAVE,
  CR4_PVI,
  CR4_TSD,
  CR4_UMIP,
  CR4_VME,
  control,
  hasBits,
  ioplOf,
  isVirtual,
} from './control-bits.ts';
import { faulted } from './faults.ts';
import { Stack } from './stack.ts';
import { EXIT, RAX, RBX, RCX, RDX, S, SHADOW, VECTOR } from './state.ts';
import { ifAsVif, refusesFlags, virtualized } from './virtual-8086.ts';
import { XSTATE } from './xstate.ts';

const isUser = (x: Context): I32 => i32.ne(i32.load(x.cpu, S.cpl), c32(0));
const ecx = (x: Context): I32 => i32.wrap(x.gpr(RCX));
const pair = (x: Context): I64 => i64.or(i64.shl(x.gpr(RDX), c64(32)), x.gprLow(RAX, 4));

/** EDX:EAX = value. */
function setPair(x: Context, value: I64): void {
  const kept = x.f.let(value);
  x.setGpr(RAX, 4, kept);
  x.setGpr(RDX, 4, i64.shr_u(kept, c64(32)));
}

const generalProtection = (x: Context, when: I32): void =>
  x.raise(VECTOR.GP, { code: c32(0), when });

function movFromControl(x: Context): void {
  const { control: registers } = x.runtime.system;
  const value = x.f.let(call(registers.read, x.cpu, x.registerNumber(1)));
  x.faultIf(faulted(x.cpu));
  x.write(0, value);
}

function movToControl(x: Context): void {
  const { control: registers } = x.runtime.system;
  x.attempt(registers.write, x.cpu, x.registerNumber(0), x.read(1));
  x.serialize();
}

function movFromDebug(x: Context): void {
  const value = x.f.let(call(x.runtime.system.debug.read, x.cpu, x.registerNumber(1)));
  x.faultIf(faulted(x.cpu));
  x.write(0, value);
}

function movToDebug(x: Context): void {
  x.attempt(x.runtime.system.debug.write, x.cpu, x.registerNumber(0), x.read(1));
  x.resyncNext();
}

function writeCr0(x: Context, value: I64): void {
  x.attempt(x.runtime.system.control.writeCr0, x.cpu, value);
  x.serialize();
}

/** LMSW loads PE, MP, EM and TS, and cannot clear PE. */
function lmsw(x: Context): void {
  const bits = CR0_PE | CR0_MP | CR0_EM | CR0_TS;
  const loaded = i64.and(x.read(0), c64(bits));
  const kept = i64.and(i64.load(x.cpu, S.cr0), c64(~(bits & ~CR0_PE)));
  writeCr0(x, i64.or(kept, loaded));
}

function smsw(x: Context): void {
  const umip = hasBits(control(x.cpu, S.cr4), CR4_UMIP);
  generalProtection(x, i32.and(isUser(x), umip));
  x.write(0, i64.load(x.cpu, S.cr0));
}

const clts: Semantic = (x) => writeCr0(x, i64.and(i64.load(x.cpu, S.cr0), c64(~CR0_TS)));

function rdmsr(x: Context): void {
  const value = x.f.let(call(x.runtime.system.msrs.read, x.cpu, ecx(x)));
  x.faultIf(faulted(x.cpu));
  setPair(x, value);
}

function wrmsr(x: Context): void {
  x.attempt(x.runtime.system.msrs.write, x.cpu, ecx(x), pair(x));
  x.serialize();
}

function rdtsc(x: Context): void {
  const disabled = hasBits(control(x.cpu, S.cr4), CR4_TSD);
  generalProtection(x, i32.and(isUser(x), disabled));
  setPair(x, call(x.runtime.system.msrs.tsc, x.cpu));
}

function rdtscp(x: Context): void {
  rdtsc(x);
  x.setGpr(RCX, 4, i64.load(x.cpu, S.tscAux));
}

function cpuid(x: Context): void {
  const { f, cpu } = x;
  f.call(x.runtime.host.cpuid, cpu);
  for (const [i, register] of [RAX, RBX, RCX, RDX].entries()) {
    x.setGpr(register, 4, i64.load32_u(cpu, S.scratch + 4 * i));
  }
}

/** RDRAND and RDSEED always succeed: CF set, the other status flags clear. */
function random(x: Context): void {
  const { f } = x;
  const bits = (): I64 => i64.extend_u(call(x.runtime.host.random));
  const low = f.let(bits());
  const value = x.opsize === 8 ? i64.or(low, i64.shl(bits(), c64(32))) : low;
  x.write(0, f.let(value));
  x.flags.unpack(c32(CF));
}

/** #UD unless CR4.OSXSAVE is set. */
function checkOsxsave(x: Context): void {
  const enabled = hasBits(control(x.cpu, S.cr4), CR4_OSXSAVE);
  x.raise(VECTOR.UD, { when: i32.eqz(enabled) });
}

function xgetbv(x: Context): void {
  checkOsxsave(x);
  // 0 is XCR0, 1 what of it is in use.
  generalProtection(x, i32.gt_u(ecx(x), c32(1)));
  const value = x.f.let(i64.load(x.cpu, S.xcr0));
  x.f.if(i32.wrap(x.gprLow(RCX, 4)), () => {
    const used = call(x.runtime.x87.inUse, x.cpu, c32(x.wide ? 16 : 8));
    x.f.set(value, i64.and(value, i64.extend_u(used)));
  });
  setPair(x, value);
}

/**
 * XCR0: the x87 bit must be set, and that of SSE if AVX is; on a processor without AVX it is not.
 */
function xsetbv(x: Context): void {
  checkOsxsave(x);
  const value = x.f.let(pair(x));
  const unknown = i64.and(value, i64.xor(i64.load(x.cpu, S.xcr0Mask), c64(-1)));
  const lacksX87 = i64.eqz(i64.and(value, c64(XSTATE.x87)));
  const vectors = i64.and(value, c64(XSTATE.sse | XSTATE.avx));
  const bad = i32.or(i64.ne(unknown, c64(0)), i32.or(lacksX87, i64.eq(vectors, c64(XSTATE.avx))));
  generalProtection(x, i32.or(i32.ne(ecx(x), c32(0)), bad));
  x.f.store64(x.cpu, value, S.xcr0);
  x.f.call(x.runtime.system.updateModes, x.cpu);
  x.serialize();
}

function invlpg(x: Context): void {
  x.f.call(x.runtime.memory.flushPage, x.cpu, x.linearAddress(1, false));
  x.serialize();
}

/** CLFLUSH and its like are loads as far as faults go. */
const flushLine: Semantic = (x) => x.f.drop(x.load(1, x.linearAddress(1, false)));

/**
 * Emits `own` for programs that may change IF: CPL <= IOPL, as always in real-address mode. Others
 * get #GP(0), or, under CR4.VME in virtual-8086 mode and CR4.PVI in ring 3 elsewhere, `virtual`,
 * which works on VIF.
 */
function onInterruptFlag(x: Context, own: () => void, virtual: () => void): void {
  const { f, cpu } = x;
  const cpl = f.let(i32.load(cpu, S.cpl));
  f.if(
    i32.gt_u(cpl, ioplOf(cpu)),
    () => {
      const cr4 = f.let(control(cpu, S.cr4));
      const extended = select(isVirtual(cpu), hasBits(cr4, CR4_VME), hasBits(cr4, CR4_PVI));
      generalProtection(x, i32.eqz(i32.and(extended, i32.eq(cpl, c32(3)))));
      virtual();
    },
    own,
  );
}

const setFlags = (x: Context, flags: I32): void => x.f.store32(x.cpu, flags, S.eflags);

function cli(x: Context): void {
  const { cpu } = x;
  onInterruptFlag(
    x,
    () => setFlags(x, i32.and(i32.load(cpu, S.eflags), c32(~IF))),
    () => setFlags(x, i32.and(i32.load(cpu, S.eflags), c32(~VIF))),
  );
  x.goOn();
}

/** STI holds interrupts off for one more instruction, if they were off. */
function sti(x: Context): void {
  const { f, cpu } = x;
  const flags = f.let(i32.load(cpu, S.eflags));
  onInterruptFlag(
    x,
    () => {
      setFlags(x, i32.or(flags, c32(IF)));
      f.if(i32.eqz(i32.and(flags, c32(IF))), () => x.hold(SHADOW.interrupts));
    },
    () => {
      generalProtection(x, hasBits(flags, VIP));
      setFlags(x, i32.or(flags, c32(VIF)));
    },
  );
  x.goOn();
}

/** CLAC and STAC: ring 0 only, else #UD. */
const setAc =
  (set: boolean): Semantic =>
  (x) => {
    const { f, cpu } = x;
    x.raise(VECTOR.UD, { when: isUser(x) });
    const others = i32.and(i32.load(cpu, S.eflags), c32(~AC));
    f.store32(cpu, set ? i32.or(others, c32(AC)) : others, S.eflags);
    f.call(x.runtime.memory.selectTlb, cpu);
    x.goOn();
  };

/** 1 in virtual-8086 mode below IOPL 3, whose flags are the monitor's business. */
const isMonitored = (cpu: I32): I32 => i32.and(isVirtual(cpu), i32.ne(ioplOf(cpu), c32(3)));

/** There PUSHF and POPF are #GP(0), or, of 16 bits and under CR4.VME, work on VIF. */
function checkMonitored(x: Context): void {
  const extended = hasBits(control(x.cpu, S.cr4), CR4_VME);
  generalProtection(x, x.opsize === 2 ? i32.eqz(extended) : c32(1));
}

function pushf(x: Context): void {
  const { f, cpu } = x;
  const flags = f.let(call(x.runtime.system.modes.packFlags, cpu));
  if (!x.wide) {
    f.if(isMonitored(cpu), () => {
      checkMonitored(x);
      f.set(flags, virtualized(flags));
    });
  }
  const stack = new Stack(x);
  stack.push(x.opsize, i64.extend_u(i32.and(flags, c32(~(VM | RF)))));
  stack.commit();
}

function popf(x: Context): void {
  const { f, cpu } = x;
  const { restoreFlags } = x.runtime.system.back;
  if (!x.wide) f.if(isMonitored(cpu), () => checkMonitored(x));
  const stack = new Stack(x);
  const flags = f.let(i32.and(i32.wrap(stack.pop(x.opsize)), c32(~RF)));
  const more = f.local('i32');
  if (!x.wide && x.opsize === 2) {
    f.if(isMonitored(cpu), () => {
      generalProtection(x, refusesFlags(cpu, flags));
      f.set(flags, ifAsVif(flags));
      f.set(more, c32(VIF));
    });
  }
  stack.commit();
  f.call(restoreFlags, cpu, flags, c32(x.opsize), i32.load(cpu, S.cpl), more);
  x.resyncNext();
}

const SAHF_FLAGS = SF | ZF | AF | PF | CF;

/** AH = the low byte of RFLAGS, whose bit 1 is one. */
function lahf(x: Context): void {
  const flags = i32.or(i32.and(x.flags.pack(), c32(SAHF_FLAGS)), c32(2));
  const ah = i64.shl(i64.extend_u(flags), c64(8));
  x.setGpr(RAX, 2, i64.or(ah, x.gprLow(RAX, 1)));
}

function sahf(x: Context): void {
  const ah = i32.and(i32.wrap(i64.shr_u(x.gpr(RAX), c64(8))), c32(SAHF_FLAGS));
  x.flags.unpack(x.f.let(i32.or(i32.and(x.flags.pack(), c32(OF)), ah)));
}

const nothing: Semantic = () => {};
const HINTS =
  `prefetch prefetchw prefetchwt1 prefetchnta prefetcht0 prefetcht1 prefetcht2 sfence lfence
  mfence`.split(/\s+/);

/** Semantics of system registers and flags, by mnemonic or row name. */
export const controlSemantics: SemanticTable = {
  ...Object.fromEntries(HINTS.map((mnemonic) => [mnemonic, nothing])),
  'mov r32, creg': movFromControl,
  'mov r64, creg': movFromControl,
  'mov creg, r32': movToControl,
  'mov creg, r64': movToControl,
  'mov r32, dreg': movFromDebug,
  'mov r64, dreg': movFromDebug,
  'mov dreg, r32': movToDebug,
  'mov dreg, r64': movToDebug,
  lmsw,
  smsw,
  clts,
  rdmsr,
  wrmsr,
  rdtsc,
  rdtscp,
  rdpmc: (x) => x.raise(VECTOR.GP, { code: c32(0) }),
  cpuid,
  rdrand: random,
  rdseed: random,
  xgetbv,
  xsetbv,
  invlpg,
  invd: (x) => x.serialize(),
  wbinvd: (x) => x.serialize(),
  clflush: flushLine,
  clflushopt: flushLine,
  clwb: flushLine,
  hlt: (x) => x.exitAfter(EXIT.hlt),
  cli,
  sti,
  clac: setAc(false),
  stac: setAc(true),
  pushf,
  popf,
  lahf,
  sahf,
};
