// Where a lockstep program is written: its bytes, front to back, and the fields that refer to
// blocks which are not placed yet.

import { Random } from '../silicon/random.ts';
import { CODE, CODE_END } from './layout.ts';

/** A field that holds the distance to a block, or its address. */
interface Fixup {
  readonly at: number;
  /** What the field is relative to, less what lies beyond the block. */
  readonly from: number;
  readonly block: number;
}

/** The block behind all others, at which a pass ends. */
export const EXIT = -1;

/** The code of a program in the making. */
export class CodeWriter {
  readonly random: Random;
  readonly code: Uint8Array = new Uint8Array(CODE_END - CODE);
  protected readonly view: DataView = new DataView(this.code.buffer);
  protected readonly starts: number[] = [];
  private readonly fixups: Fixup[] = [];
  /** The address of the next byte. */
  at: number = CODE;

  constructor(seed: number) {
    this.random = new Random(seed);
    // What no block fills is UD2: a jump gone wrong is seen.
    for (let i = 0; i < this.code.length; i += 2) this.view.setUint16(i, 0x0b0f, true);
  }

  bytes(...bytes: number[]): void {
    this.code.set(bytes, this.at - CODE);
    this.at += bytes.length;
  }

  /** 32 bits. */
  word(value: number): void {
    this.view.setUint32(this.at - CODE, value >>> 0, true);
    this.at += 4;
  }

  /** The distance from behind this field to `beyond` bytes behind the start of a block, 32 bits. */
  relative(block: number, beyond = 0): void {
    this.fixups.push({ at: this.at, from: this.at + 4 - beyond, block });
    this.word(0);
  }

  /** The address of a block, 32 bits. */
  absolute(block: number): void {
    this.fixups.push({ at: this.at, from: 0, block });
    this.word(0);
  }

  /** A jump to a block. */
  jump(block: number): void {
    this.bytes(0xe9);
    this.relative(block);
  }

  /** Fills the fields in, when all blocks have been placed; `exit` is where a pass ends. */
  protected resolveBlocks(exit: number): void {
    for (const { at, from, block } of this.fixups) {
      const target = block === EXIT ? exit : (this.starts[block] ?? exit);
      this.view.setInt32(at - CODE, target - from, true);
    }
  }
}
