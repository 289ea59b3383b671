// Machines to suspend and restore in tests: a small guest on the soft engine and a clock that moves
// only when the machine polls or idles, so that the same machine does the same again.

import { type Clock, VirtualClock } from '../src/base/clock.ts';
import type { JitMode } from '../src/cpu/jit/jit.ts';
import { GuestRam } from '../src/machine/guest-ram.ts';
import { Machine, type MachineEnd, type MachineOptions } from '../src/machine/machine.ts';
import type { MachineSummary } from '../src/machine/snapshot/machine-section.ts';
import { SnapshotReader } from '../src/machine/snapshot/snapshot-reader.ts';
import type { SavedParts } from '../src/machine/snapshot/snapshot-writer.ts';
import type { Engine } from '../src/vmm/engine.ts';
import { SoftEngine } from '../src/vmm/soft-engine.ts';
import { interrupts, testKernel } from './test-kernel.ts';

const MB = 1 << 20;
const WASM_PAGE_BYTES = 65536;
const POLL_NS = 1e5;
export const MEMORY_BYTES: number = 4 * MB;

/** The clock of the machine that runs: machines share engines, for it takes time to build one. */
let current = new VirtualClock();
const clock: Clock = { now: () => current.now(), wallMs: () => current.wallMs() };
const entropy = { fill: (bytes: Uint8Array): void => void bytes.fill(0x5a) };
const engines = new Map<JitMode, SoftEngine>();

function engineOf(jit: JitMode): SoftEngine {
  const engine = engines.get(jit) ?? new SoftEngine({ clock, entropy, codeBytes: 2 * MB, jit });
  engines.set(jit, engine);
  return engine;
}

/** A guest that has an interrupt every millisecond, and prints what it computes with all of its
 * registers: sixty lines' worth of letters, each of which depends on everything before it. */
export const KERNEL_SOURCE = `
  ${interrupts({ 32: 'tick' }, 1)}
  outb 0x43, 0x34
  outb 0x40, 0xa9
  outb 0x40, 0x04
  mov eax, cr4
  or eax, 0x600
  mov cr4, eax
  mov eax, cr0
  and eax, 0xfffffffb
  or eax, 2
  mov cr0, eax
  finit
  fldpi
  fld1
  mov eax, 0x9e3779b9
  movd xmm5, eax
  pshufd xmm5, xmm5, 0
  xor ebp, ebp
  mov ebx, 12345
  sti
1: mov ecx, 3000
2: imul ebx, ebx, 1103515245
  add ebx, 12345
  movd xmm1, ebx
  paddd xmm5, xmm1
  pxor xmm5, xmm1
  fmul st, st(1)
  fsqrt
  dec ecx
  jnz 2b
  movd eax, xmm5
  fst qword ptr [0x200000]
  xor eax, [0x200000]
  xor eax, ebx
  mov [0x201000 + ebp * 4], eax
  shr eax, 13
  and eax, 15
  add eax, 97
  mov dx, 0x3f8
  out dx, al
  hlt
  inc ebp
  cmp ebp, 60
  jb 1b
  leave 0x11
tick: push eax
  inc dword ptr [0x202000]
  mov al, 0x20
  out 0x20, al
  pop eax
  iretd
`;

let kernel: Uint8Array | undefined;

/** What a guest has done. */
export interface Watched {
  readonly machine: Machine;
  readonly ram: GuestRam;
  readonly output: () => string;
  /** Runs until `polls` more have passed, or it ends. */
  run(polls: number): MachineEnd;
}

/** How it is made. */
export interface Making {
  readonly jit?: JitMode;
  readonly wrap?: (engine: SoftEngine) => Engine;
  readonly source?: string;
  /** A file to go on with, and the memory that was read from it. */
  /** Called at every poll, with its number from 1. */
  readonly atPoll?: (poll: number, machine: Machine) => void;
  readonly restored?: { summary: MachineSummary; parts: SavedParts; ram: GuestRam };
  readonly more?: (ram: GuestRam) => Partial<MachineOptions>;
}

/** Memory for a machine, all zeros. */
export function freshRam(memoryBytes: number = MEMORY_BYTES): GuestRam {
  const initial = memoryBytes / WASM_PAGE_BYTES;
  const memory = new WebAssembly.Memory({ initial, maximum: initial + 1024, shared: true });
  return new GuestRam(memory, { memoryBytes, hasFirmware: false });
}

/** Makes a machine that boots, or goes on. */
export function makeMachine(making: Making = {}): Watched {
  const { jit = 'off', wrap = (engine: SoftEngine): Engine => engine, restored } = making;
  const own = new VirtualClock(Date.UTC(2024, 1, 29));
  own.advance(restored?.summary.timeNs ?? 0);
  current = own;
  const ram = restored?.ram ?? freshRam();
  let output = '';
  let polls = 0;
  let until = 0;
  kernel ??= testKernel(KERNEL_SOURCE);
  const bytes = making.source === undefined ? kernel : testKernel(making.source);
  const options: MachineOptions = {
    name: 'traveller',
    ram,
    engine: wrap(engineOf(jit)),
    clock,
    entropy,
    host: {
      poll() {
        own.advance(POLL_NS);
        polls++;
        making.atPoll?.(polls, machine);
        return polls >= until;
      },
      idle(deadlineNs) {
        if (deadlineNs !== Infinity) own.advance(Math.max(0, deadlineNs - own.now()));
      },
    },
    kernel: { name: 'kernel', bytes },
    modules: [],
    commandLine: '',
    console: { transmit: (byte) => void (output += String.fromCharCode(byte)) },
    nics: [],
    disks: [],
    exitPort: true,
    noReboot: true,
    ...making.more?.(ram),
  };
  const machine: Machine = restored
    ? Machine.restore(options, restored.parts)
    : new Machine(options);
  return {
    machine,
    ram,
    output: () => output,
    run(count) {
      current = own;
      until = polls + count;
      return machine.run();
    },
  };
}

/** The machine as a file. */
export function fileOf(machine: Machine): Uint8Array {
  return joined([...machine.save()].map((piece) => piece.bytes));
}

/** Arrays, one after the other. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** `bytes` as they may arrive. */
export async function* inPieces(bytes: Uint8Array, size = 10_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Reads a file into fresh memory. */
export async function readFile(bytes: Uint8Array, pieceBytes?: number) {
  const reader = await SnapshotReader.open(inPieces(bytes, pieceBytes));
  const summary = reader.machine;
  const ram = freshRam();
  const parts = await reader.finish(ram);
  return { summary, parts, ram };
}
