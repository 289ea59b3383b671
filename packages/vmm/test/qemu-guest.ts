// Runs the memory of a small guest (guest-program.ts) on QEMU's own processor, TCG, for a second
// opinion on what it reports. A ROM of a few instructions puts the processor into the guest's state
// for 16- and 32-bit guests; the reports are read from QEMU's trace of port writes.
//
// QEMU is not an oracle everywhere: TCG checks no segment limits and knows nothing of #AC and of
// CR4.VME, for example. A test says where it must not be asked, and why.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble, DONE, type Guest, REPORT } from './guest-program.ts';

const QEMU = 'qemu-system-x86_64';
const ROM_BYTES = 0x10000;
const ROM_BASE = 0xf0000;
/** Guest memory below this is the ROM's vector table, which no 32-bit guest uses. */
const RAM_START = 0x1000;
/** And what is above this is not carried over: the PC has its video memory and ROMs there. */
const RAM_END = 0xa0000;
const TIMEOUT_MS = 20_000;
/** The exit status by which isa-debug-exit says that the guest has written 0 to it: 2 × 0 + 1. */
const isDone = (status: number | null): boolean => status !== null && (status & 1) === 1;

/** A line of the trace: four bytes written to the report port, where no device is. */
const REPORT_WRITE = new RegExp(
  `addr 0x${REPORT.toString(16)} value (0x[0-9a-f]+) size 4 name 'io'`,
  'g',
);

/** True when QEMU can be asked. */
export const hasQemu: boolean = spawnSync(QEMU, ['--version']).status === 0;

const ROM_SOURCE = {
  32: `
    cli
    lgdt cs:[gdtr - ${ROM_BASE}]
    lidt cs:[idtr - ${ROM_BASE}]
    mov eax, 0x31
    mov cr0, eax
    .byte 0x66, 0xea
    .long narrow
    .word 0x08
    .code32
  narrow:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    mov esp, 0x8000
    mov eax, 0x10000
    jmp eax
  gdtr: .word 0x17
    .long 0x1000
  idtr: .word 0x7ff
    .long 0x2000`,
  16: `
    cli
    mov sp, 0x8000
    .byte 0xea
    .word 0, 0x1000`,
};

function romFor(mode: 16 | 32): Uint8Array {
  const rom = new Uint8Array(ROM_BYTES);
  rom.set(assemble(ROM_SOURCE[mode], 16, ROM_BASE));
  // The reset vector: jmp 0xf000:0.
  rom.set([0xea, 0, 0, 0, 0xf0], ROM_BYTES - 16);
  return rom;
}

/** What a guest that has not run yet reports on QEMU, in the order of time. */
export function qemuReports(guest: Guest): number[] {
  if (guest.mode === 64) throw new Error('QEMU is asked about 16- and 32-bit guests only');
  const folder = mkdtempSync(join(tmpdir(), 'vmm-qemu-'));
  try {
    const path = (name: string): string => join(folder, name);
    writeFileSync(path('rom'), romFor(guest.mode));
    const { buffer, byteOffset } = guest.view;
    const start = guest.mode === 16 ? 0 : RAM_START;
    const ram = new Uint8Array(buffer, byteOffset + start, RAM_END - start);
    writeFileSync(path('ram'), Uint8Array.from(ram));
    const { status, stderr } = spawnSync(
      QEMU,
      [
        ...['-accel', 'tcg', '-cpu', 'Westmere', '-m', '4', '-nodefaults', '-display', 'none'],
        ...['-no-reboot', '-bios', path('rom')],
        ...['-device', `loader,file=${path('ram')},addr=${start},force-raw=on`],
        ...['-device', `isa-debug-exit,iobase=${DONE},iosize=1`],
        ...['-trace', 'memory_region_ops_write', '-D', path('trace')],
      ],
      { timeout: TIMEOUT_MS, encoding: 'utf8' },
    );
    if (!isDone(status)) throw new Error(`QEMU did not get there: ${status} ${stderr}`);
    const trace = readFileSync(path('trace'), 'utf8');
    return Array.from(trace.matchAll(REPORT_WRITE), ([, value]) => Number(value));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
