// What a lockstep program may do beside computing: instructions that work on the processor's system
// state, long strings, tables of addresses, returns to where no call came from, other mappings of
// the program's own pages. All of it ends by itself, and leaves R12 to R15 and RSP as they are.

import { CR0_TS } from '../../src/cpu/control-bits.ts';
import type { CodeWriter } from './code-writer.ts';
import {
  ALIAS_STRIDE,
  BIG,
  BIG_BYTES,
  CODE,
  CODE_PAGES,
  COPY,
  DATA,
  FS_BASE,
  FX_AREA,
  PAGE,
  TABLE_WINDOW,
  USER,
} from './layout.ts';

/** The program that extras become part of. */
export interface ExtraHost extends CodeWriter {
  /** How its pages get other mappings: aliases are jumped to, or pages exchanged for copies. */
  readonly mapping: 'aliases' | 'copies';
  /** A random block that may be jumped to at a price. */
  anyBlock(): number;
  /** A random block that ends in RET. */
  anyFunction(): number;
  /** Pays for a jump. */
  pay(): void;
  /** A vector, MMX or x87 instruction. */
  unitInstruction(): void;
}

type Extra = (h: ExtraHost) => void;

/** RFLAGS: those of status, DF, IF, AC, NT, ID; and TF. */
const POPPED = [0x8d5, 0x400, 0x200, 0x200, 0x4_0000, 0x4000, 0x20_0000];
const TF = 0x100;
/** Legacy registers that may be written freely; not RSP. */
const LOW_REGISTERS = [0, 1, 2, 3, 5, 6, 7];
/** CPUID leaves that do not depend on time. */
const LEAVES = [0, 1, 2, 4, 7, 0xd, 0x4000_0000, 0x8000_0000, 0x8000_0001, 0x8000_0008];
const DATA_SELECTOR = 0x10;

/** OP [address] with ModRM digit `reg`, an absolute address of 32 bits. */
function atAddress(h: ExtraHost, opcode: readonly number[], reg: number, address: number): void {
  h.bytes(...opcode, 0x04 | (reg << 3), 0x25);
  h.word(address);
}

/** mov r32, value */
function load(h: ExtraHost, register: number, value: number): void {
  h.bytes(0xb8 + register);
  h.word(value);
}

const interruptFlag: Extra = (h) => h.bytes(h.random.percent(70) ? 0xfb : 0xfa);

const popFlags: Extra = (h) => {
  const { random } = h;
  let flags = 2;
  for (const bits of POPPED) if (random.percent(40)) flags |= bits & random.next();
  if (random.percent(3)) flags |= TF;
  if (random.percent(25)) {
    h.bytes(0x66, 0x68, flags & 0xff, (flags >> 8) & 0xff, 0x66, 0x9d); // push imm16; popfw
  } else {
    h.bytes(0x68); // push imm32; popfq
    h.word(flags);
    h.bytes(0x9d);
  }
};

const pushFlags: Extra = (h) => {
  // pushfq; pop reg: the trap flag is never set when this is reached twice.
  h.bytes(0x9c, 0x58 + h.random.pick(LOW_REGISTERS));
};

/** Reads or writes a page of user mode's. */
function touchUser(h: ExtraHost): void {
  const { random } = h;
  const address = USER + 8 * random.below(16);
  const opcode = random.pick([[0x8b], [0x89], [0x48, 0x01], [0xf0, 0x48, 0x0f, 0xc1]]);
  atAddress(h, opcode, random.pick(LOW_REGISTERS), address);
}

const STAC = [0x0f, 0x01, 0xcb];
const CLAC = [0x0f, 0x01, 0xca];

/** With the user's pages open, closed, or as they are, which is how they stay. */
const userAccess: Extra = (h) => {
  const { random } = h;
  if (random.percent(50)) h.bytes(...(random.percent(80) ? STAC : CLAC));
  touchUser(h);
  if (random.percent(30)) h.bytes(...CLAC);
  if (random.percent(30)) touchUser(h);
};

const cpuid: Extra = (h) => {
  load(h, 0, h.random.pick(LEAVES));
  load(h, 1, h.random.below(3));
  h.bytes(0x0f, 0xa2);
};

const fpuImage: Extra = (h) => {
  const { random } = h;
  const wide = random.percent(50) ? [0x48] : [];
  const address = FX_AREA + 512 * random.below(3) + (random.percent(4) ? 8 : 0);
  if (random.percent(80)) atAddress(h, [...wide, 0x0f, 0xae], 0, address); // fxsave
  if (random.percent(50)) h.unitInstruction();
  if (random.percent(60)) atAddress(h, [...wide, 0x0f, 0xae], 1, address); // fxrstor
};

const readControl: Extra = (h) => {
  const { random } = h;
  const register = random.pick(LOW_REGISTERS);
  if (random.percent(20)) h.bytes(0x0f, 0x21, 0xc0 | (random.pick([6, 7]) << 3) | register);
  else h.bytes(0x0f, 0x20, 0xc0 | (random.pick([0, 2, 3, 4]) << 3) | register);
};

/** mov rax, cr; mov cr, rax: drops translations. */
const writeControl: Extra = (h) => {
  const control = h.random.pick([0, 3, 3, 4]) << 3;
  h.bytes(0x0f, 0x20, 0xc0 | control, 0x0f, 0x22, 0xc0 | control);
};

/** With CR0.TS set, the units trap. */
const taskSwitched: Extra = (h) => {
  // mov rax, cr0; or al, TS; mov cr0, rax
  h.bytes(0x0f, 0x20, 0xc0, 0x0c, CR0_TS, 0x0f, 0x22, 0xc0);
  if (h.random.percent(60)) h.unitInstruction();
  if (h.random.percent(90)) h.bytes(0x0f, 0x06); // clts
};

const segments: Extra = (h) => {
  const { random } = h;
  if (random.percent(40)) {
    load(h, 0, FS_BASE);
    h.bytes(0xf3, 0x48, 0x0f, 0xae, 0xd0); // wrfsbase rax
    h.bytes(0xf3, 0x48, 0x0f, 0xae, 0xc0 | random.pick(LOW_REGISTERS)); // rdfsbase
    return;
  }
  load(h, 0, random.pick([DATA_SELECTOR, DATA_SELECTOR, 0]));
  const segment = random.pick([0, 2, 3]) << 3;
  h.bytes(0x8e, 0xc0 | segment); // mov es, ss or ds, eax
  h.bytes(0x8c, 0xc0 | segment | random.pick(LOW_REGISTERS));
};

/** There is no XSAVE: #UD. */
const xgetbv: Extra = (h) => {
  if (h.random.percent(15)) h.bytes(0x0f, 0x01, 0xd0);
};

const units: Extra = (h) => {
  const count = h.random.between(3, 8);
  for (let i = 0; i < count; i++) h.unitInstruction();
  if (h.random.percent(30)) h.bytes(0x0f, 0x77); // emms
};

/** More rounds than a repeated instruction does at once. */
const longString: Extra = (h) => {
  const { random } = h;
  if (random.percent(80)) h.bytes(0xfc); // cld
  const wide = random.pick([[], [], [0x66], [0x48]]);
  const bytes = wide.length === 0 ? 1 : wide[0] === 0x66 ? 2 : 8;
  const countMax = Math.min(9000, Math.floor(BIG_BYTES / 2 / bytes));
  const count = random.between(Math.min(4000, countMax - 1), countMax);
  load(h, 7, BIG + random.below(PAGE));
  load(h, 6, random.percent(50) ? BIG + random.below(32) : BIG + BIG_BYTES / 2);
  load(h, 1, count);
  load(h, 0, 0);
  const opcode = bytes === 1 ? 0 : 1;
  h.bytes(0xf3, ...wide, 0xaa + opcode); // rep stos
  load(h, 7, BIG + random.below(PAGE));
  load(h, 1, count);
  const prefix = random.pick([0xf3, 0xf3, 0xf2]);
  h.bytes(prefix, ...wide, random.pick([0xa4, 0xa4, 0xa6, 0xae, 0xac]) + opcode);
};

/** A pointer that goes through pages that all have the same place in the TLB, or two. */
const manyPages: Extra = (h) => {
  const { random } = h;
  load(h, 3, DATA + 8 * random.below(64)); // mov ebx, ...
  load(h, 1, random.between(2, 40));
  const head = h.at;
  const store = random.pick([
    [0x48, 0x89, 0x43, 0x08],
    [0x01, 0x43, 0x10],
    [0x8a, 0x63, 0x07],
  ]);
  h.bytes(0x03, 0x03, ...store, 0x48, 0x81, 0xc3); // add eax, [rbx]; ...; add rbx, stride
  h.word(ALIAS_STRIDE * random.pick([1, 2, 2, 3]));
  h.bytes(0xff, 0xc9, 0x75); // dec ecx; jnz
  h.bytes((head - h.at - 1) & 0xff);
};

/** Exchanges a page of the program for its copy, or back. */
const exchange: Extra = (h) => {
  const { random } = h;
  if (h.mapping !== 'copies') return;
  const page = random.below(CODE_PAGES);
  const linear = CODE + page * PAGE;
  // xor dword ptr [entry], ...
  atAddress(h, [0x81], 6, TABLE_WINDOW + (linear / PAGE) * 8);
  h.word(CODE ^ COPY);
  if (random.percent(70))
    atAddress(h, [0x0f, 0x01], 7, linear); // invlpg
  else h.bytes(0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8); // mov rax, cr3; mov cr3, rax
};

const openUser: Extra = (h) => h.bytes(...STAC);

const EXTRAS: readonly Extra[] = [
  interruptFlag,
  interruptFlag,
  popFlags,
  popFlags,
  pushFlags,
  openUser,
  userAccess,
  userAccess,
  cpuid,
  fpuImage,
  readControl,
  writeControl,
  taskSwitched,
  segments,
  xgetbv,
  units,
  units,
  manyPages,
  manyPages,
  exchange,
  exchange,
];

/** One of them, at random; long strings are rare, as they take long. */
export function extra(h: ExtraHost): void {
  if (h.random.percent(2)) longString(h);
  else h.random.pick(EXTRAS)(h);
}

/** mov rax, the address of a block; or of its alias. */
function blockAddress(h: ExtraHost, block: number): void {
  const { random } = h;
  if (random.percent(40)) {
    h.bytes(0xb8);
    h.absolute(block);
    return;
  }
  h.bytes(0x48, 0x8d, 0x05); // lea rax, [rip + ...]
  const stride = random.pick([0, 1, 2, 2, 7]) * ALIAS_STRIDE;
  h.relative(block, h.mapping === 'aliases' ? stride : 0);
}

/** Through a table of addresses: and eax, 3; lea rbx, [table]; jmp or call [rbx + rax * 8]. */
const table: Extra = (h) => {
  const calls = h.random.percent(40);
  h.bytes(0x83, 0xe0, 0x03, 0x48, 0x8d, 0x1d);
  h.word(calls ? 5 : 3);
  h.bytes(0xff, calls ? 0x14 : 0x24, 0xc3);
  if (calls) h.bytes(0xeb, 32);
  for (let i = 0; i < 4; i++) {
    h.absolute(calls ? h.anyFunction() : h.anyBlock());
    h.word(0);
  }
};

const farAway: Extra = (h) => {
  const { random } = h;
  const calls = random.percent(40);
  blockAddress(h, calls ? h.anyFunction() : h.anyBlock());
  if (calls) h.bytes(0xff, 0xd0);
  else if (random.percent(50)) h.bytes(0xff, 0xe0);
  else h.bytes(0x50, 0xc3); // push rax; ret
};

/** A call that nobody returns from: to the next instruction, which takes the address away. */
const strayCall: Extra = (h) => {
  h.bytes(0xe8, 0, 0, 0, 0);
  if (h.random.percent(50)) {
    h.bytes(0x48, 0x8d, 0x64, 0x24, 0x08); // lea rsp, [rsp + 8]
    return;
  }
  h.bytes(0x58); // pop rax
  blockAddress(h, h.anyBlock());
  h.bytes(0x50, 0xc3); // push rax; ret
};

/** Leaves a block by a way that only extras know; it may go backwards, and has been paid for. */
export function extraLeave(h: ExtraHost): void {
  h.random.pick([table, farAway, farAway, strayCall])(h);
}

/** Ends a function, which has been paid for when it was called. */
export function extraReturn(h: ExtraHost): void {
  const choice = h.random.below(6);
  if (choice === 0) {
    blockAddress(h, h.anyBlock());
    h.bytes(0x48, 0x89, 0x04, 0x24, 0xc3); // mov [rsp], rax; ret
  } else if (choice === 1) {
    h.bytes(0x59, 0xff, 0xe1); // pop rcx; jmp rcx
  } else if (choice === 2) {
    h.bytes(0x48, 0x8b, 0x04, 0x24, 0x50, 0xc2, 8, 0); // mov rax, [rsp]; push rax; ret 8
  } else if (choice === 3) {
    h.bytes(0xf3, 0xc3); // rep ret, as compilers once wrote it
  } else {
    h.bytes(0xc3);
  }
}
