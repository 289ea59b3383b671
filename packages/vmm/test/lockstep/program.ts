// Random programs of 64-bit code: basic blocks in three pages that jump, call and loop among each
// other, with operands in registers and in memory that may fault, and stores into the program's own
// code. A program is a pass from its entry to an OUT, behind which it starts over.
//
// R15 holds how often a pass may still jump before it ends, R12 to R14 point to data, RSP to the
// stack; nothing else writes them. What else the instructions do is left to chance.

import { isLocalRow } from '../../src/cpu/jit/compilable.ts';
import { createInstruction, Decoder } from '../../src/isa/decoder.ts';
import { BASE_RIP, DecodeStatus, type Instruction } from '../../src/isa/instruction.ts';
import { type EncodingLimits, encodingsOf, formsOf } from '../../src/isa/random-encodings.ts';
import type { Row } from '../../src/isa/row.ts';
import { rows } from '../../src/isa/rows.ts';
import { SOFT_FEATURES } from '../../src/vmm/cpu-model.ts';
import { Random } from '../silicon/random.ts';
import { CodeWriter, EXIT } from './code-writer.ts';
import { type ExtraHost, extra, extraLeave, extraReturn } from './extras.ts';
import {
  ALIAS,
  ALIASED,
  CODE,
  CODE_END,
  DATA,
  MXCSR,
  PAGE,
  PASS_PORT,
  READ_ONLY,
  REPORT,
  STACK_TOP,
} from './layout.ts';

/** What a program is made of. */
export interface ProgramOptions {
  readonly seed: number;
  /** Basic blocks, roughly. */
  readonly blocks: number;
  /** Jumps in a pass. */
  readonly fuel: number;
  /** Whether it writes into its own code. */
  readonly modifiesItself: boolean;
  /** Whether it does what extras.ts has. */
  readonly extras?: boolean;
}

/** A program. */
export interface Program {
  readonly options: ProgramOptions;
  /** The code pages, from {@link CODE}. */
  readonly code: Uint8Array;
  readonly entry: number;
  /** Where a pass ends. */
  readonly exit: number;
  /** Addresses of 64-bit immediates, which anybody may change between passes. */
  readonly immediates: readonly number[];
}

/** General registers that instructions may name. */
const REGISTERS = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11];
/** Left for the exit behind the blocks. */
const EXIT_BYTES = 128;

/** What is laid by hand, because it takes registers that point somewhere or goes elsewhere. */
const BY_HAND = new Set(
  'jcc jmp call ret loop loope loopne jrcxz push pop leave movs stos lods scas cmps xlat'.split(
    ' ',
  ),
);
/** Their areas are larger than the room for operands, or they write where RDI points. */
const UNWANTED = /^(fnsave|frstor|fnstenv|fldenv|fxsave|fxrstor|maskmov.*)$/;

const has = ({ feature }: Row): boolean => feature === undefined || SOFT_FEATURES.includes(feature);
const isMoffs = (row: Row): boolean => row.operands.some(({ place }) => place === 'moffs');
const material = rows.filter(
  (row) => row.modes !== 'not64' && has(row) && !row.endsBlock && !isMoffs(row),
);
/** Mostly end in a fault. */
const RARE = /^(i?div|ldmxcsr)$/;
const compiled = (row: Row): boolean => isLocalRow(row) && !BY_HAND.has(row.mnemonic);
const MATERIAL = {
  integer: material.filter((row) => row.unit === 'integer' && compiled(row)),
  sse: material.filter(
    (row) => row.unit === 'sse' && compiled(row) && !UNWANTED.test(row.mnemonic),
  ),
  avx: material.filter((row) => row.unit === 'avx' && compiled(row)),
  other: material.filter(
    (row) => /x87|mmx/.test(row.unit) && !UNWANTED.test(row.mnemonic) && !row.cpl0,
  ),
} as const;

const FLAG_READERS = MATERIAL.integer.filter((row) => row.flagsRead !== 0);
/** Comparisons that a conditional jump mostly follows. */
const COMPARISONS = MATERIAL.integer.filter((row) =>
  /^(cmp|test|add|sub|and|dec|inc|or|xor|bt|shl|sar)$/.test(row.mnemonic),
);

/** CLD; STD; PUSHFQ, POP RAX; LAHF; SAHF; MOV RAX and EAX from and to an absolute address. */
const BY_BYTES: readonly (readonly number[])[] = [
  [0xfc],
  [0xfd],
  [0x9c, 0x58],
  [0x9f],
  [0x9e],
  [0x48, 0xa1, 0x10, 0x05, DATA >> 16, 0, 0, 0, 0, 0],
  [0xa3, 0x14, 0x05, DATA >> 16, 0, 0, 0, 0, 0],
];

const decoder = new Decoder(SOFT_FEATURES);

/** Decodes the instruction at `offset` of the code pages; undefined when it is none. */
export function decodeAt(code: Uint8Array, offset: number): Instruction | undefined {
  const instruction = createInstruction();
  const status = decoder.decode(code, offset, code.length, 8, instruction);
  return status === DecodeStatus.ok ? instruction : undefined;
}

class ProgramBuilder extends CodeWriter implements ExtraHost {
  private readonly options: ProgramOptions;
  /** Addresses of 64-bit immediates that stores may change. */
  private readonly patchable: number[] = [];
  /** Fields that are to hold the distance to an immediate, or its address. */
  private readonly patches: {
    readonly at: number;
    readonly from: number;
    readonly alias: boolean;
  }[] = [];
  private readonly functions: number;
  readonly mapping: ExtraHost['mapping'];

  constructor(options: ProgramOptions) {
    super(options.seed);
    this.options = options;
    this.functions = options.blocks - 2;
    this.at = CODE + this.random.pick([0, 0x40, 0x800, 0xf00]);
    this.mapping = options.extras && this.random.percent(50) ? 'copies' : 'aliases';
  }

  build(): Program {
    const entry = this.at;
    this.prologue();
    for (let block = 0; block < this.functions; block++) this.block(block);
    this.jump(EXIT);
    for (let block = this.functions; block < this.options.blocks; block++) {
      this.start(block);
      this.body(this.random.between(1, 5));
      if (this.options.extras) extraReturn(this);
      else this.bytes(0xc3);
    }
    const exit = this.at;
    this.epilogue(entry);
    this.resolve(exit);
    return { options: this.options, code: this.code, entry, exit, immediates: this.patchable };
  }

  private get isFull(): boolean {
    return this.at > CODE_END - EXIT_BYTES - 512;
  }

  private prologue(): void {
    this.bytes(0x41, 0xbc); // mov r12d, DATA + 0x800
    this.word(DATA + 0x800);
    this.bytes(0x41, 0xbd); // mov r13d, the end of the first page of data
    this.word(DATA + 0xff8);
    this.bytes(0x41, 0xbe); // mov r14d, the end of the second
    this.word(DATA + 0x1ff8);
    this.bytes(0x41, 0xbf); // mov r15d, fuel
    this.word(this.options.fuel);
    this.bytes(0xbc); // mov esp, STACK_TOP - 0x800
    this.word(STACK_TOP - 0x800);
    this.bytes(0xfc, 0xdb, 0xe3, 0x0f, 0xae, 0x14, 0x25); // cld; fninit; ldmxcsr [MXCSR]
    this.word(MXCSR);
  }

  private epilogue(entry: number): void {
    this.bytes(0x0f, 0x06, 0x48, 0x0f, 0xae, 0x04, 0x25); // clts; fxsave64 [REPORT]
    this.word(REPORT);
    this.bytes(0xe6, PASS_PORT); // out PASS_PORT, al
    this.bytes(0xe9);
    this.word(entry - this.at - 4);
  }

  private resolve(exit: number): void {
    this.resolveBlocks(exit);
    for (const { at, from, alias } of this.patches) {
      const aliased = this.patchable.filter((target) => target >> 12 === ALIASED >> 12);
      const choices = alias ? aliased : this.patchable;
      // Without an immediate to change it is a store to data.
      const next = choices.find((choice) => choice > at);
      const near = next !== undefined && this.random.percent(50) ? next : undefined;
      const target = near ?? (choices.length > 0 ? this.random.pick(choices) : DATA);
      const address = alias && choices.length > 0 ? target - ALIASED + ALIAS : target;
      this.view.setInt32(at - CODE, address - from, true);
    }
  }

  // Blocks.

  private start(block: number): void {
    this.starts[block] = this.at;
  }

  private block(block: number): void {
    const { random } = this;
    if (this.isFull) {
      this.start(block);
      return;
    }
    if (random.percent(this.options.extras ? 30 : 15)) this.moveOn(block);
    this.start(block);
    if (random.percent(15)) {
      this.countedLoop();
    } else {
      if (random.percent(25)) this.instruction(random.pick(FLAG_READERS));
      this.body(random.between(0, 6));
      if (random.percent(40)) this.skip();
    }
    this.leave(block);
  }

  /** Goes on near the end of this page, or at the start of the next. */
  private moveOn(block: number): void {
    const end = (this.at & -PAGE) + PAGE;
    const next = this.random.percent(50) ? end - this.random.between(1, 40) : end;
    if (next < this.at + 8 || next > CODE_END - EXIT_BYTES - 512) return;
    this.jump(block);
    this.at = next;
  }

  anyBlock(): number {
    return this.random.below(this.functions);
  }

  anyFunction(): number {
    return this.random.between(this.functions, this.options.blocks - 1);
  }

  unitInstruction(): void {
    const { random } = this;
    const kind = random.pick(['sse', 'avx', 'other', 'other'] as const);
    this.instruction(random.pick(MATERIAL[kind]));
  }

  /** Leaves the block; the jumps may be backwards, and cost. */
  private leave(block: number): void {
    const { random } = this;
    const choice = random.below(100);
    if (choice < 25) return;
    this.pay();
    if (this.options.extras && random.percent(25)) {
      extraLeave(this);
    } else if (choice < 75) {
      const target = random.percent(70) ? block + 1 + random.below(3) : this.anyBlock();
      this.instruction(random.pick(COMPARISONS));
      this.bytes(0x0f, 0x80 + random.below(16));
      this.relative(Math.min(target, this.functions - 1));
    } else if (choice < 80) {
      this.jump(this.anyBlock());
    } else if (choice < 90) {
      this.bytes(0xe8); // call
      this.relative(this.anyFunction());
    } else {
      this.indirect();
    }
  }

  /** dec r15d; js exit */
  pay(): void {
    this.bytes(0x41, 0xff, 0xcf, 0x0f, 0x88);
    this.relative(EXIT);
  }

  private indirect(): void {
    const { random } = this;
    const calls = random.percent(30);
    this.bytes(0x48, 0x8d, 0x05); // lea rax, [rip + ...]
    this.relative(calls ? this.functions : this.anyBlock());
    if (calls) this.bytes(0xff, 0xd0);
    else if (random.percent(50)) this.bytes(0xff, 0xe0);
    else this.bytes(0x50, 0xc3); // push rax; ret
  }

  /** A loop that ends by itself: the body is free to write RCX. */
  private countedLoop(): void {
    const { random } = this;
    this.bytes(0xb9); // mov ecx, ...
    this.word(random.between(1, 12));
    const head = this.at;
    this.bytes(0x51); // push rcx
    this.body(random.between(1, 4));
    if (random.percent(30)) this.skip();
    this.bytes(0x59); // pop rcx
    const back = head - this.at - 2;
    // loopne, loope, loop, or the loop that compilers write.
    if (back >= -128 && random.percent(60)) {
      this.bytes(random.pick([0xe0, 0xe1, 0xe2]), back & 0xff);
    } else {
      this.bytes(0xff, 0xc9, 0x0f, 0x85); // dec ecx; jnz
      this.word(head - this.at - 4);
    }
  }

  /** A comparison, and a jump over some instructions: a path of its own in the block. */
  private skip(): void {
    const { random } = this;
    this.instruction(random.pick(COMPARISONS));
    this.bytes(0x0f, 0x80 + random.below(16), 0, 0, 0, 0);
    const from = this.at;
    this.body(random.between(1, 3));
    this.view.setInt32(from - 4 - CODE, this.at - from, true);
    // What joins here must not believe in the flags of one way.
    if (random.percent(50)) this.instruction(random.pick(FLAG_READERS));
  }

  private body(count: number): void {
    for (let i = 0; i < count; i++) this.item();
  }

  private item(): void {
    const { random } = this;
    if (this.options.extras && random.percent(20)) {
      extra(this);
      return;
    }
    const choice = random.below(100);
    if (choice < 60) this.instruction(random.pick(MATERIAL.integer));
    else if (choice < 78)
      this.instruction(random.pick(MATERIAL[random.pick(['sse', 'avx'] as const)]));
    else if (choice < 81) this.instruction(random.pick(MATERIAL.other));
    else if (choice < 86) this.pushAndPop();
    else if (choice < 92) this.string();
    else if (choice < 94) this.bytes(...random.pick(BY_BYTES));
    else if (this.options.modifiesItself) this.modification();
    else this.immediate();
  }

  private pushAndPop(): void {
    const { random } = this;
    const push = (opcode: number): void => {
      const register = random.pick(REGISTERS);
      if (register >= 8) this.bytes(0x41);
      this.bytes(opcode + (register & 7));
    };
    push(0x50);
    this.body(random.below(3));
    push(0x58);
  }

  // Instructions.

  private instruction(row: Row): void {
    const { random } = this;
    if (RARE.test(row.mnemonic) && random.percent(80)) return;
    const { opsize, form } = random.pick(formsOf(row, 8));
    const lock = random.percent(25);
    const limits: EncodingLimits = {
      opsize,
      form,
      lock,
      registers: REGISTERS,
      ...this.memory(row),
    };
    const seed = random.next();
    const encode = (disps: readonly number[] | undefined): Uint8Array => {
      const source = new Random(seed);
      const [code] = encodingsOf(
        row,
        () => source.next(),
        8,
        disps ? { ...limits, disps } : limits,
      );
      return code;
    };
    let code = encode(limits.disps);
    if (limits.bases?.[0] === BASE_RIP) {
      const target = DATA + 0x400 + 16 * random.below(16);
      code = encode([target - this.at - code.length]);
    }
    if (this.at + code.length > CODE_END - EXIT_BYTES) return;
    const decoded = decodeAt(code, 0);
    // Some encodings are those of another row.
    if (decoded?.row !== row || decoded.length !== code.length) return;
    this.bytes(...code);
  }

  /** How memory operands are addressed: mostly where there is memory. */
  private memory(row: Row): EncodingLimits {
    const { random } = this;
    const choice = random.below(100);
    const none = { indexes: [-1] };
    const grain = row.aligned && random.percent(95) ? 16 : 1;
    const near = grain * random.between(-40, 40);
    if (choice < 45) return { ...none, bases: [12], disps: [near] };
    if (grain === 16 && choice < 72) return { ...none, bases: [BASE_RIP] };
    if (choice < 57) return { ...none, bases: [13], disps: [random.between(-16, 8)] };
    if (choice < 60) return { ...none, bases: [14], disps: [random.between(-16, 16)] };
    if (choice < 72) return { ...none, bases: [BASE_RIP] };
    if (choice < 88 && grain === 1) {
      this.bytes(0x45, 0x0f, 0xb6, 0xc9); // movzx r9d, r9b
      return { bases: [12], indexes: [9], disps: [near] };
    }
    if (choice < 93) return { ...none, bases: [-1], disps: [64], segment: 4 };
    if (choice < 98) return { ...none, bases: [12], disps: [near], addrSize: 4 };
    if (choice < 99) return { ...none, bases: [-1], disps: [READ_ONLY + 16] };
    return { bases: REGISTERS, indexes: [-1, 8] };
  }

  /** A string instruction, its pointers in data; upwards or downwards. */
  private string(): void {
    const { random } = this;
    const pointer = (register: 6 | 7): void => {
      const base = random.pick([0x0c, 0x0c, 0x0c, 0x0d]);
      if (base === 0x0c) this.bytes(0x49, 0x8d, 0x84 | (register << 3), 0x24);
      else this.bytes(0x49, 0x8d, 0x85 | (register << 3));
      this.word(random.between(-64, 64));
    };
    pointer(6);
    pointer(7);
    if (random.percent(80)) {
      this.bytes(0xb9);
      this.word(random.pick([0, 1, 3, 17, 60]));
      this.bytes(random.pick([0xf3, 0xf3, 0xf2]));
    }
    const size = random.pick([[], [0x66], [0x48]]);
    const opcode = random.pick([0xa4, 0xa6, 0xaa, 0xac, 0xae]);
    this.bytes(...size, opcode + (size.length > 0 || random.percent(50) ? 1 : 0));
  }

  // Self-modification.

  /** mov r64, imm64: what stores change. */
  private immediate(): void {
    if (this.options.extras && this.random.percent(20)) this.beforeNextPage();
    this.bytes(0x48, 0xb8 + this.random.pick([0, 2, 3, 5, 6]));
    this.patchable.push(this.at);
    this.word(this.random.next());
    this.word(this.random.next());
  }

  /** Goes on where the next immediate will lie in two pages. */
  private beforeNextPage(): void {
    const next = (this.at & -PAGE) + PAGE - this.random.between(3, 9);
    if (next < this.at + 5 || next > CODE_END - EXIT_BYTES - 512) return;
    this.bytes(0xe9);
    this.word(next - this.at - 4);
    this.at = next;
  }

  /** A store into the code by an instruction that works on the state of the vCPU. */
  private systemStore(): void {
    const { random } = this;
    const relative = (...opcode: number[]): void => {
      this.bytes(...opcode);
      this.patches.push({ at: this.at, from: this.at + 4, alias: false });
      this.word(0);
    };
    if (random.percent(50)) {
      relative(0x8c, random.pick([0x05, 0x0d, 0x1d])); // mov [rip + ...], es, cs or ds
    } else {
      this.bytes(0x48, 0x89, 0xe3); // mov rbx, rsp; lea rsp, [rip + ...]; add rsp, 8
      relative(0x48, 0x8d, 0x25);
      this.bytes(0x48, 0x83, 0xc4, 8, 0x9c, 0x48, 0x89, 0xdc); // pushfq; mov rsp, rbx
    }
    // What comes next is what was perhaps changed.
    if (random.percent(80)) this.immediate();
  }

  private modification(): void {
    const { random } = this;
    const choice = random.below(9);
    if (this.options.extras && random.percent(30)) {
      this.systemStore();
      return;
    }
    const relative = (...opcode: number[]): void => {
      this.bytes(...opcode);
      this.patches.push({ at: this.at, from: this.at + 4, alias: false });
      this.word(0);
    };
    if (choice === 0) {
      relative(0x89, 0x05); // mov [rip + ...], eax
    } else if (choice === 1) {
      relative(0xf0, 0x48, 0x01, 0x05); // lock add [rip + ...], rax
    } else if (choice === 2) {
      relative(0x66, 0x0f, 0xd6, 0x05); // movq [rip + ...], xmm0
    } else if (choice === 3) {
      relative(0xc6, 0x05); // mov byte ptr [rip + ...], ... : the field is not the last
      const patch = this.patches.pop()!;
      this.patches.push({ ...patch, from: patch.from + 1 });
      this.bytes(random.next() & 0xff);
    } else if (choice === 4) {
      relative(0x48, 0x8d, 0x3d); // lea rdi, [rip + ...]; mov ecx, 1; (rep) stosd
      this.bytes(0xb9, 1, 0, 0, 0);
      this.bytes(...random.pick([[0xf3, 0xab], [0xab], [0xf3, 0xa5], [0xf3, 0x48, 0xab]]));
    } else if (choice === 5) {
      // mov rbx, rsp; lea rsp, [rip + ...]; add rsp, 8; push rax; mov rsp, rbx
      this.bytes(0x48, 0x89, 0xe3);
      relative(0x48, 0x8d, 0x25);
      this.bytes(0x48, 0x83, 0xc4, 8, 0x50, 0x48, 0x89, 0xdc);
    } else {
      const alias = choice === 6;
      this.bytes(0x89, 0x04, 0x25); // mov [...], eax
      this.patches.push({ at: this.at, from: 0, alias });
      this.word(0);
    }
    if (random.percent(60)) this.immediate();
  }
}

/** Builds a program; the same one for the same options. */
export function buildProgram(options: ProgramOptions): Program {
  return new ProgramBuilder(options).build();
}
