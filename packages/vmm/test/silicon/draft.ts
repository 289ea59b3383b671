// A vector in the making: everything random first, then bent until the instruction finds operands.

import { createInstruction, type Decoder } from '../../src/isa/decoder.ts';
import { type CodeMode, DecodeStatus, type Instruction } from '../../src/isa/instruction.ts';
import type { AddressState } from './address.ts';
import type { Piece, Selectors, SiliconVector, VectorMode } from './format.ts';
import type { Form } from './forms.ts';
import { arenaOffset, Selector } from './layout.ts';
import type { Random } from './random.ts';
import { integerValue } from './values.ts';
import { codeRip, quietFx, RFLAGS_FIXED } from './vectors.ts';

const STATUS_FLAGS = 0x8d5;
const DF = 0x400;
/** Alignment checks, which Linux enables. */
const AC = 0x40000;
const ALIGNED_PERCENT = 10;

/** A vector whose fields can still change. */
export class Draft implements AddressState {
  readonly form: Form;
  readonly random: Random;
  readonly instruction: Instruction = createInstruction();
  code: Uint8Array;
  rip: bigint;
  rflags: number;
  fx: Uint8Array = quietFx();
  readonly ymm: Uint8Array = new Uint8Array(256);
  steps = 1;
  seed: number;
  fsBase = 0n;
  gsBase = 0n;
  readonly selectors: Selectors;
  readonly gpr: bigint[] = [];
  private readonly decoder: Decoder;
  private readonly patches: Piece[] = [];

  constructor(form: Form, code: Uint8Array, decoder: Decoder, random: Random) {
    this.form = form;
    this.random = random;
    this.decoder = decoder;
    this.code = code;
    this.rip = codeRip(form.mode);
    this.seed = random.next();
    this.rflags = RFLAGS_FIXED | (random.next() & STATUS_FLAGS) | (random.percent(20) ? DF : 0);
    if (random.percent(ALIGNED_PERCENT)) this.rflags |= AC;
    for (let index = 0; index < 16; index++) this.gpr.push(integerValue(random, 64));
    this.selectors = this.chooseSelectors();
    if (form.mode === 64) {
      this.fsBase = this.chooseBase();
      this.gsBase = this.chooseBase();
    }
  }

  get mode(): VectorMode {
    return this.form.mode;
  }

  /** Decodes the code again, after it changed; false when it is not its form's row. */
  decode(): boolean {
    const mode = (this.form.mode / 8) as CodeMode;
    const status = this.decoder.decode(this.code, 0, this.code.length, mode, this.instruction);
    return status === DecodeStatus.ok && this.instruction.row === this.form.row;
  }

  /** Sets memory at a linear address, as far as it is within the data regions. */
  patch(linear: bigint, bytes: Uint8Array): void {
    let piece: { offset: number; bytes: number[] } | undefined;
    const done = (): void => {
      if (piece) this.patches.push({ offset: piece.offset, bytes: Uint8Array.from(piece.bytes) });
      piece = undefined;
    };
    bytes.forEach((byte, index) => {
      const offset = arenaOffset(linear + BigInt(index));
      if (piece && offset !== piece.offset + piece.bytes.length) done();
      if (offset < 0) return;
      piece ??= { offset, bytes: [] };
      piece.bytes.push(byte);
    });
    done();
  }

  /** Sets `bytes` bytes of memory at a linear address to a number. */
  patchNumber(linear: bigint, value: bigint, bytes: number): void {
    const buffer = new Uint8Array(bytes);
    for (let index = 0; index < bytes; index++) {
      buffer[index] = Number((value >> BigInt(index * 8)) & 0xffn);
    }
    this.patch(linear, buffer);
  }

  /** The finished vector. */
  finish(): SiliconVector {
    const long = this.form.mode === 64;
    const gpr = BigUint64Array.from(this.gpr, (value, index) =>
      long ? value : index < 8 ? BigInt.asUintN(32, value) : 0n,
    );
    const { code, steps, seed, rip, rflags, fsBase, gsBase, selectors, fx, ymm, patches } = this;
    const mode = this.form.mode;
    return {
      ...{ mode, code, steps, seed, rip, rflags, gpr, fsBase, gsBase, selectors },
      ...{ fx, ymm, patches },
    };
  }

  /** Segments: flat in 64-bit mode; elsewhere based ones too, as 16-bit offsets need them. */
  private chooseSelectors(): Selectors {
    const { flat, based, limited, stack16, down, down16, fixed } = Selector;
    const { mode } = this.form;
    if (mode === 64) return { ds: flat, es: flat, fs: Selector.null, gs: Selector.null, ss: flat };
    const basedPercent = mode === 16 ? 95 : 25;
    const data = (): number => {
      const choice = this.random.below(100);
      if (choice < 2) return Selector.null;
      if (choice < 5) return limited;
      if (choice < 9) return this.random.pick([down, down, down16, fixed]);
      return this.random.percent(basedPercent) ? based : flat;
    };
    const stacks = [based, based, based, based, stack16, stack16, stack16, stack16, down, down16];
    const stack = this.random.percent(basedPercent) ? this.random.pick(stacks) : flat;
    return { ds: data(), es: data(), fs: data(), gs: data(), ss: stack };
  }

  private chooseBase(): bigint {
    const { random } = this;
    return (
      random.pick([0n, 0x1001_0000n, 0x2345_6789_0000n, BigInt(random.between(-4096, 4096))]) &
      0xffff_ffff_ffff_ffffn
    );
  }
}
