// Random programs of 16- and 32-bit code at privilege 3: blocks in three pages that jump, call and
// loop among each other, with memory operands by segments that are flat, based, short, expanding
// down, read-only or null, which change on the way.
//
// EBX points to data in DS, EBP to data on the stack; FS is flat and has what the program itself
// needs. Nothing else writes them. What else the instructions do is left to chance.

import { isLocalRow } from '../../src/cpu/jit/compilable.ts';
import { createInstruction, Decoder } from '../../src/isa/decoder.ts';
import { DecodeStatus, type Instruction } from '../../src/isa/instruction.ts';
import { type EncodingLimits, encodingsOf, formsOf } from '../../src/isa/random-encodings.ts';
import type { Row } from '../../src/isa/row.ts';
import { rows } from '../../src/isa/rows.ts';
import { modelFeatures } from '../../src/vmm/cpu-model.ts';
import { Random } from '../silicon/random.ts';
import * as at from './narrow-layout.ts';
import type { ProgramOptions } from './program.ts';

/** 2 for 16-bit code, 4 for 32-bit code. */
export type NarrowMode = 2 | 4;

export interface NarrowProgram {
  readonly options: ProgramOptions;
  readonly mode: NarrowMode;
  readonly codeSegment: at.NarrowSegment;
  readonly stackNumber: number;
  readonly code: Uint8Array;
  /** Offsets in CS. */
  readonly entry: number;
  readonly exit: number;
}

/** EAX, ECX, EDX, ESI, EDI. */
const REGISTERS = [0, 1, 2, 6, 7];
const EXIT_BYTES = 160;
const EXIT = -1;
const BY_HAND = new Set(
  'jcc jmp call ret loop loope loopne jrcxz push pop leave movs stos lods scas cmps xlat'.split(
    ' ',
  ),
);
const UNWANTED = /^(fnsave|frstor|fnstenv|fldenv|fxsave|fxrstor|maskmov.*)$/;
const RARE = /^(i?div|ldmxcsr)$/;
/** Without AVX, which these guests do not switch on. */
const FEATURES = modelFeatures('v2');
const has = ({ feature }: Row): boolean => feature === undefined || FEATURES.includes(feature);
const writesEbx = (row: Row): boolean =>
  row.operands.some(({ type }) => /^e?bx$/.test(type)) || row.mnemonic === 'cpuid';

const material = rows.filter(
  (row) =>
    row.modes !== 'only64' &&
    has(row) &&
    !row.endsBlock &&
    !row.cpl0 &&
    !UNWANTED.test(row.mnemonic) &&
    !writesEbx(row),
);
const compiled = material.filter((row) => isLocalRow(row) && !BY_HAND.has(row.mnemonic));
const MATERIAL = {
  integer: compiled.filter((row) => row.unit === 'integer'),
  vector: compiled.filter((row) => row.unit !== 'integer'),
} as const;
/** They work on the state: BCD, ARPL, BOUND, LAR and their kin. */
const OTHERS = material.filter((row) =>
  /^(daa|das|aaa|aas|aam|aad|lahf|sahf|salc|arpl|bound|lar|lsl|verr|verw|smsw|sldt|str)$/.test(
    row.mnemonic,
  ),
);

const decoder = new Decoder(FEATURES);

/** Decodes the instruction at `offset`; undefined when it is none. */
export function decodeNarrow(
  code: Uint8Array,
  offset: number,
  mode: NarrowMode,
): Instruction | undefined {
  const instruction = createInstruction();
  const status = decoder.decode(code, offset, code.length, mode, instruction);
  return status === DecodeStatus.ok ? instruction : undefined;
}

interface Fixup {
  readonly offset: number;
  readonly bytes: 2 | 4;
  readonly isRelative: boolean;
  readonly block: number;
}

class NarrowBuilder {
  private readonly options: ProgramOptions;
  private readonly mode: NarrowMode;
  private readonly random: Random;
  private readonly code = new Uint8Array(at.CODE_END - at.CODE);
  private readonly view = new DataView(this.code.buffer);
  private readonly codeSegment: at.NarrowSegment;
  private readonly stackNumber: number;
  private readonly fixups: Fixup[] = [];
  private readonly starts: number[] = [];
  /** Linear addresses of immediates that stores may change, and of fields that name one. */
  private readonly patchable: number[] = [];
  private readonly patches: number[] = [];
  private readonly functions: number;
  /** Offset in the code of the next byte. */
  private next: number;

  constructor(options: ProgramOptions, mode: NarrowMode) {
    this.options = options;
    this.mode = mode;
    this.random = new Random(options.seed ^ (mode << 24));
    for (let i = 0; i < this.code.length; i += 2) this.view.setUint16(i, 0x0b0f, true);
    this.functions = options.blocks - 2;
    this.next = this.random.pick([0x20, 0x40, 0x800, 0xf00]);
    const all = at.CODE_SEGMENTS.map((segment) =>
      mode === 4 ? { ...segment, rights: segment.rights | 0x4000 } : segment,
    );
    this.codeSegment = this.random.pick(mode === 4 ? [all[0], ...all] : all.slice(1));
    // Flat segments, which are compiled differently, are what 32-bit code mostly has.
    const isFlat = mode === 4 && this.random.percent(60);
    this.stackNumber = isFlat ? 0 : this.random.between(1, mode === 4 ? 2 : 3);
  }

  build(): NarrowProgram {
    const entry = this.ipOf(this.next);
    this.prologue();
    for (let block = 0; block < this.functions && !this.isFull; block++) this.block(block);
    this.jump(EXIT);
    for (let block = this.functions; block < this.options.blocks; block++) {
      this.starts[block] = this.next;
      this.body(this.random.between(1, 5));
      if (this.random.percent(20)) this.emit(0xc2, 0, 0);
      else this.emit(0xc3);
    }
    const exit = this.next;
    this.epilogue(entry);
    this.resolve(exit);
    const { options, mode, codeSegment, stackNumber, code } = this;
    return { options, mode, codeSegment, stackNumber, code, entry, exit: this.ipOf(exit) };
  }

  private ipOf(offset: number): number {
    return (at.CODE + offset - this.codeSegment.base) >>> 0;
  }

  private get isFull(): boolean {
    return this.next > this.code.length - 0x700;
  }

  private emit(...bytes: number[]): void {
    this.code.set(bytes, this.next);
    this.next += bytes.length;
  }

  private word(value: number, bytes: 2 | 4 = 4): void {
    if (bytes === 2) this.view.setUint16(this.next, value & 0xffff, true);
    else this.view.setUint32(this.next, value >>> 0, true);
    this.next += bytes;
  }

  /** The bytes of an instruction with 32-bit operands. */
  private wide(...bytes: number[]): void {
    if (this.mode === 2) this.emit(0x66);
    this.emit(...bytes);
  }

  /** mov r32, value */
  private load(register: number, value: number): void {
    this.wide(0xb8 + register);
    this.word(value);
  }

  /** An instruction with ModRM `digit` on a double word that FS finds at `address`. */
  private onControl(address: number, digit: number, ...opcode: number[]): void {
    if (this.mode === 2) this.emit(0x66, 0x67);
    this.emit(0x64, ...opcode, 0x05 | (digit << 3));
    this.word(address);
  }

  private fixup(block: number, isRelative: boolean, bytes: 2 | 4): void {
    this.fixups.push({ offset: this.next, bytes, isRelative, block });
    this.word(0, bytes);
  }

  /** A direct branch; now and then with an operand size that is not that of the code. */
  private direct(opcode: readonly number[], block: number): void {
    const other = this.mode === 2 && this.random.percent(25);
    if (other) this.emit(0x66);
    this.emit(...opcode);
    this.fixup(block, true, other ? 4 : this.mode);
  }

  private jump(block: number): void {
    this.direct([0xe9], block);
  }

  private resolve(exit: number): void {
    for (const { offset, bytes, isRelative, block } of this.fixups) {
      const target = block === EXIT ? exit : (this.starts[block] ?? exit);
      const value = isRelative ? target - offset - bytes : this.ipOf(target);
      if (bytes === 2) this.view.setUint16(offset, value & 0xffff, true);
      else this.view.setUint32(offset, value >>> 0, true);
    }
    for (const offset of this.patches) {
      const target = this.patchable.length > 0 ? this.random.pick(this.patchable) : at.DATA;
      this.view.setUint32(offset, target, true);
    }
  }

  private prologue(): void {
    this.load(4, at.STACK + 0x1800 - at.STACK_SEGMENTS[this.stackNumber].base);
    this.load(5, at.STACK + 0x1400 - at.STACK_SEGMENTS[this.stackNumber].base);
    this.segments();
    this.onControl(at.FUEL, 0, 0xc7);
    this.word(this.options.fuel);
    this.emit(0xfc, 0xdb, 0xe3); // cld; fninit
    this.onControlWithoutSize(at.MXCSR, 2, 0x0f, 0xae); // ldmxcsr
  }

  private onControlWithoutSize(address: number, digit: number, ...opcode: number[]): void {
    if (this.mode === 2) this.emit(0x67);
    this.emit(0x64, ...opcode, 0x05 | (digit << 3));
    this.word(address);
  }

  private epilogue(entry: number): void {
    this.onControlWithoutSize(at.REPORT, 0, 0x0f, 0xae); // fxsave
    this.emit(0xe6, at.PASS_PORT);
    this.wide(0xb8); // mov eax, entry; jmp eax
    this.word(entry);
    this.wide(0xff, 0xe0);
  }

  /** Loads DS and perhaps ES, and EBX with where the data is in DS. */
  private segments(): void {
    const { random } = this;
    const many = this.mode === 4 ? at.DATA_SEGMENTS.length : at.DATA_SEGMENTS.length - 1;
    const first = this.mode === 4 ? 0 : 1;
    const n = random.percent(this.mode === 4 ? 60 : 0) ? 0 : first + random.below(many);
    this.load(0, at.SELECTOR.data + 8 * n);
    const how = random.below(3);
    if (how === 0)
      this.emit(0x8e, 0xd8); // mov ds, ax
    else if (how === 1)
      this.emit(0x50, 0x1f); // push; pop ds
    else this.emit(0x1e, 0x8e, 0xd8, 0x1f, 0x8e, 0xd8); // push ds; mov; pop ds; mov
    const isNull = random.percent(4);
    if (random.percent(60)) {
      if (isNull) this.emit(0x31, 0xc0); // xor ax, ax
      this.emit(0x8e, 0xc0); // mov es, ax
    }
    this.load(3, at.dataOffset(at.DATA_SEGMENTS[n]));
  }

  private anyBlock(): number {
    return this.random.below(this.functions);
  }

  private anyFunction(): number {
    return this.random.between(this.functions, this.options.blocks - 1);
  }

  private block(block: number): void {
    const { random } = this;
    this.starts[block] = this.next;
    this.body(random.between(1, 7));
    const choice = random.below(100);
    if (choice < 30) {
      this.pay();
      this.conditional(this.anyBlock());
    } else if (choice < 45) {
      this.pay();
      this.jump(this.anyBlock());
    } else if (choice < 65) {
      this.direct([0xe8], this.anyFunction());
    } else if (choice < 80) {
      this.countedLoop();
    } else if (choice < 92) {
      this.pay();
      this.indirect();
    } else if (choice < 96) {
      this.farCall();
    }
  }

  private conditional(block: number): void {
    this.direct([0x0f, 0x80 + this.random.below(16)], block);
  }

  private pay(): void {
    this.onControl(at.FUEL, 1, 0xff); // dec
    this.direct([0x0f, 0x88], EXIT); // js
  }

  private indirect(): void {
    const { random } = this;
    const calls = random.percent(40);
    this.wide(0xb8); // mov eax, target
    this.fixup(calls ? this.anyFunction() : this.anyBlock(), false, 4);
    const narrow = this.mode === 2 && random.percent(60) ? [] : this.mode === 2 ? [0x66] : [];
    if (calls) this.emit(0xff, 0xd0);
    else if (random.percent(50)) this.emit(...narrow, 0xff, 0xe0);
    else this.emit(0x50, 0xc3); // push; ret
  }

  /** Through the program's own segment: push cs; call, with a far return in place of the near. */
  private farCall(): void {
    this.emit(0x0e); // push cs
    const over = this.random.between(0, 2);
    this.emit(0xe8); // call: over a jump to what comes behind, to RETF
    this.word(this.mode === 2 ? 3 : 5, this.mode);
    const jump = this.next;
    this.emit(0xe9);
    this.word(0, this.mode);
    this.body(over);
    this.emit(0xcb); // retf
    const distance = this.next - jump - 1 - this.mode;
    if (this.mode === 2) this.view.setUint16(jump + 1, distance, true);
    else this.view.setUint32(jump + 1, distance, true);
  }

  private countedLoop(): void {
    const { random } = this;
    this.load(1, random.between(1, 12));
    const head = this.next;
    this.emit(0x51);
    this.body(random.between(1, 4));
    this.emit(0x59);
    const back = head - this.next - 2;
    const size = random.percent(20) ? [0x67] : [];
    if (back - size.length >= -128 && random.percent(60)) {
      this.emit(...size, random.pick([0xe0, 0xe1, 0xe2]), (back - size.length) & 0xff);
      return;
    }
    this.emit(0x49, 0x0f, 0x85); // dec (e)cx; jnz
    this.word(head - this.next - this.mode, this.mode);
  }

  private body(count: number): void {
    for (let i = 0; i < count; i++) this.item();
  }

  private item(): void {
    const { random } = this;
    const choice = random.below(100);
    if (choice < 58) this.instruction(random.pick(MATERIAL.integer));
    else if (choice < 70) this.instruction(random.pick(MATERIAL.vector));
    else if (choice < 76) this.pushAndPop();
    else if (choice < 84) this.string();
    else if (choice < 88) this.instruction(random.pick(OTHERS));
    else if (choice < 90) this.emit(...random.pick([[0xfc], [0xfd], [0x9c, 0x58], [0x60, 0x61]]));
    else if (choice < 93 && this.options.extras) this.segments();
    else if (this.options.modifiesItself && choice < 97) this.modification();
    else this.immediate();
  }

  private pushAndPop(): void {
    this.emit(0x50 + this.random.pick(REGISTERS));
    this.body(this.random.below(3));
    const size = this.random.percent(10) ? [0x66, 0x66] : [];
    this.emit(...size.slice(1), 0x58 + this.random.pick(REGISTERS));
  }

  private immediate(): void {
    this.wide(0xb8 + this.random.pick(REGISTERS));
    this.patchable.push(at.CODE + this.next);
    this.word(this.random.next());
  }

  /** mov [an immediate], eax */
  private modification(): void {
    this.onControl(0, 0, 0x89);
    this.patches.push(this.next - 4);
    if (this.random.percent(60)) this.immediate();
  }

  private string(): void {
    const { random } = this;
    for (const register of [6, 7]) {
      this.wide(0x89, 0xd8 | register); // mov esi or edi, ebx
      this.wide(0x81, 0xc0 | register); // add
      this.word(random.between(-64, 64));
    }
    if (random.percent(80)) {
      this.load(1, random.pick([0, 1, 3, 17, 60]));
      this.emit(random.pick([0xf3, 0xf3, 0xf2]));
    }
    if (random.percent(10)) this.emit(0x67);
    if (random.percent(10)) this.emit(random.pick([0x26, 0x36, 0x64]));
    if (random.percent(25)) this.emit(0x66);
    this.emit(random.pick([0xa4, 0xa6, 0xaa, 0xac, 0xae]) + random.below(2));
  }

  private instruction(row: Row): void {
    const { random, mode } = this;
    if (RARE.test(row.mnemonic) && random.percent(80)) return;
    const forms = formsOf(row, mode);
    if (forms.length === 0) return;
    const limits: EncodingLimits = {
      ...random.pick(forms),
      lock: random.percent(20),
      registers: this.isByte(row) ? [0, 1, 2] : REGISTERS,
      ...this.memory(row),
    };
    const [code] = encodingsOf(row, () => random.next(), mode, limits);
    if (code === undefined || this.next + code.length > this.code.length - EXIT_BYTES) return;
    const decoded = decodeNarrow(code, 0, mode);
    if (decoded?.row !== row || decoded.length !== code.length) return;
    this.emit(...code);
  }

  /** Byte registers 4 to 7 are AH to BH, of which BH is not for writing. */
  private isByte(row: Row): boolean {
    return row.operands.some(({ type }) => /8/.test(type));
  }

  private memory(row: Row): EncodingLimits {
    const { random } = this;
    const choice = random.below(100);
    const grain = row.aligned && random.percent(95) ? 16 : 1;
    const disps = [grain * random.between(-40, 40)];
    const none = { indexes: [-1] };
    const segment = random.percent(6) ? { segment: random.pick([0, 1, 2, 3, 4]) } : {};
    if (choice < 50) return { ...none, bases: [3], disps, ...segment };
    if (choice < 65) return { ...none, bases: [5], disps, ...segment };
    if (choice < 75) return { ...none, bases: [3], disps: [0x7f8 + random.between(-8, 8)] };
    if (choice < 78) return { ...none, bases: [3], disps: [0x800 + random.between(-8, 0xff8)] };
    if (choice < 81) return { ...none, bases: [3], disps: [-0x800 + random.between(-8, 16)] };
    if (choice < 89) return { ...none, bases: [-1], disps: [-random.pick([1, 1, 2, 3, 4, 7, 0])] };
    const addrSize = this.mode === 2 ? 4 : 2;
    if (choice < 93) return { ...none, bases: [3], disps, addrSize };
    if (choice < 96) return { bases: [3], indexes: [6, 7], disps };
    return {};
  }
}

/** Builds a program; the same one for the same options and mode. */
export const buildNarrowProgram = (options: ProgramOptions, mode: NarrowMode): NarrowProgram =>
  new NarrowBuilder(options, mode).build();
