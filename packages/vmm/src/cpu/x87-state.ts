// The state of the x87 FPU as a whole: FNINIT, FLDENV, FNSTENV, FRSTOR, FNSAVE (SDM vol. 1, 8.1.10,
// figures 8-9 to 8-12).
//
// As in processors that report FDP_EXCPTN_ONLY and the deprecation of FCS and FDS (CPUID leaf 7),
// the last data pointer and the last opcode are those of the last unmasked exception, and the
// selectors of the last pointers are stored as zero and not loaded. They are kept all the same, for
// the formats of real-address mode, whose pointers are linear addresses. ES and B follow from flags
// and masks, whatever is loaded; the reserved bits of the control word are fixed.

import { VM } from '../isa/flags.ts';
import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { isReal } from './control-bits.ts';
import type { MemoryRuntime } from './runtime.ts';
import { EXP_SPECIAL, ZERO64 } from './softfloat-parts.ts';
import { S } from './state.ts';
import { controlWord, EXCEPTIONS, physical, statusWord, updateSummary } from './x87-stack.ts';

/** Bytes of the environment with 16-bit and with 32-bit operand size, and of a register. */
export const ENVIRONMENT_16 = 14;
export const ENVIRONMENT_32 = 28;
const REGISTER = 10;
/** Bytes of the registers that FNSAVE stores behind the environment. */
export const REGISTERS = 80;

/** The bits of the control word that exist, and the one among them that is always set. */
const FCW_BITS = 0x1f7f;
const FCW_ONE = 0x40;
/** The control word after FNINIT: everything masked, 64 bits, to nearest. */
const FCW_INITIAL = 0x37f;
/** Eleven bits of opcode. */
export const FOP_BITS = 0x7ff;

/** The functions; those with a result return non-zero when they have set a fault. */
export interface X87State {
  /** (cpu): FNINIT. */
  readonly init: Fn<'void'>;
  /** (cpu, value): loads the control word. */
  readonly loadControl: Fn<'void'>;
  /** (cpu, linear, wide): FNSTENV and FLDENV; `wide`: the 32-bit format. */
  readonly storeEnvironment: Fn<'i32'>;
  readonly loadEnvironment: Fn<'i32'>;
  /** (cpu, linear, wide): FNSAVE and FRSTOR. */
  readonly save: Fn<'i32'>;
  readonly restore: Fn<'i32'>;
  /**
   * (cpu, linear rip, opcode): notes the opcode of an unmasked exception; `opcode` is its first
   * byte.
   */
  readonly noteOpcode: Fn<'void'>;
}

/** Loads the control word. */
export function setControl(f: FunctionBuilder, cpu: I32, value: I32): void {
  f.store16(cpu, i32.or(i32.and(value, c32(FCW_BITS)), c32(FCW_ONE)), S.fcw);
}

/** Loaded pointers have no segments, or are linear addresses. */
export function clearSelectors(f: FunctionBuilder, cpu: I32): void {
  f.store16(cpu, c32(0), S.fcs);
  f.store16(cpu, c32(0), S.fds);
}

/** Address of physical register `n`, less S.fpr. */
export const registerPlace = (cpu: I32, n: I32): I32 => i32.add(cpu, i32.shl(n, c32(4)));

/** A loop over 0 to `count` - 1. */
export function times(f: FunctionBuilder, count: I32, body: (i: I32) => void): void {
  const i = f.let(c32(0));
  f.loop((again) => {
    body(i);
    f.set(i, i32.add(i, c32(1)));
    f.br(again, i32.lt_u(i, count));
  });
}

/** (cpu) -> the tag word in two bits a register: valid, zero, special, empty. */
function defineFullTags(m: ModuleBuilder): Fn<'i32'> {
  return m.function('x87FullTags', ['i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const tags = f.let(c32(0));
    times(f, c32(8), (n) => {
      const at = registerPlace(cpu, n);
      const sig = f.let(i64.load(at, S.fpr));
      const exp = f.let(i32.and(i32.load16_u(at, S.fpr + 8), c32(EXP_SPECIAL)));
      const tag = f.let(c32(0));
      const unusual = i32.or(i32.eq(exp, c32(EXP_SPECIAL)), i64.ge_s(sig, ZERO64));
      f.if(i32.or(unusual, i32.eqz(exp)), () => f.set(tag, c32(2)));
      f.if(i32.and(i32.eqz(exp), i64.eqz(sig)), () => f.set(tag, c32(1)));
      const used = i32.and(i32.shr_u(i32.load8_u(cpu, S.ftw), n), c32(1));
      f.if(i32.eqz(used), () => f.set(tag, c32(3)));
      f.set(tags, i32.or(tags, i32.shl(tag, i32.shl(n, c32(1)))));
    });
    f.return(tags);
  });
}

/** (cpu, tags): sets S.ftw by two-bit tags, of which only "empty" counts. */
function defineLoadTags(m: ModuleBuilder): Fn<'void'> {
  return m.function('x87LoadTags', ['i32', 'i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const used = f.let(c32(0));
    times(f, c32(8), (n) => {
      const tag = i32.and(i32.shr_u(f.param(1, 'i32'), i32.shl(n, c32(1))), c32(3));
      f.set(used, i32.or(used, i32.shl(i32.ne(tag, c32(3)), n)));
    });
    f.store8(cpu, used, S.ftw);
  });
}

/** 1 in real-address and virtual-8086 mode, whose formats have linear addresses. */
export const hasLinearPointers = (cpu: I32): I32 =>
  i32.or(isReal(cpu), i32.and(i32.load(cpu, S.eflags), c32(VM)));

const low16 = (value: I32): I32 => i32.and(value, c32(0xffff));
/** Bits 31:16 of an address in bits 27:12, as the formats of real-address mode have them. */
const highAsReal = (value: I32): I32 => i32.shl(i32.shr_u(value, c32(16)), c32(12));
const UNUSED_HIGH = c32(-0x1_0000);

const IMAGE = S.scratch;

/** (cpu, wide): makes the environment in IMAGE. */
function defineMakeEnvironment(m: ModuleBuilder, fullTags: Fn<'i32'>): Fn<'void'> {
  return m.function('x87MakeEnvironment', ['i32', 'i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const tags = f.let(call(fullTags, cpu));
    const fop = f.let(i32.load16_u(cpu, S.fop));
    const real = f.let(hasLinearPointers(cpu));
    const pointer = (offset: number, selector: number): I32 => {
      const base = select(real, i32.shl(i32.load16_u(cpu, selector), c32(4)), c32(0));
      return f.let(i32.add(i32.wrap(i64.load(cpu, offset)), base));
    };
    const fip = pointer(S.fip, S.fcs);
    const fdp = pointer(S.fdp, S.fds);
    const wide = (): void => {
      const word = (value: I32, at: number): void => f.store32(cpu, value, IMAGE + at);
      word(i32.or(controlWord(cpu), UNUSED_HIGH), 0);
      word(i32.or(statusWord(cpu), UNUSED_HIGH), 4);
      word(i32.or(tags, UNUSED_HIGH), 8);
      f.if(
        real,
        () => {
          word(i32.or(low16(fip), UNUSED_HIGH), 12);
          word(i32.or(highAsReal(fip), fop), 16);
          word(i32.or(low16(fdp), UNUSED_HIGH), 20);
          word(highAsReal(fdp), 24);
        },
        () => {
          word(fip, 12);
          word(i32.shl(fop, c32(16)), 16);
          word(fdp, 20);
          word(UNUSED_HIGH, 24);
        },
      );
    };
    const narrow = (): void => {
      const word = (value: I32, at: number): void => f.store16(cpu, value, IMAGE + at);
      word(controlWord(cpu), 0);
      word(statusWord(cpu), 2);
      word(tags, 4);
      word(fip, 6);
      word(select(real, i32.or(highAsReal(fip), fop), c32(0)), 8);
      word(fdp, 10);
      word(select(real, highAsReal(fdp), c32(0)), 12);
    };
    f.if(f.param(1, 'i32'), wide, narrow);
  });
}

/** (cpu, wide): takes over the environment in IMAGE. */
function defineTakeEnvironment(m: ModuleBuilder, loadTags: Fn<'void'>): Fn<'void'> {
  return m.function('x87TakeEnvironment', ['i32', 'i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const wide = f.param(1, 'i32');
    const unit = f.let(i32.shl(c32(2), i32.ne(wide, c32(0))));
    const at = (index: number): I32 => i32.add(cpu, i32.mul(unit, c32(index)));
    const half = (index: number): I32 => i32.load16_u(at(index), IMAGE);
    const real = f.let(hasLinearPointers(cpu));
    setControl(f, cpu, half(0));
    f.store16(cpu, half(1), S.fsw);
    f.call(loadTags, cpu, half(2));
    const pointer = (index: number): I64 => {
      const value = f.let(half(index));
      const above = f.let(half(index + 1));
      f.if(wide, () => {
        f.if(
          real,
          () => f.set(above, i32.load(at(index + 1), IMAGE)),
          () => f.set(value, i32.load(at(index), IMAGE)),
        );
      });
      f.if(real, () => {
        const high = i32.and(i32.shl(above, c32(4)), UNUSED_HIGH);
        f.set(value, i32.or(value, high));
      });
      return i64.extend_u(value);
    };
    const fip = f.let(pointer(3));
    const fdp = f.let(pointer(5));
    const opcode = f.let(half(4));
    f.if(i32.and(wide, i32.eqz(real)), () => f.set(opcode, i32.load16_u(at(4), IMAGE + 2)));
    f.if(i32.or(wide, real), () => f.store16(cpu, i32.and(opcode, c32(FOP_BITS)), S.fop));
    f.store64(cpu, fip, S.fip);
    f.store64(cpu, fdp, S.fdp);
    clearSelectors(f, cpu);
    updateSummary(f, cpu);
  });
}

/** The copying of images to and from guest memory. */
interface Copies {
  /** (cpu, linear, bytes): IMAGE to memory; nothing is written when it would fault. */
  readonly out: Fn<'i32'>;
  /** (cpu, linear, bytes): memory to IMAGE. */
  readonly into: Fn<'i32'>;
}

function defineCopies(m: ModuleBuilder, memory: MemoryRuntime): Copies {
  const out = m.function('x87CopyOut', ['i32', 'i64', 'i32'], 'i32', (f) => {
    const [cpu, linear, bytes] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    f.if(call(memory.probeWrite, cpu, linear, bytes), () => f.return(c32(1)));
    times(f, i32.shr_u(bytes, c32(1)), (i) => {
      const offset = f.let(i32.shl(i, c32(1)));
      const value = i64.load16_u(i32.add(cpu, offset), IMAGE);
      const to = i64.add(linear, i64.extend_u(offset));
      f.if(call(memory.store[2], cpu, to, value), () => f.return(c32(1)));
    });
    f.return(c32(0));
  });
  const into = m.function('x87CopyInto', ['i32', 'i64', 'i32'], 'i32', (f) => {
    const [cpu, linear, bytes] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    times(f, i32.shr_u(bytes, c32(1)), (i) => {
      const offset = f.let(i32.shl(i, c32(1)));
      const value = f.let(call(memory.load[2], cpu, i64.add(linear, i64.extend_u(offset))));
      f.if(isFaulting(cpu), () => f.return(c32(1)));
      f.storeLow(2, i32.add(cpu, offset), value, IMAGE);
    });
    f.return(c32(0));
  });
  return { out, into };
}

/** 1 when a memory function has set a fault. */
export const isFaulting = (cpu: I32): I32 => i32.ne(i32.load(cpu, S.faultVector), c32(-1));

/** (cpu) */
function defineInit(m: ModuleBuilder): Fn<'void'> {
  return m.function('x87Init', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    f.store16(cpu, c32(FCW_INITIAL), S.fcw);
    f.store16(cpu, c32(0), S.fsw);
    f.store8(cpu, c32(0), S.ftw);
    f.store16(cpu, c32(0), S.fop);
    f.store64(cpu, ZERO64, S.fip);
    f.store64(cpu, ZERO64, S.fdp);
    clearSelectors(f, cpu);
  });
}

const environmentBytes = (wide: I32): I32 => select(wide, c32(ENVIRONMENT_32), c32(ENVIRONMENT_16));
const ENVIRONMENT_PARAMS = ['i32', 'i64', 'i32'] as const;

type Parameters = [cpu: I32, linear: I64, wide: I32];
const parameters = (f: FunctionBuilder): Parameters => [
  f.param(0, 'i32'),
  f.param(1, 'i64'),
  f.param(2, 'i32'),
];

function defineEnvironment(
  m: ModuleBuilder,
  copies: Copies,
  make: Fn<'void'>,
  take: Fn<'void'>,
): Pick<X87State, 'storeEnvironment' | 'loadEnvironment'> {
  const storeEnvironment = m.function('x87StoreEnvironment', ENVIRONMENT_PARAMS, 'i32', (f) => {
    const [cpu, linear, wide] = parameters(f);
    f.call(make, cpu, wide);
    f.if(call(copies.out, cpu, linear, environmentBytes(wide)), () => f.return(c32(1)));
    f.store16(cpu, i32.or(controlWord(cpu), c32(EXCEPTIONS)), S.fcw);
    updateSummary(f, cpu);
    f.return(c32(0));
  });
  const loadEnvironment = m.function('x87LoadEnvironment', ENVIRONMENT_PARAMS, 'i32', (f) => {
    const [cpu, linear, wide] = parameters(f);
    f.if(call(copies.into, cpu, linear, environmentBytes(wide)), () => f.return(c32(1)));
    f.call(take, cpu, wide);
    f.return(c32(0));
  });
  return { storeEnvironment, loadEnvironment };
}

function defineSave(
  m: ModuleBuilder,
  copies: Copies,
  make: Fn<'void'>,
  take: Fn<'void'>,
  init: Fn<'void'>,
): Pick<X87State, 'save' | 'restore'> {
  /** Calls `body` for each ST(i): its register's place, and its place behind the environment. */
  const forEach = (f: FunctionBuilder, body: (register: I32, image: I32) => void): void => {
    const [cpu, , wide] = parameters(f);
    const start = f.let(i32.add(cpu, environmentBytes(wide)));
    times(f, c32(8), (i) => {
      const register = f.let(registerPlace(cpu, physical(cpu, i)));
      body(register, f.let(i32.add(start, i32.mul(i, c32(REGISTER)))));
    });
  };
  const bytes = (wide: I32): I32 => i32.add(environmentBytes(wide), c32(REGISTERS));
  const save = m.function('x87Save', ENVIRONMENT_PARAMS, 'i32', (f) => {
    const [cpu, linear, wide] = parameters(f);
    f.call(make, cpu, wide);
    forEach(f, (register, image) => {
      f.store64(image, i64.load(register, S.fpr), IMAGE);
      f.store16(image, i32.load16_u(register, S.fpr + 8), IMAGE + 8);
    });
    f.if(call(copies.out, cpu, linear, bytes(wide)), () => f.return(c32(1)));
    f.call(init, cpu);
    f.return(c32(0));
  });
  const restore = m.function('x87Restore', ENVIRONMENT_PARAMS, 'i32', (f) => {
    const [cpu, linear, wide] = parameters(f);
    f.if(call(copies.into, cpu, linear, bytes(wide)), () => f.return(c32(1)));
    f.call(take, cpu, wide);
    forEach(f, (register, image) => {
      f.store64(register, i64.load(image, IMAGE), S.fpr);
      f.store16(register, i32.load16_u(image, IMAGE + 8), S.fpr + 8);
    });
    f.return(c32(0));
  });
  return { save, restore };
}

/**
 * Finds the opcode behind the prefixes, for S.fop: the low three bits of the first byte, and ModRM.
 * The instruction has just been fetched; should it not be readable all the same, nothing is noted.
 */
function defineNoteOpcode(m: ModuleBuilder, memory: MemoryRuntime): Fn<'void'> {
  return m.function('x87NoteOpcode', ['i32', 'i64', 'i32'], 'void', (f) => {
    const [cpu, at] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const opcode = f.param(2, 'i32');
    const byte = f.local('i32');
    const fetch = (): void => {
      f.set(byte, i32.wrap(call(memory.load[1], cpu, at)));
      f.set(at, i64.add(at, c64(1)));
      f.if(isFaulting(cpu), () => {
        f.store32(cpu, c32(-1), S.faultVector);
        f.return();
      });
    };
    f.loop((again) => {
      fetch();
      f.br(again, i32.ne(byte, opcode));
    });
    fetch();
    f.store16(cpu, i32.or(i32.shl(i32.and(opcode, c32(7)), c32(8)), byte), S.fop);
  });
}

/** Defines the functions in `m`. */
export function defineX87State(m: ModuleBuilder, memory: MemoryRuntime): X87State {
  const copies = defineCopies(m, memory);
  const make = defineMakeEnvironment(m, defineFullTags(m));
  const take = defineTakeEnvironment(m, defineLoadTags(m));
  const init = defineInit(m);
  return {
    init,
    loadControl: m.function('x87LoadControl', ['i32', 'i32'], 'void', (f) => {
      setControl(f, f.param(0, 'i32'), f.param(1, 'i32'));
      updateSummary(f, f.param(0, 'i32'));
    }),
    ...defineEnvironment(m, copies, make, take),
    ...defineSave(m, copies, make, take, init),
    noteOpcode: defineNoteOpcode(m, memory),
  };
}
