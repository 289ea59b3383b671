// Compares what an implementation made of a vector with what the silicon made of it, and says in
// words where they differ.

import { createInstruction, Decoder } from '../../src/isa/decoder.ts';
import { disassemble } from '../../src/isa/disassembler.ts';
import { RF } from '../../src/isa/flags.ts';
import type { CodeMode, Instruction } from '../../src/isa/instruction.ts';
import { linearAddress, operandLinear, stackLinear } from './address.ts';
import type { Piece, SiliconResult, SiliconVector } from './format.ts';
import type { GeneratedVector } from './generate.ts';
import { arenaOffset, noise, Selector } from './layout.ts';
import { type ByteRange, type Undefined, undefinedOf } from './undefined.ts';
import { Fx } from './vectors.ts';

/** An implementation of the processor that can run vectors. */
export interface SiliconTarget {
  /** Takes over the whole state of `vector`: registers, segments, code and memory. */
  load(vector: SiliconVector): void;
  /** Runs the loaded vector to its first exception that the vector's `steps` do not swallow. */
  run(): SiliconResult;
  /** Frees what the implementation holds. */
  close(): void;
}

/** A vector on which the implementation and the silicon disagree. */
export interface Mismatch {
  readonly generated: GeneratedVector;
  /** The instruction, disassembled. */
  readonly text: string;
  /** One line for each part of the state that differs. */
  readonly differences: readonly string[];
}

const GPR_NAMES = [
  'rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi',
  'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
]; // biome-ignore format: two halves

/** Exceptions that push an error code (SDM vol. 3A, table 6-1). */
const WITH_CODE: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17]);
const PAGE_FAULT = 14;
const RSP = 4;

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

/** The four null selectors are one: the return to the runner's handler may turn each into 0. */
const isNull = (selector: number): boolean => selector <= 3;

const isStackOrGeneral = ({ trap }: SiliconResult): boolean => trap === 12 || trap === 13;

/** Collects differences under names. */
class Differences {
  readonly lines: string[] = [];

  expect(name: string, silicon: bigint | number, ours: bigint | number): void {
    if (silicon !== ours) {
      this.lines.push(`${name}: silicon ${hex(silicon)}, ours ${hex(ours)}`);
    }
  }
}

/**
 * Runs `vectors` on a target from `create` and compares each with the result of the same index. A
 * vector that ends the target (a shutdown, say) is a mismatch, and the next gets a new target.
 */
export function compareAll(
  create: () => SiliconTarget,
  vectors: readonly GeneratedVector[],
  results: readonly SiliconResult[],
): Mismatch[] {
  const mismatches: Mismatch[] = [];
  let target = create();
  vectors.forEach((generated, index) => {
    try {
      target.load(generated.vector);
      const mismatch = compareOne(generated, results[index], target.run());
      if (mismatch !== undefined) mismatches.push(mismatch);
    } catch (error) {
      const { text } = disassembled(generated.vector);
      mismatches.push({ generated, text, differences: [String(error)] });
      target.close();
      target = create();
    }
  });
  target.close();
  return mismatches;
}

const decoder = new Decoder();

function disassembled(vector: SiliconVector): { instruction: Instruction; text: string } {
  const instruction = createInstruction();
  const mode = (vector.mode / 8) as CodeMode;
  decoder.decode(vector.code, 0, vector.code.length, mode, instruction);
  return { instruction, text: disassemble(instruction, vector.rip) };
}

/** Compares one result with the silicon's; undefined when they agree. */
export function compareOne(
  generated: GeneratedVector,
  silicon: SiliconResult,
  ours: SiliconResult,
): Mismatch | undefined {
  const { vector } = generated;
  const { instruction, text } = disassembled(vector);
  const open = undefinedOf(vector, instruction, silicon);
  if (open.everything) return undefined;
  const differences = new Differences();
  compareOutcome(differences, open, silicon, ours);
  compareRegisters(differences, vector, open, silicon, ours);
  compareFx(differences, vector, open, silicon.fx, ours.fx);
  compareUpperHalves(differences, vector, open, silicon.ymm, ours.ymm);
  if (!open.memory) {
    const ignored = ignoredOffsets(vector, instruction, open, silicon);
    compareMemory(differences, vector, ignored, silicon.changes, ours.changes);
  }
  if (differences.lines.length === 0) return undefined;
  return { generated, text, differences: differences.lines };
}

function compareOutcome(
  differences: Differences,
  open: Undefined,
  silicon: SiliconResult,
  ours: SiliconResult,
): void {
  const either = open.stackOrAlignment && isStackOrGeneral(silicon) && isStackOrGeneral(ours);
  if (!either) differences.expect('exception', silicon.trap, ours.trap);
  differences.expect('steps', silicon.steps, ours.steps);
  differences.expect('rip', silicon.rip, ours.rip);
  if (silicon.trap !== ours.trap) return;
  if (silicon.trap === PAGE_FAULT && open.cr2 === 'any') return;
  if (WITH_CODE.has(silicon.trap)) {
    // In the upper half it is the host's kernel that has something mapped, or not: bit 0 tells.
    const foreign = silicon.trap === PAGE_FAULT && silicon.cr2 >> 63n === 1n ? 1 : 0;
    differences.expect('error code', silicon.errorCode | foreign, ours.errorCode | foreign);
  }
  if (silicon.trap !== PAGE_FAULT) return;
  const shift = open.cr2 === 'page' ? 12n : 0n;
  differences.expect('cr2', silicon.cr2 >> shift, ours.cr2 >> shift);
}

function compareRegisters(
  differences: Differences,
  vector: SiliconVector,
  open: Undefined,
  silicon: SiliconResult,
  ours: SiliconResult,
): void {
  // Outside 64-bit mode R8-15 and upper halves do not exist, and entering it leaves the latter
  // undefined (SDM vol. 1, 3.4.1.1).
  const long = vector.mode === 64 && silicon.cs === Selector.code64;
  for (let index = 0; index < (long ? 16 : 8); index++) {
    const mask = (long ? -1n : 0xffff_ffffn) & ~(open.gpr.get(index) ?? 0n);
    const part = (value: bigint): bigint => BigInt.asUintN(64, value & mask);
    differences.expect(GPR_NAMES[index], part(silicon.gpr[index]), part(ours.gpr[index]));
  }
  // RF is the kernel's and the debugger's; the runner's handler sees it in the frame it gets.
  const flags = ~(open.flags | RF);
  differences.expect('rflags', (silicon.rflags & flags) >>> 0, (ours.rflags & flags) >>> 0);
  differences.expect('cs', silicon.cs, ours.cs);
  for (const name of ['ds', 'es', 'fs', 'gs', 'ss'] as const) {
    const [a, b] = [silicon.selectors[name], ours.selectors[name]];
    if (!isNull(a) || !isNull(b)) differences.expect(name, a, b);
  }
  if (vector.mode === 64 && !open.bases) {
    differences.expect('fs base', silicon.fsBase, ours.fsBase);
    differences.expect('gs base', silicon.gsBase, ours.gsBase);
  }
}

function compareFx(
  differences: Differences,
  vector: SiliconVector,
  open: Undefined,
  silicon: Uint8Array,
  ours: Uint8Array,
): void {
  const left = new DataView(silicon.buffer, silicon.byteOffset);
  const right = new DataView(ours.buffer, ours.byteOffset);
  const word = (name: string, at: number, mask: number): void => {
    differences.expect(name, left.getUint16(at, true) & mask, right.getUint16(at, true) & mask);
  };
  word('x87 control', Fx.fcw, 0xffff);
  differences.expect('mxcsr', left.getUint32(Fx.mxcsr, true), right.getUint32(Fx.mxcsr, true));
  if (!open.x87) {
    word('x87 status', Fx.fsw, 0xffff & ~open.fsw);
    word('x87 tags', Fx.ftw, 0xff);
    for (let index = 0; index < 8; index++) {
      const a = extendedAt(left, Fx.st + index * 16);
      const b = extendedAt(right, Fx.st + index * 16);
      if (ulpsBetween(a, b) > BigInt(open.ulps)) differences.expect(`st${index}`, a, b);
    }
  }
  for (let index = 0; index < (vector.mode === 64 ? 16 : 8); index++) {
    const at = Fx.xmm + index * 16;
    if (open.xmm === 'reciprocal' && closeSingles(left, right, at)) continue;
    differences.expect(`xmm${index}`, wideAt(left, at), wideAt(right, at));
  }
}

function compareUpperHalves(
  differences: Differences,
  vector: SiliconVector,
  open: Undefined,
  silicon: Uint8Array,
  ours: Uint8Array,
): void {
  const left = new DataView(silicon.buffer, silicon.byteOffset);
  const right = new DataView(ours.buffer, ours.byteOffset);
  for (let index = 0; index < (vector.mode === 64 ? 16 : 8); index++) {
    const at = index * 16;
    if (open.xmm === 'reciprocal' && closeSingles(left, right, at)) continue;
    differences.expect(`ymm${index} above`, wideAt(left, at), wideAt(right, at));
  }
}

const wideAt = (view: DataView, at: number): bigint =>
  (view.getBigUint64(at + 8, true) << 64n) | view.getBigUint64(at, true);

const extendedAt = (view: DataView, at: number): bigint =>
  (BigInt(view.getUint16(at + 8, true)) << 64n) | view.getBigUint64(at, true);

const FRACTION = (1n << 63n) - 1n;

/** Units in the last place between two 80-bit numbers; a large number when their signs differ. */
function ulpsBetween(a: bigint, b: bigint): bigint {
  if (a >> 79n !== b >> 79n) return 1n << 80n;
  if (a === b) return 0n;
  // The integer bit follows from the exponent in all that an instruction makes; without it the
  // encodings count on from one binade to the next.
  const rank = (value: bigint): bigint => (((value >> 64n) & 0x7fffn) << 63n) | (value & FRACTION);
  const distance = rank(a) - rank(b);
  return distance < 0n ? -distance : distance === 0n ? 1n << 80n : distance;
}

/** The relative error that RCPPS and RSQRTPS may have is 1.5 x 2^-12; both sides may have it. */
const RECIPROCAL_ERROR = 3 * 2 ** -12;

/** True when the four singles at `at` are the same, or nearly so if they are ordinary numbers. */
function closeSingles(left: DataView, right: DataView, at: number): boolean {
  for (let offset = at; offset < at + 16; offset += 4) {
    if (left.getUint32(offset, true) === right.getUint32(offset, true)) continue;
    const a = left.getFloat32(offset, true);
    const b = right.getFloat32(offset, true);
    if (!(Math.abs(a - b) <= Math.abs(a) * RECIPROCAL_ERROR)) return false;
  }
  return true;
}

/** The arena offsets of the bytes that `open` leaves undefined. */
function ignoredOffsets(
  vector: SiliconVector,
  instruction: Instruction,
  open: Undefined,
  silicon: SiliconResult,
): ReadonlySet<number> {
  const ignored = new Set<number>();
  const ignore = (from: bigint, ranges: readonly ByteRange[]): void => {
    for (const range of ranges) {
      for (let byte = range.from; byte < range.to; byte++) {
        ignored.add(arenaOffset(linearAddress(vector.mode, from + BigInt(byte))));
      }
    }
  };
  if (open.bytes.length > 0 && instruction.mod !== 3) {
    ignore(operandLinear(vector, instruction), open.bytes);
  }
  if (open.stackBytes.length > 0) ignore(stackLinear(vector, silicon.gpr[RSP]), open.stackBytes);
  return ignored;
}

/** The bytes of `changes` by arena offset. */
function changedBytes(changes: readonly Piece[]): Map<number, number> {
  const bytes = new Map<number, number>();
  for (const { offset, bytes: run } of changes) {
    run.forEach((byte, index) => {
      bytes.set(offset + index, byte);
    });
  }
  return bytes;
}

function compareMemory(
  differences: Differences,
  vector: SiliconVector,
  ignored: ReadonlySet<number>,
  silicon: readonly Piece[],
  ours: readonly Piece[],
): void {
  if (silicon.length === 0 && ours.length === 0) return;
  const left = changedBytes(silicon);
  const right = changedBytes(ours);
  const patched = changedBytes(vector.patches);
  const before = (offset: number): number =>
    patched.get(offset) ?? (noise(vector.seed, offset >> 2) >>> ((offset & 3) * 8)) & 0xff;
  const offsets = [...new Set([...left.keys(), ...right.keys()])].sort((a, b) => a - b);
  for (const offset of offsets) {
    if (ignored.has(offset)) continue;
    const a = left.get(offset) ?? before(offset);
    differences.expect(`memory at arena + ${hex(offset)}`, a, right.get(offset) ?? before(offset));
  }
}
