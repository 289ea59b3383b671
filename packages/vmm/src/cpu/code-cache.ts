// Decoded code: pages, records, and what invalidates them.
//
// Records are written once, in order, into one arena of linear memory. Dropping a page's code marks
// its records stale where they lie, so that a handler that was on its way to one of them looks
// again; their memory comes back when the arena is full and everything is dropped at once. That of
// the code page, which is most of it where little of a page is executed, is used again for the next
// one.

import { createInstruction, type Decoder } from '../isa/decoder.ts';
import { BASE_RIP, type CodeMode, DecodeStatus, type Instruction } from '../isa/instruction.ts';
import { CODE_BOUND_SHIFT, CODE_MODE_MASK, CODE_PAGE, CODE_PAGE_BYTES } from './code-page.ts';
import type { SpecialHandler } from './flow.ts';
import { addressingOf, type HandlerIndex } from './handlers.ts';
import { EPOCH_IN_TAG, EPOCH_STEP } from './jump-cache.ts';
import {
  fieldOf,
  hasVectorIndex,
  operandSize,
  registerFormSize,
  registerNaming,
  registerOf,
} from './operand-size.ts';
import { LEAF_ENTRIES, PAGE, type PhysicalMap, ROOT_ENTRIES } from './physical-map.ts';
import { BLOCK_INSTRUCTIONS_MAX, R, RECORD_BYTES } from './record.ts';
import {
  byteSlot,
  FETCH_ENTRIES,
  FETCH_ENTRY_BYTES,
  FETCH_SUPERVISOR,
  gprSlot,
  JUMP,
  JUMP_ENTRIES,
  JUMP_ENTRY_BYTES,
  S,
  SLOT,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  TLB_SUPERVISOR,
} from './state.ts';

/** Two records for an instruction that crosses pages, one to end the block, the longest block. */
const ROOM_FOR_BLOCK = (BLOCK_INSTRUCTIONS_MAX + 4) * RECORD_BYTES;
/**
 * What a new code page takes of the slice, as so many instructions. A guest that writes its code
 * over and over would make a slice last for seconds otherwise.
 */
const PAGE_CHARGE = 1000;
const SS_INDEX = 2;
const DS_INDEX = 3;
/** Mnemonics whose implicit memory operand is the stack: their address faults are #SS. */
const STACK = new Set('push pop call ret enter leave pushf popf pusha popa retf iret'.split(' '));

/** Mnemonics of what transfers control, for single-stepping on branches. */
const BRANCHES = new Set(
  'jcc jmp call ret retf iret loop loope loopne jrcxz syscall sysret sysenter sysexit int'.split(
    ' ',
  ),
);

/** Places in the function table of the handlers that are no rows'. */
export type SpecialPlaces = Readonly<Record<SpecialHandler | 'invalid' | 'tooLong', number>>;

/** Where a vCPU's decoded code may lie. */
export interface Arena {
  readonly base: number;
  readonly bytes: number;
}

/** The decoded code of one vCPU. */
export class CodeCache {
  private readonly cpu: number;
  private readonly u8: Uint8Array;
  private readonly u16: Uint16Array;
  private readonly i32: Int32Array;
  private readonly map: PhysicalMap;
  private readonly arena: Arena;
  private readonly decoder: Decoder;
  private readonly handlers: HandlerIndex;
  private readonly special: SpecialPlaces;
  private readonly codeMap: number;
  private next: number;
  private readonly instruction: Instruction = createInstruction();
  /** Record runs of each code page: start and end addresses, to be marked stale. */
  private readonly runs = new Map<number, number[]>();
  private readonly crossingBytes = new Uint8Array(32);
  /** Code pages whose page was written. */
  private readonly free: number[] = [];
  /** Called with each code page whose records turn stale. */
  onDrop: (code: number) => void = () => {};
  /** How often everything was dropped because the arena was full. */
  flushes = 0;
  /** Instructions decoded. */
  decoded = 0;
  /** How often the code of a page was dropped because it was written. */
  invalidations = 0;

  constructor(options: {
    cpu: number;
    memory: WebAssembly.Memory;
    map: PhysicalMap;
    arena: Arena;
    codeMap: number;
    decoder: Decoder;
    handlers: HandlerIndex;
    special: SpecialPlaces;
  }) {
    const { buffer } = options.memory;
    this.cpu = options.cpu;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.map = options.map;
    this.arena = options.arena;
    this.codeMap = options.codeMap;
    this.decoder = options.decoder;
    this.handlers = options.handlers;
    this.special = options.special;
    this.next = options.arena.base;
  }

  /** Bytes of the arena in use. */
  get bytesUsed(): number {
    return this.next - this.arena.base;
  }

  /** Records below this address are complete, and stay as they are until they turn stale. */
  get end(): number {
    return this.next;
  }

  private hasRoom(bytes: number): boolean {
    if (this.next + bytes <= this.arena.base + this.arena.bytes) return true;
    this.flush();
    return false;
  }

  /** Drops all decoded code. */
  flush(): void {
    this.flushes++;
    for (const code of this.runs.keys()) this.makeStale(code);
    this.runs.clear();
    this.free.length = 0;
    for (let slot = 0; slot < ROOT_ENTRIES; slot++) {
      const leaf = this.i32[(this.codeMap >>> 2) + slot];
      if (leaf === 0) continue;
      for (let i = 0; i < LEAF_ENTRIES; i++) {
        if (this.i32[(leaf >>> 2) + i] === 0) continue;
        this.i32[(leaf >>> 2) + i] = 0;
        this.map.setFlags(slot * LEAF_ENTRIES + i, 0, PAGE.code);
      }
    }
    this.dropFetchEntries(-1);
    this.i32[(this.cpu + S.codePage) >>> 2] = 0;
    this.next = this.arena.base;
    this.changed();
  }

  private changed(): void {
    this.i32[(this.cpu + S.codeGeneration) >>> 2]++;
    const epoch = (this.cpu + S.epoch) >>> 2;
    this.i32[epoch] += EPOCH_STEP;
    if ((this.i32[epoch] & EPOCH_IN_TAG) !== 0) return;
    const jumps = this.cpu + JUMP;
    this.u8.fill(255, jumps, jumps + JUMP_ENTRIES * JUMP_ENTRY_BYTES);
  }

  private codeMapSlot(page: number): number {
    const leaf = this.i32[(this.codeMap >>> 2) + (page >>> 10)];
    return leaf === 0 ? -1 : (leaf >>> 2) + (page & (LEAF_ENTRIES - 1));
  }

  /** The physical page number of a code page. */
  pageOf(code: number): number {
    return this.i32[(code + CODE_PAGE.page) >>> 2];
  }

  /** True when the instruction that was decoded last transfers control, by whatever condition. */
  get isBranch(): boolean {
    return BRANCHES.has(this.instruction.row.mnemonic);
  }

  /** Length of the instruction at the start of `bytes`, 0 when it needs more than `limit` bytes. */
  lengthAt(bytes: Uint8Array, limit: number, mode: CodeMode): number {
    const status = this.decoder.decode(bytes, 0, limit, mode, this.instruction);
    if (status === DecodeStatus.truncated) return 0;
    return status === DecodeStatus.ok ? this.instruction.length : 1;
  }

  /** Makes a code page for `page` in `mode`; 0 when the cache was emptied first: ask again. */
  newCodePage(page: number, mode: number): number {
    let code = this.free.pop();
    if (code === undefined) {
      if (!this.hasRoom(CODE_PAGE_BYTES)) return 0;
      code = this.next;
      this.next += CODE_PAGE_BYTES;
    }
    this.u8.fill(0, code, code + CODE_PAGE_BYTES);
    const slot = this.codeMapSlot(page);
    this.i32[(code + CODE_PAGE.next) >>> 2] = this.i32[slot];
    this.i32[(code + CODE_PAGE.mode) >>> 2] = mode;
    this.i32[(code + CODE_PAGE.page) >>> 2] = page;
    this.i32[slot] = code;
    this.runs.set(code, []);
    this.protect(page);
    this.i32[(this.cpu + S.budget) >>> 2] -= PAGE_CHARGE;
    this.i32[(this.cpu + S.overhead) >>> 2] += PAGE_CHARGE;
    return code;
  }

  /** From now on, writes to the page take the slow path. */
  private protect(page: number): void {
    const entry = this.map.get(page);
    if (entry & PAGE.code) return;
    this.map.setFlags(page, PAGE.code, 0);
    const host = entry & -4096;
    for (let i = 0; i < 3 * TLB_ENTRIES; i++) {
      const at = (this.cpu + TLB_SUPERVISOR + i * TLB_ENTRY_BYTES) >>> 2;
      // The addend and the tag give the page: take its write tag away.
      if (((this.i32[at + 4] + this.i32[at + 2]) | 0) === host && (this.i32[at + 2] & 1) === 0) {
        this.i32[at + 2] = -1;
        this.i32[at + 3] = -1;
      }
    }
  }

  /** Drops the code of a page, because decoded bytes were written or its memory changed. */
  invalidate(page: number): void {
    const slot = this.codeMapSlot(page);
    if (slot < 0 || this.i32[slot] === 0) return;
    this.invalidations++;
    const current = (this.cpu + S.codePage) >>> 2;
    for (let code = this.i32[slot]; code !== 0; code = this.i32[(code + CODE_PAGE.next) >>> 2]) {
      this.makeStale(code >>> 0);
      this.runs.delete(code >>> 0);
      this.free.push(code >>> 0);
      if (this.i32[current] === code) this.i32[current] = 0;
    }
    this.i32[slot] = 0;
    this.map.setFlags(page, 0, PAGE.code);
    this.dropFetchEntries(page);
    this.changed();
  }

  /** True while a code page is in use. */
  isLive(code: number): boolean {
    return this.runs.has(code);
  }

  private makeStale(code: number): void {
    this.onDrop(code);
    const runs = this.runs.get(code) ?? [];
    for (let i = 0; i < runs.length; i += 2) {
      for (let record = runs[i]; record < runs[i + 1]; record += RECORD_BYTES) {
        this.u16[(record + R.handler) >>> 1] = this.special.stale;
      }
    }
  }

  /** Forgets the fetch translations of a physical page, or of all (-1). */
  private dropFetchEntries(page: number): void {
    for (let i = 0; i < 2 * FETCH_ENTRIES; i++) {
      const at = (this.cpu + FETCH_SUPERVISOR + i * FETCH_ENTRY_BYTES) >>> 2;
      if (page < 0 || this.i32[at + 3] === page) {
        this.i32[at] = -1;
        this.i32[at + 1] = -1;
      }
    }
  }

  /** Decodes the block at `offset` of a code page; its first record, 0 if the cache was emptied. */
  decode(code: number, offset: number): number {
    if (!this.hasRoom(ROOM_FOR_BLOCK)) return 0;
    const page = this.i32[(code + CODE_PAGE.page) >>> 2];
    const key = this.i32[(code + CODE_PAGE.mode) >>> 2];
    const mode = (key & CODE_MODE_MASK) as CodeMode;
    const bound = key >>> CODE_BOUND_SHIFT;
    const limit = bound === 0 ? 4096 : bound;
    const host = this.map.hostOf(page);
    const first = this.next;
    const slots = (code + CODE_PAGE.map) >>> 2;
    let at = offset;
    let ended = false;
    while (!ended && this.next - first < BLOCK_INSTRUCTIONS_MAX * RECORD_BYTES) {
      if (at >= 4096) break;
      // Code that is already decoded is joined, not decoded again.
      if (at !== offset && this.i32[slots + at] !== 0) break;
      const record = this.next;
      this.next += RECORD_BYTES;
      this.i32[slots + at] = record;
      this.u16[(record + R.offset) >>> 1] = at;
      const status = this.decodeAt(host, at, limit, mode);
      if (status === DecodeStatus.ok) {
        this.fill(record, at, this.instruction);
        if (record !== first && mode === 8) this.fuse(record);
        at += this.instruction.length;
        ended = this.instruction.row.endsBlock;
      } else {
        this.fillUndecoded(record, status);
        ended = true;
        // A crossing instruction covers the page to its end; so, nearly, does one that is invalid.
        at = status === DecodeStatus.truncated ? 4096 : Math.min(4096, at + 15);
      }
    }
    const end = this.next;
    if (!ended) {
      this.fillGoOn(end, at);
      this.next += RECORD_BYTES;
    } else if (this.u16[(end - RECORD_BYTES + R.handler) >>> 1] === this.special.crossing) {
      // Room for what decodeCrossing will put there.
      this.i32[(end - RECORD_BYTES + R.taken) >>> 2] = this.next;
      this.next += 2 * RECORD_BYTES;
    }
    let left = 0;
    for (let record = end - RECORD_BYTES; record >= first; record -= RECORD_BYTES) {
      this.u16[(record + R.left) >>> 1] = ++left;
    }
    this.cover(code, offset, at);
    this.runs.get(code)!.push(first, end);
    return first;
  }

  /** Decodes the instruction at `at` of a page of which code ends at `limit`. */
  private decodeAt(host: number, at: number, limit: number, mode: CodeMode): DecodeStatus {
    // An instruction beyond the limit of CS is #GP(0), like one that is too long.
    if (at >= limit) return DecodeStatus.tooLong;
    const end = host + limit;
    const status = this.decoder.decode(this.u8, host + at, end, mode, this.instruction);
    return status === DecodeStatus.truncated && limit < 4096 ? DecodeStatus.tooLong : status;
  }

  /** If `record` is a conditional branch, has the comparison before it do both. */
  private fuse(record: number): void {
    const { row } = this.instruction;
    if (row.mnemonic !== 'jcc') return;
    const before = (record - RECORD_BYTES + R.handler) >>> 1;
    const both = this.handlers.findFused(this.u16[before], row.condition);
    if (both !== undefined) this.u16[before] = both;
  }

  private cover(code: number, from: number, to: number): void {
    const at = (code + CODE_PAGE.coverage) >>> 2;
    for (let piece = from >>> 6; piece <= (to - 1) >>> 6; piece++) {
      this.i32[at + (piece >>> 5)] |= 1 << (piece & 31);
    }
  }

  private clear(record: number): void {
    const at = record >>> 2;
    for (let i = 2; i < RECORD_BYTES / 4; i++) this.i32[at + i] = 0;
    this.u8[record + R.length] = 0;
    this.u8[record + R.addressLog] = 0;
  }

  /** A record that stands for no instruction: the block goes on at `offset` of its page. */
  private fillGoOn(record: number, offset: number): void {
    this.clear(record);
    this.u16[(record + R.handler) >>> 1] = this.special.goOn;
    this.u16[(record + R.left) >>> 1] = 0;
    this.u16[(record + R.offset) >>> 1] = offset;
  }

  private fillUndecoded(record: number, status: DecodeStatus): void {
    this.clear(record);
    const { crossing, tooLong, invalid } = this.special;
    const handler =
      status === DecodeStatus.truncated
        ? crossing
        : status === DecodeStatus.tooLong
          ? tooLong
          : invalid;
    this.u16[(record + R.handler) >>> 1] = handler;
    // No page has this number, so the first run decodes what crosses.
    this.i32[(record + R.disp) >>> 2] = -1;
  }

  /**
   * Decodes the instruction of a crossing record, whose second part is in physical page `second`,
   * into two records that R.taken of the crossing record points to.
   */
  decodeCrossing(record: number, second: number): void {
    const code = this.i32[(this.cpu + S.codePage) >>> 2];
    const mode = (this.i32[(code + CODE_PAGE.mode) >>> 2] & CODE_MODE_MASK) as CodeMode;
    const first = this.i32[(code + CODE_PAGE.page) >>> 2];
    const offset = this.u16[(record + R.offset) >>> 1];
    const head = 4096 - offset;
    const host = this.map.hostOf(first);
    const hostSecond = this.map.hostOf(second);
    this.crossingBytes.set(this.u8.subarray(host + offset, host + 4096));
    this.crossingBytes.set(this.u8.subarray(hostSecond, hostSecond + 16), head);
    const pair = this.i32[(record + R.taken) >>> 2] >>> 0;
    this.fillPair(pair, this.crossingBytes, 0, offset, mode, this.special.leavePage);
    this.coverSecond(second, mode, offset + this.instruction.length - 4096);
    this.i32[(record + R.disp) >>> 2] = second;
    this.i32[(record + R.fallThrough) >>> 2] = this.i32[(this.cpu + S.codeGeneration) >>> 2];
  }

  private coverSecond(page: number, mode: number, bytes: number): void {
    const slot = this.codeMapSlot(page);
    for (let code = this.i32[slot]; code !== 0; code = this.i32[(code + CODE_PAGE.next) >>> 2]) {
      const key = this.i32[(code + CODE_PAGE.mode) >>> 2];
      if ((key & CODE_MODE_MASK) === mode) this.cover(code, 0, Math.max(bytes, 1));
    }
  }

  /** One instruction at `bytes[at]` and a record with handler `after` behind it. */
  fillPair(
    pair: number,
    bytes: Uint8Array,
    at: number,
    offset: number,
    mode: CodeMode,
    after: number,
  ): void {
    this.u16[(pair + R.offset) >>> 1] = offset;
    const status = this.decoder.decode(bytes, at, at + 16, mode, this.instruction);
    if (status === DecodeStatus.ok) {
      this.fill(pair, offset, this.instruction);
    } else {
      this.instruction.length = 1;
      // Sixteen bytes are enough for any instruction: it is not cut off, but too long.
      this.fillUndecoded(pair, status === DecodeStatus.truncated ? DecodeStatus.tooLong : status);
    }
    this.u16[(pair + R.left) >>> 1] = 1;
    const behind = pair + RECORD_BYTES;
    this.clear(behind);
    this.u16[(behind + R.handler) >>> 1] = after;
    this.u16[(behind + R.left) >>> 1] = 0;
    this.u16[(behind + R.offset) >>> 1] = offset + this.instruction.length;
  }

  /** Writes the record of a decoded instruction. */
  private fill(record: number, offset: number, instruction: Instruction): void {
    this.decoded++;
    this.clear(record);
    const { row } = instruction;
    const addressing = addressingOf(instruction);
    const handler = this.handlers.find(instruction, addressing) ?? this.special.invalid;
    this.u16[(record + R.handler) >>> 1] = handler;
    this.u8[record + R.length] = instruction.length;
    this.u8[record + R.addressLog] = Math.log2(instruction.addrSize);
    for (const operand of row.operands) this.fillRegister(record, operand, instruction);
    this.fillAddress(record, offset, instruction, addressing === 'register');
    this.fillImmediate(record, instruction);
  }

  private fillRegister(
    record: number,
    operand: Instruction['row']['operands'][number],
    i: Instruction,
  ): void {
    const field = fieldOf(operand);
    if (field === undefined || (operand.place === 'rm' && i.mod !== 3)) return;
    const number = registerOf(operand, i);
    const file = registerNaming(operand);
    const byte = registerFormSize(operand.type, i.opsize) === 1;
    let slot = byte ? byteSlot(number, i.rexPresent) : gprSlot(number);
    if (file === 'xmm') slot = S.xmm + 16 * number;
    if (file === 'mm') slot = S.fpr + 16 * number;
    if (file === 'number') slot = number;
    this.u16[(record + field) >>> 1] = slot;
  }

  private fillAddress(record: number, offset: number, i: Instruction, none: boolean): void {
    const ripRelative = i.base === BASE_RIP;
    const segment = i.codeSize === 8 ? i.segmentOverride : i.segment;
    const base = ripRelative ? SLOT.ripBase : i.base < 0 ? SLOT.zero : gprSlot(i.base);
    const disp = ripRelative ? i.disp + offset + i.length : i.disp;
    const index = hasVectorIndex(i.row) ? S.xmm + 16 * i.index : gprSlot(i.index);
    const wideSegment = segment >= 4 ? SLOT.segmentBase + 8 * segment : SLOT.zero;
    const stack = none ? STACK.has(i.row.mnemonic) : i.segment === SS_INDEX;
    this.u16[(record + R.base) >>> 1] = none ? SLOT.zero : base;
    this.u16[(record + R.index) >>> 1] = i.index < 0 ? SLOT.zero : index;
    this.i32[(record + R.disp) >>> 2] = disp;
    this.u16[(record + R.segment) >>> 1] = i.codeSize === 8 ? wideSegment : SLOT.zero;
    this.u8[record + R.scale] = i.scale;
    this.u8[record + R.segmentIndex] = none
      ? stack
        ? SS_INDEX
        : DS_INDEX
      : i.codeSize === 8 && i.segmentOverride >= 4
        ? i.segmentOverride
        : i.segment;
  }

  private fillImmediate(record: number, i: Instruction): void {
    const at = (record + R.imm) >>> 2;
    for (const { type, place } of i.row.operands) {
      if (place === 'moffs') {
        this.i32[at] = i.disp;
        this.i32[at + 1] = i.dispHi;
      }
      if (place === 'imm2') this.u16[(record + R.reg) >>> 1] = i.imm2;
      if (place !== 'imm') continue;
      if (type === 'rel8' || type === 'relz') {
        this.i32[(record + R.disp) >>> 2] = i.immLo;
        continue;
      }
      const bits = 8 * operandSize(type, i.opsize);
      this.i32[at] = bits < 32 ? i.immLo & ((1 << bits) - 1) : i.immLo;
      if (!i.row.encoding.vex) this.i32[at + 1] = bits <= 32 ? 0 : i.immHi;
      if (type === 'far') this.u16[(record + R.reg) >>> 1] = i.imm2;
    }
  }
}
