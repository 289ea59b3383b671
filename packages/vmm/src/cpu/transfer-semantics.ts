// Semantics of what changes code segment or privilege: far transfers, software interrupts, system
// calls and their returns; and of instructions that are undefined on this processor.

import { c32, c64, type I32, type I64, i32 } from '../wasm/expr.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
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

const farJump =
  (pointer: typeof farPointer): Semantic =>
  (x) => {
    const { offset, selector } = pointer(x);
    x.attempt(x.runtime.system.far.jump, x.cpu, selector, offset, c32(x.opsize));
    x.resync();
  };

const farCall =
  (pointer: typeof farPointer): Semantic =>
  (x) => {
    const { offset, selector } = pointer(x);
    const { call } = x.runtime.system.far;
    x.attempt(call, x.cpu, selector, offset, c32(x.opsize), x.nextRip());
    x.resync();
  };

function retf(x: Context): void {
  const extra = x.row.operands.length > 0 ? i32.wrap(x.read(0)) : c32(0);
  x.attempt(x.runtime.system.back.ret, x.cpu, c32(x.opsize), extra);
  x.resync();
}

function iret(x: Context): void {
  x.attempt(x.runtime.system.back.iret, x.cpu, c32(x.opsize));
  x.resync();
}

/** Delivers `vector`; the handler returns to the next instruction. */
function interrupt(x: Context, vector: I32, kind: number): void {
  x.f.store64(x.cpu, x.nextRip(), S.eventRip);
  x.attempt(x.runtime.system.interrupt, x.cpu, vector, c32(kind));
  x.resync();
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

function sysenter(x: Context): void {
  x.attempt(x.runtime.system.fast.sysenter, x.cpu);
  x.resync();
}

function sysexit(x: Context): void {
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
  int: (x) => interrupt(x, x.f.let(i32.wrap(x.read(0))), EVENT.software),
  int3: (x) => interrupt(x, c32(VECTOR.BP), EVENT.software),
  int1: (x) => interrupt(x, c32(VECTOR.DB), EVENT.privileged),
  into,
  syscall,
  sysret,
  sysenter,
  sysexit,
};
