// Regions: the pieces of guest code that are compiled, one WebAssembly function each. A region is a
// set of basic blocks of one physical page with one entry, found by following direct jumps from a
// hot block. What leads out of it is an exit: other pages, indirect jumps and returns, code that
// has never been executed.

import { createInstruction, type Decoder } from '../../isa/decoder.ts';
import { DecodeStatus, type Instruction } from '../../isa/instruction.ts';
import { type Addressing, type SemanticTable, semanticOf } from '../context.ts';
import { addressingOf } from '../handlers.ts';
import { goesOn } from './compilable.ts';

/** Beyond this a region only takes longer to compile. */
const REGION_INSTRUCTIONS_MAX = 200;
const REGION_BLOCKS_MAX = 48;
const PAGE_BYTES = 4096;

/** An instruction of a region. */
export interface RegionInstruction {
  readonly instruction: Instruction;
  readonly addressing: Addressing;
  /** Offset in the page. */
  readonly offset: number;
  /** Its record, in linear memory. */
  readonly record: number;
}

/** How a block ends, beside what its last instruction does itself. */
export type BlockEnd =
  /** A conditional or unconditional direct jump, to page offsets. */
  | { readonly kind: 'branch'; readonly taken: number; readonly next: number | undefined }
  /**
   * A call, to a page offset or (undefined) wherever its operand says. The callee's return goes on
   * at `next`.
   */
  | { readonly kind: 'call'; readonly target: number | undefined; readonly next: number }
  /** The last instruction leaves by itself: RET, indirect jumps, far transfers. */
  | { readonly kind: 'leaves' }
  /** Control goes on at an offset of the page. */
  | { readonly kind: 'goes on'; readonly next: number };

/** A basic block. */
export interface Block {
  readonly offset: number;
  readonly instructions: readonly RegionInstruction[];
  readonly end: BlockEnd;
}

/** A region: its blocks by offset; the entry is the first. */
export interface Region {
  readonly entry: number;
  readonly blocks: ReadonlyMap<number, Block>;
  /** The record through which the region is entered. */
  readonly record: number;
}

/** The page a region is found in. */
export interface RegionPage {
  /** Linear memory. */
  readonly bytes: Uint8Array;
  /** Where the page lies in it. */
  readonly host: number;
  /** The record decoded at an offset of the page, or 0. */
  recordAt(offset: number): number;
  /**
   * Whether the block that starts at a record is executed often enough to follow a path into it.
   */
  isWarm(record: number): boolean;
}

/** Finds regions. */
export class RegionFinder {
  private readonly decoder: Decoder;
  private readonly semantics: SemanticTable;

  constructor(decoder: Decoder, semantics: SemanticTable) {
    this.decoder = decoder;
    this.semantics = semantics;
  }

  /** The region entered at `entry`, or undefined when compiling it would gain nothing. */
  find(page: RegionPage, entry: number): Region | undefined {
    const blocks = new Map<number, Block>();
    const pending = [entry];
    let room = REGION_INSTRUCTIONS_MAX;
    for (let offset = pending.shift(); offset !== undefined; offset = pending.shift()) {
      if (blocks.has(offset) || blocks.size >= REGION_BLOCKS_MAX || room <= 0) continue;
      if (offset !== entry && !isWorthwhile(page, offset)) continue;
      const block = this.block(page, offset, room, blocks);
      if (block.instructions.length === 0) continue;
      blocks.set(offset, block);
      room -= block.instructions.length;
      const { end } = block;
      if (end.kind === 'branch') {
        pending.push(end.taken);
        if (end.next !== undefined) pending.push(end.next);
      } else if (end.kind !== 'leaves') {
        pending.push(end.next);
      }
    }
    if (!blocks.has(entry)) return undefined;
    return { entry, blocks, record: page.recordAt(entry) };
  }

  private block(
    page: RegionPage,
    offset: number,
    room: number,
    blocks: ReadonlyMap<number, Block>,
  ): Block {
    const instructions: RegionInstruction[] = [];
    let at = offset;
    for (;;) {
      const goesOn: BlockEnd = { kind: 'goes on', next: at };
      const joins = at !== offset && blocks.has(at);
      if (joins || instructions.length >= room || at >= PAGE_BYTES) {
        return { offset, instructions, end: goesOn };
      }
      const decoded = this.instruction(page, at);
      if (!decoded) return { offset, instructions, end: goesOn };
      instructions.push(decoded);
      at += decoded.instruction.length;
      const { row } = decoded.instruction;
      if (!row.endsBlock) continue;
      return { offset, instructions, end: endOf(decoded, at) };
    }
  }

  /** The instruction at an offset, if it has been decoded before. */
  private instruction(page: RegionPage, offset: number): RegionInstruction | undefined {
    if (offset < 0 || offset >= PAGE_BYTES) return undefined;
    const record = page.recordAt(offset);
    if (record === 0) return undefined;
    const { bytes, host } = page;
    const instruction = createInstruction();
    const limit = host + PAGE_BYTES;
    const status = this.decoder.decode(bytes, host + offset, limit, 8, instruction);
    if (status !== DecodeStatus.ok || !semanticOf(this.semantics, instruction.row))
      return undefined;
    return { instruction, addressing: addressingOf(instruction), offset, record };
  }
}

function isWorthwhile(page: RegionPage, offset: number): boolean {
  const record = offset >= 0 && offset < PAGE_BYTES ? page.recordAt(offset) : 0;
  return record !== 0 && page.isWarm(record);
}

/** The end of a block whose last instruction is a transfer of control. */
function endOf({ instruction, offset }: RegionInstruction, next: number): BlockEnd {
  const { row, immLo, length } = instruction;
  const direct = row.operands.some((operand) => operand.type === 'rel8' || operand.type === 'relz');
  if (
    row.mnemonic === 'call' &&
    row.operands[0].type !== 'far' &&
    row.operands[0].type !== 'mfar'
  ) {
    return { kind: 'call', target: direct ? next + immLo : undefined, next };
  }
  if (!direct) return goesOn(row) ? { kind: 'goes on', next } : { kind: 'leaves' };
  const taken = offset + length + immLo;
  const conditional = row.mnemonic !== 'jmp';
  return { kind: 'branch', taken, next: conditional ? next : undefined };
}
