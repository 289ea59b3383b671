// Regions: the pieces of guest code that are compiled, one WebAssembly function each. A region is a
// set of basic blocks with one entry, found by following direct jumps and calls from a hot block.
// What leads out of it is an exit: indirect jumps, callers' returns, code that has never been
// executed.
//
// Addresses in a region are relative: bytes from the start of the page with its entry, as linear
// addresses. A jump is followed into a page beside its own, so that a loop may lie across pages;
// that the other page is mapped where it was when the region was found is checked on the way there.
//
// A short callee is part of its caller's region, once for each call: its blocks are of a frame.
// What it returns to is compared, like any address that the guest computes.

import { createInstruction, type Decoder } from '../../isa/decoder.ts';
import { DecodeStatus, type Instruction } from '../../isa/instruction.ts';
import type { CodeKind } from '../code-page.ts';
import { type Addressing, type SemanticTable, semanticOf } from '../context.ts';
import { addressingOf } from '../handlers.ts';
import { goesOn } from './compilable.ts';

/** Beyond this a region only takes longer to compile. */
const REGION_INSTRUCTIONS_MAX = 200;
const REGION_BLOCKS_MAX = 48;
/** Instructions of callees in a region, and of one callee. */
const INLINED_INSTRUCTIONS_MAX = 80;
const CALLEE_INSTRUCTIONS_MAX = 20;
/** Callees in callees. */
const FRAMES_MAX = 2;
const PAGE_BYTES = 4096;
/** How far from the entry's page a callee may be, in pages: 1 GiB. */
const DISTANCE_MAX = 2 ** 18;

/** An instruction of a region. */
export interface RegionInstruction {
  readonly instruction: Instruction;
  readonly addressing: Addressing;
  /** Where it starts: bytes from the start of the page with the region's entry. */
  readonly offset: number;
  /** Its record, in linear memory. */
  readonly record: number;
}

/** A call that is part of its caller's region. */
export interface Frame {
  /** Number of the frame, from 1. */
  readonly id: number;
  /** Offset of the callee. */
  readonly entry: number;
  /** The caller's frame, and the offset there at which it goes on. */
  readonly caller: Frame | undefined;
  readonly next: number;
  readonly depth: number;
}

/** How a block ends, beside what its last instruction does itself. Offsets as in the region. */
export type BlockEnd =
  /** A conditional or unconditional direct jump. */
  | { readonly kind: 'branch'; readonly taken: number; readonly next: number | undefined }
  /**
   * A call, to an offset or (undefined) wherever its operand says. The callee's return goes on at
   * `next`.
   */
  | { readonly kind: 'call'; readonly target: number | undefined; readonly next: number }
  /** A call of a callee that is part of the region. */
  | { readonly kind: 'inlined'; readonly frame: Frame }
  /** The return of such a callee. */
  | { readonly kind: 'returns'; readonly frame: Frame }
  /** The last instruction leaves by itself: RET, indirect jumps, far transfers. */
  | { readonly kind: 'leaves' }
  /** Control goes on at an offset. */
  | { readonly kind: 'goes on'; readonly next: number };

/** A basic block. */
export interface Block {
  readonly page: RegionPage;
  readonly frame: Frame | undefined;
  readonly offset: number;
  readonly instructions: readonly RegionInstruction[];
  readonly end: BlockEnd;
}

/** Where a block starts: its frame and offset as one number, unlike that of any other block. */
export type Place = number;

/** The place at an offset in a frame. */
export const placeOf = (frame: Frame | undefined, offset: number): Place =>
  (frame?.id ?? 0) * 2 ** 33 + offset;

/** A region: its blocks by place; the entry is the first. */
export interface Region {
  readonly kind: CodeKind;
  readonly entry: number;
  readonly blocks: ReadonlyMap<Place, Block>;
  /** The record through which the region is entered. */
  readonly record: number;
}

/** A page that a region has code of. */
export interface RegionPage {
  /** Its decoded code: the address of its code page, and what is executed so. */
  readonly code: number;
  readonly kind: CodeKind;
  /** How many pages it is behind the one with the region's entry, as linear addresses. */
  readonly distance: number;
  /** Linear memory. */
  readonly bytes: Uint8Array;
  /** Where the page lies in it. */
  readonly host: number;
  /** The record decoded at an offset of the page, 0..4095, or 0. */
  recordAt(offset: number): number;
  /**
   * Whether the block that starts at a record is executed often enough to follow a path into it.
   */
  isWarm(record: number): boolean;
  /** The page at another distance from the entry's, if it is known where that is mapped. */
  at(distance: number): RegionPage | undefined;
}

/** The record at a region's offset, if that is in `page`; or 0. */
export function recordIn(page: RegionPage, offset: number): number {
  const within = offset - page.distance * PAGE_BYTES;
  return within >= 0 && within < PAGE_BYTES ? page.recordAt(within) : 0;
}

/** A block that a path leads to. */
interface Pending {
  readonly page: RegionPage;
  readonly frame: Frame | undefined;
  readonly offset: number;
}

/** Finds regions. */
export class RegionFinder {
  private readonly decoder: Decoder;
  private readonly semantics: SemanticTable;

  constructor(decoder: Decoder, semantics: SemanticTable) {
    this.decoder = decoder;
    this.semantics = semantics;
  }

  /** The region entered at `entry` of a page, or undefined when compiling it would gain nothing. */
  find(page: RegionPage, entry: number): Region | undefined {
    const search = new Search(this, page, entry);
    search.run();
    if (!search.blocks.has(entry)) return undefined;
    return { kind: page.kind, entry, blocks: search.blocks, record: page.recordAt(entry) };
  }

  /** The instruction at an offset of the region, if it is in `page` and has been decoded before. */
  instruction(page: RegionPage, offset: number): RegionInstruction | undefined {
    const within = offset - page.distance * PAGE_BYTES;
    const record = within < page.kind.end ? recordIn(page, offset) : 0;
    if (record === 0) return undefined;
    const { bytes, host, kind } = page;
    const instruction = createInstruction();
    const limit = host + kind.end;
    const status = this.decoder.decode(bytes, host + within, limit, kind.mode, instruction);
    if (status !== DecodeStatus.ok || !semanticOf(this.semantics, instruction.row))
      return undefined;
    return { instruction, addressing: addressingOf(instruction), offset, record };
  }
}

/** The search for one region. */
class Search {
  readonly blocks = new Map<Place, Block>();
  private readonly finder: RegionFinder;
  private readonly pending: Pending[];
  /** Instructions that there is room for, outside callees and in them. */
  private room = REGION_INSTRUCTIONS_MAX;
  private inlineRoom = INLINED_INSTRUCTIONS_MAX;
  private own = 0;
  private frames = 0;

  constructor(finder: RegionFinder, page: RegionPage, entry: number) {
    this.finder = finder;
    this.pending = [{ page, frame: undefined, offset: entry }];
  }

  run(): void {
    for (let at = this.pending.shift(); at; at = this.pending.shift()) {
      const { page, frame, offset } = at;
      const place = placeOf(frame, offset);
      if (this.blocks.has(place)) continue;
      if (!frame && (this.own >= REGION_BLOCKS_MAX || this.room <= 0)) continue;
      if (this.blocks.size > 0 && !isWorthwhile(page, offset)) continue;
      const block = this.block(at);
      if (block.instructions.length === 0) continue;
      this.blocks.set(place, block);
      if (!frame) {
        this.own++;
        this.room -= block.instructions.length;
      }
      this.follow(block);
    }
  }

  private follow({ page, frame, end }: Block): void {
    if (end.kind === 'branch') {
      this.push(page, frame, end.taken);
      if (end.next !== undefined) this.push(page, frame, end.next);
    } else if (end.kind === 'inlined') {
      this.push(page, end.frame, end.frame.entry, DISTANCE_MAX);
    } else if (end.kind === 'returns') {
      this.push(page, end.frame.caller, end.frame.next, DISTANCE_MAX);
    } else if (end.kind !== 'leaves') {
      this.push(page, frame, end.next);
    }
  }

  /** A path leads on to an offset, up to `reach` pages away. */
  private push(from: RegionPage, frame: Frame | undefined, offset: number, reach = 1): void {
    const page = pageWith(from, offset, reach);
    if (page) this.pending.push({ page, frame, offset });
  }

  private block({ page, frame, offset }: Pending): Block {
    const instructions: RegionInstruction[] = [];
    const room = frame ? CALLEE_INSTRUCTIONS_MAX : this.room;
    let at = offset;
    for (;;) {
      const goesOn: BlockEnd = { kind: 'goes on', next: at };
      const joins = at !== offset && this.blocks.has(placeOf(frame, at));
      if (joins || instructions.length >= room) {
        return { page, frame, offset, instructions, end: goesOn };
      }
      const decoded = this.finder.instruction(page, at);
      if (!decoded) return { page, frame, offset, instructions, end: goesOn };
      instructions.push(decoded);
      at += decoded.instruction.length;
      if (!decoded.instruction.row.endsBlock) continue;
      return { page, frame, offset, instructions, end: this.end(page, frame, decoded) };
    }
  }

  /** How a block of `frame` ends that has a transfer of control as its last instruction. */
  private end(page: RegionPage, frame: Frame | undefined, last: RegionInstruction): BlockEnd {
    const end = endOf(last);
    if (end.kind === 'leaves' && frame && isNearReturn(last)) return { kind: 'returns', frame };
    if (end.kind !== 'call' || end.target === undefined) return end;
    const callee = this.inline(page, frame, end.target, end.next);
    return callee ? { kind: 'inlined', frame: callee } : end;
  }

  /** A frame for the callee at `entry`, if that is to be part of the region. */
  private inline(
    from: RegionPage,
    caller: Frame | undefined,
    entry: number,
    next: number,
  ): Frame | undefined {
    const depth = (caller?.depth ?? 0) + 1;
    if (depth > FRAMES_MAX || from.kind.mode !== 8) return undefined;
    for (let frame = caller; frame; frame = frame.caller) {
      if (frame.entry === entry) return undefined;
    }
    const page = pageWith(from, entry, DISTANCE_MAX);
    if (!page || !isWorthwhile(page, entry)) return undefined;
    const size = this.calleeSize(page, entry);
    if (size > Math.min(CALLEE_INSTRUCTIONS_MAX, this.inlineRoom)) return undefined;
    this.inlineRoom -= size;
    this.frames++;
    return { id: this.frames, entry, caller, next, depth };
  }

  /** Instructions on the warm paths of a callee, infinitely many when none of them returns. */
  private calleeSize(page: RegionPage, entry: number): number {
    const seen = new Set<number>();
    const pending: [RegionPage, number][] = [[page, entry]];
    let count = 0;
    let returns = false;
    for (let path = pending.pop(); path; path = pending.pop()) {
      const [within] = path;
      let [, at] = path;
      if (at !== entry && !isWorthwhile(within, at)) continue;
      while (!seen.has(at)) {
        const decoded = this.finder.instruction(within, at);
        if (!decoded) break;
        seen.add(at);
        count++;
        // What changes how code is mapped is looked at where a region is entered.
        const isSystem = decoded.instruction.row.cpl0;
        if (isSystem || count > CALLEE_INSTRUCTIONS_MAX) return Number.POSITIVE_INFINITY;
        at += decoded.instruction.length;
        if (!decoded.instruction.row.endsBlock) continue;
        const end = endOf(decoded);
        returns ||= isNearReturn(decoded);
        const next =
          end.kind === 'branch' ? [end.taken, end.next] : 'next' in end ? [end.next] : [];
        for (const offset of next) {
          const beside = offset !== undefined && pageWith(within, offset, 1);
          if (beside) pending.push([beside, offset]);
        }
        break;
      }
    }
    return returns ? count : Number.POSITIVE_INFINITY;
  }
}

/** The page with an offset, if that is at most `reach` pages from `from`. */
function pageWith(from: RegionPage, offset: number, reach: number): RegionPage | undefined {
  const distance = Math.floor(offset / PAGE_BYTES);
  if (distance === from.distance) return from;
  // Elsewhere, how addresses wrap depends on the code segment.
  if (from.kind.mode !== 8 || Math.abs(distance) > DISTANCE_MAX) return undefined;
  return Math.abs(distance - from.distance) <= reach ? from.at(distance) : undefined;
}

function isWorthwhile(page: RegionPage, offset: number): boolean {
  const record = recordIn(page, offset);
  return record !== 0 && page.isWarm(record);
}

const isNearReturn = ({ instruction }: RegionInstruction): boolean =>
  instruction.row.mnemonic === 'ret';

/** The end of a block whose last instruction is a transfer of control. */
function endOf({ instruction, offset }: RegionInstruction): BlockEnd {
  const { row, immLo, length } = instruction;
  const next = offset + length;
  const direct = row.operands.some((operand) => operand.type === 'rel8' || operand.type === 'relz');
  if (
    row.mnemonic === 'call' &&
    row.operands[0].type !== 'far' &&
    row.operands[0].type !== 'mfar'
  ) {
    return { kind: 'call', target: direct ? next + immLo : undefined, next };
  }
  if (!direct) return goesOn(row) ? { kind: 'goes on', next } : { kind: 'leaves' };
  const taken = next + immLo;
  const conditional = row.mnemonic !== 'jmp';
  return { kind: 'branch', taken, next: conditional ? next : undefined };
}
