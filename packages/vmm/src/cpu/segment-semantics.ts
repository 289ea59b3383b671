// Semantics of segment registers and descriptor tables: MOV, POP and LDS, LLDT to VERW, ARPL, SGDT
// to LIDT, SWAPGS and the FS and GS bases. SDM vol. 2.

import { ZF } from '../isa/flags.ts';
import { c32, c64, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { Context, Semantic, SemanticTable, Size } from './context.ts';
import { CR4_FSGSBASE, CR4_UMIP, control, hasBits, isCanonical } from './control-bits.ts';
import { descriptorLimit, rplOf } from './descriptor.ts';
import { Stack } from './stack.ts';
import { CS, FS, GS, LDTR, S, SHADOW, SS, segmentBase, segmentCache, TR, VECTOR } from './state.ts';
import { larTypes, lslTypes } from './system-segments.ts';

const selectorOf = (x: Context, i: number): I32 =>
  x.f.let(i32.and(i32.wrap(x.read(i)), c32(0xffff)));

/** MOV to a segment register. CS, and registers that do not exist, are #UD. */
function movToSegment(x: Context): void {
  const { f, cpu } = x;
  const segment = f.let(x.registerNumber(0));
  const wrong = i32.or(i32.eq(segment, c32(CS)), i32.gt_u(segment, c32(GS)));
  x.raise(VECTOR.UD, { when: wrong });
  const selector = selectorOf(x, 1);
  x.attempt(x.runtime.system.segments.load, cpu, segment, selector);
  f.if(i32.eq(segment, c32(SS)), () => x.hold(SHADOW.all));
  x.goOn();
}

function movFromSegment(x: Context): void {
  const segment = x.f.let(x.registerNumber(1));
  x.raise(VECTOR.UD, { when: i32.gt_u(segment, c32(GS)) });
  const cache = i32.add(x.cpu, i32.shl(segment, c32(4)));
  x.write(0, x.f.let(i64.load16_u(cache, S.segment)));
}

function popSegment(x: Context): void {
  const { f, cpu } = x;
  const stack = new Stack(x);
  const selector = f.let(i32.and(i32.wrap(stack.popSelector(x.opsize)), c32(0xffff)));
  const segment = x.registerNumber(0);
  x.attempt(x.runtime.system.segments.load, cpu, segment, selector);
  stack.commit();
  if (x.row.operands[0].type === 'ss') x.hold(SHADOW.all);
  x.goOn();
}

/** LDS, LES, LFS, LGS, LSS. */
const loadPointer =
  (segment: number): Semantic =>
  (x) => {
    const { f } = x;
    // Two accesses, each with checks of its own.
    const offset = f.let(x.load(x.opsize, x.linearAddress(x.opsize, false)));
    const behind = x.linearAddress(2, false, c64(x.opsize));
    const selector = f.let(i32.wrap(x.load(2, behind)));
    x.attempt(x.runtime.system.segments.load, x.cpu, c32(segment), selector);
    x.write(0, offset);
    x.serialize();
  };

/** #GP(0) outside ring 0 while CR4.UMIP is set. */
function checkUmip(x: Context): void {
  const { cpu } = x;
  const user = i32.ne(i32.load(cpu, S.cpl), c32(0));
  const umip = hasBits(control(cpu, S.cr4), CR4_UMIP);
  x.raise(VECTOR.GP, { code: c32(0), when: i32.and(user, umip) });
}

/** SLDT, STR. */
const storeSelector =
  (segment: number): Semantic =>
  (x) => {
    checkUmip(x);
    x.write(0, x.f.let(i64.load16_u(x.cpu, segmentCache(segment))));
  };

/** LLDT, LTR. */
const loadSystem =
  (name: 'loadLdt' | 'loadTask'): Semantic =>
  (x) => {
    x.attempt(x.runtime.system.systemSegments[name], x.cpu, selectorOf(x, 0));
    x.serialize();
  };

function setZf(x: Context, zf: I32): void {
  const others = i32.and(x.flags.pack(), c32(~ZF));
  x.flags.unpack(x.f.let(i32.or(others, i32.shl(zf, c32(6)))));
}

const verify =
  (write: 0 | 1): Semantic =>
  (x) => {
    x.attempt(x.runtime.system.systemSegments.verify, x.cpu, selectorOf(x, 0), c32(write));
    setZf(x, i32.load(x.cpu, S.scratch));
  };

/** LAR, LSL: the destination is only written when the descriptor can be seen. */
const inspect =
  (types: (cpu: I32) => I32, result: (descriptor: I64) => I64): Semantic =>
  (x) => {
    const { f, cpu } = x;
    const selector = selectorOf(x, 1);
    x.attempt(x.runtime.system.systemSegments.inspect, cpu, selector, types(cpu));
    const descriptor = f.let(i64.load(cpu, S.scratch));
    const found = f.let(i64.ne(descriptor, c64(0)));
    f.if(found, () => x.write(0, result(descriptor)));
    setZf(x, found);
  };

/** ARPL: raises the RPL of the destination to that of the source; writes only if it does. */
function arpl(x: Context): void {
  const { f } = x;
  const rpl = f.let(rplOf(selectorOf(x, 1)));
  const old = f.let(x.read(0));
  const raised = f.let(i32.lt_u(rplOf(i32.wrap(old)), rpl));
  f.if(raised, () => x.write(0, i64.or(i64.and(old, c64(-4)), i64.extend_u(rpl))));
  setZf(x, raised);
}

const baseSize = (x: Context): Size => (x.wide ? 8 : 4);

/** SGDT, SIDT. */
const storeTable =
  (base: number, limit: number): Semantic =>
  (x) => {
    const { f, cpu } = x;
    checkUmip(x);
    const bytes = 2 + baseSize(x);
    const linear = f.let(x.linearAddress(bytes, true));
    const { probeWrite, store } = x.runtime.memory;
    x.attempt(probeWrite, cpu, linear, c32(bytes));
    // Byte by byte, since processors ask for no alignment here.
    for (let i = 0; i < bytes; i++) {
      const value = i < 2 ? i64.load8_u(cpu, limit + i) : i64.load8_u(cpu, base + i - 2);
      x.attempt(store[1], cpu, i64.add(linear, c64(i)), value);
    }
  };

/** LGDT, LIDT. Outside 64-bit code a 16-bit operand loads 24 bits of base. */
const loadTable =
  (base: number, limit: number): Semantic =>
  (x) => {
    const { f, cpu } = x;
    const linear = f.let(x.linearAddress(2 + baseSize(x), false));
    const size = f.let(i32.wrap(x.load(2, linear)));
    const address = f.let(x.load(baseSize(x), f.let(i64.add(linear, c64(2)))));
    if (x.wide) x.raise(VECTOR.GP, { code: c32(0), when: i32.eqz(isCanonical(address)) });
    else if (x.opsize === 2) f.set(address, i64.and(address, c64(0xffffff)));
    f.store64(cpu, address, base);
    f.store32(cpu, size, limit);
    x.serialize();
  };

function swapgs(x: Context): void {
  const { f, cpu } = x;
  const base = f.let(i64.load(cpu, segmentBase(GS)));
  f.store64(cpu, i64.load(cpu, S.kernelGsBase), segmentBase(GS));
  f.store64(cpu, base, S.kernelGsBase);
  x.goOn();
}

function checkFsgsbase(x: Context): void {
  const enabled = hasBits(control(x.cpu, S.cr4), CR4_FSGSBASE);
  x.raise(VECTOR.UD, { when: i32.eqz(enabled) });
}

const readBase =
  (segment: number): Semantic =>
  (x) => {
    checkFsgsbase(x);
    x.write(0, i64.load(x.cpu, segmentBase(segment)));
  };

const writeBase =
  (segment: number): Semantic =>
  (x) => {
    checkFsgsbase(x);
    const value = x.f.let(x.read(0));
    x.raise(VECTOR.GP, { code: c32(0), when: i32.eqz(isCanonical(value)) });
    x.f.store64(x.cpu, value, segmentBase(segment));
  };

const rights = (descriptor: I64): I64 => i64.and(i64.shr_u(descriptor, c64(32)), c64(0x00ffff00));

const SEGMENT_NAMES = ['es', 'ss', 'ds', 'fs', 'gs'];

/** Semantics of segments and descriptor tables, by mnemonic or row name. */
export const segmentSemantics: SemanticTable = {
  'mov sreg, rm16': movToSegment,
  'mov rv/m16, sreg': movFromSegment,
  ...Object.fromEntries(SEGMENT_NAMES.map((name) => [`pop ${name}`, popSegment])),
  les: loadPointer(0),
  lds: loadPointer(3),
  lss: loadPointer(SS),
  lfs: loadPointer(FS),
  lgs: loadPointer(GS),
  sldt: storeSelector(LDTR),
  str: storeSelector(TR),
  lldt: loadSystem('loadLdt'),
  ltr: loadSystem('loadTask'),
  verr: verify(0),
  verw: verify(1),
  lar: inspect(larTypes, rights),
  lsl: inspect(lslTypes, (descriptor) => i64.extend_u(descriptorLimit(descriptor))),
  arpl,
  sgdt: storeTable(S.gdtrBase, S.gdtrLimit),
  sidt: storeTable(S.idtrBase, S.idtrLimit),
  lgdt: loadTable(S.gdtrBase, S.gdtrLimit),
  lidt: loadTable(S.idtrBase, S.idtrLimit),
  swapgs,
  rdfsbase: readBase(FS),
  rdgsbase: readBase(GS),
  wrfsbase: writeBase(FS),
  wrgsbase: writeBase(GS),
};
