// Semantics of what changes code segment or privilege: far transfers, software interrupts, system
// calls and their returns; and of instructions that are undefined on this processor.

import { c32, c64, type I32, type I64, i32 } from '../wasm/expr.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { isReal } from './control-bits.ts';
import { faulted } from './faults.ts';
import { EVENT, S, VECTOR } from './state.ts';

/** A far pointer in memory: the offset, then the selector. */
function farPointer(x: Context): { offset: I64; selector: I32 } {
  const { f } = x;
  // Two accesses, each with checks of its own.
  const offset = f.let(x.load(x.opsize, x.linearAddress(x.opsize, false)));
  const selector = x.load(2, x.linearAddress(2, false, c64(x.opsize)));
  return { offset, selector: f.let(i32.wrap(selector)) };
}

/** A far pointer in the instruction. */
const immediatePointer = (x: Context): { offset: I64; selector: I32 } => ({
  offset: x.read(0),
  selector: x.imm2(),
});

/** Goes on at S.rip, or raises there what a task switch has found wrong with the new task. */
function arrive(x: Context): void {
  if (!x.wide) x.f.if(faulted(x.cpu), () => x.f.returnCall(x.runtime.flow.raise, x.cpu));
  x.resync();
}

const farJump =
  (pointer: typeof farPointer): Semantic =>
  (x) => {
    const { offset, selector } = pointer(x);
    const { jump } = x.runtime.system.far;
    x.attempt(jump, x.cpu, selector, offset, c32(x.opsize), x.nextRip());
    arrive(x);
  };

const farCall =
  (pointer: typeof farPointer): Semantic =>
  (x) => {
    const { offset, selector } = pointer(x);
    const { call } = x.runtime.system.far;
    x.attempt(call, x.cpu, selector, offset, c32(x.opsize), x.nextRip());
    arrive(x);
  };

function retf(x: Context): void {
  const extra = x.row.operands.length > 0 ? i32.wrap(x.read(0)) : c32(0);
  x.attempt(x.runtime.system.back.ret, x.cpu, c32(x.opsize), extra);
  x.resync();
}

function iret(x: Context): void {
  if (!x.wide) x.f.store64(x.cpu, x.nextRip(), S.eventRip);
  x.attempt(x.runtime.system.back.iret, x.cpu, c32(x.opsize));
  arrive(x);
}

/** Delivers `vector`; the handler returns to the next instruction. */
function interrupt(x: Context, vector: I32, kind: number): void {
  x.f.store64(x.cpu, x.nextRip(), S.eventRip);
  x.attempt(x.runtime.system.interrupt, x.cpu, vector, c32(kind));
  arrive(x);
}

function interruptN(x: Context): void {
  x.f.store64(x.cpu, x.nextRip(), S.eventRip);
  x.attempt(x.runtime.system.interruptN, x.cpu, x.f.let(i32.wrap(x.read(0))));
  arrive(x);
}

function into(x: Context): void {
  x.f.if(x.flags.of(), () => interrupt(x, c32(VECTOR.OF), EVENT.software));
  x.serialize();
}

function syscall(x: Context): void {
  x.attempt(x.runtime.system.fast.syscall, x.cpu, x.nextRip());
  x.resync();
}

function sysret(x: Context): void {
  x.attempt(x.runtime.system.fast.sysret, x.cpu, c32(x.opsize));
  x.resync();
}

/** SYSENTER and SYSEXIT are not recognized in real-address mode, which is #GP here. */
function checkProtected(x: Context): void {
  if (!x.wide) x.raise(VECTOR.GP, { code: c32(0), when: isReal(x.cpu) });
}

function sysenter(x: Context): void {
  checkProtected(x);
  x.attempt(x.runtime.system.fast.sysenter, x.cpu);
  x.resync();
}

function sysexit(x: Context): void {
  checkProtected(x);
  x.attempt(x.runtime.system.fast.sysexit, x.cpu, c32(x.opsize));
  x.resync();
}

const undefinedInstruction: Semantic = (x) => x.raise(VECTOR.UD);

/** Instructions that the decoder knows and this processor does not have. */
const UNDEFINED =
  `ud0 ud1 ud2 rsm monitor mwait invpcid vmcall vmlaunch vmresume vmxoff vmfunc vmptrld
  vmclear vmxon vmptrst vmread vmwrite invept invvpid vmrun vmmcall vmload vmsave stgi clgi skinit
  invlpga`.split(/\s+/);

/** Semantics of far transfers, interrupts and system calls, by mnemonic or row name. */
export const transferSemantics: SemanticTable = {
  ...Object.fromEntries(UNDEFINED.map((mnemonic) => [mnemonic, undefinedInstruction])),
  'jmp far': farJump(immediatePointer),
  'jmp mfar': farJump(farPointer),
  'call far': farCall(immediatePointer),
  'call mfar': farCall(farPointer),
  retf,
  iret,
  int: interruptN,
  int3: (x) => interrupt(x, c32(VECTOR.BP), EVENT.software),
  int1: (x) => interrupt(x, c32(VECTOR.DB), EVENT.privileged),
  into,
  syscall,
  sysret,
  sysenter,
  sysexit,
};
