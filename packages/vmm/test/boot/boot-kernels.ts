// Kernels that print what their loader handed to them (kernel.c), made by gcc for each protocol,
// and two ways to run them: by this project's loader, and by QEMU's where it knows the protocol.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualClock } from '../../src/base/clock.ts';
import { GuestRam } from '../../src/machine/guest-ram.ts';
import { Machine, type MachineOptions } from '../../src/machine/machine.ts';
import { SoftEngine } from '../../src/vmm/soft-engine.ts';
import { testEntropy } from '../boot-memory.ts';

const MB = 1 << 20;
const WASM_PAGE_BYTES = 65536;
const POLLS_MAX = 20_000;
const QEMU = 'qemu-system-x86_64';
const TIMEOUT_MS = 30_000;

export type Protocol = 'MULTIBOOT' | 'MULTIBOOT2' | 'PVH' | 'OPENBSD';

/** A kernel made in a folder that {@link remove} takes away. */
export interface BootKernel {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** True when there is a compiler for 32-bit code. */
export const hasCompiler: boolean = spawnSync('gcc', ['--version']).status === 0;

/** True when QEMU can be asked. */
export const hasQemu: boolean = spawnSync(QEMU, ['--version']).status === 0;

/** A folder for kernels; `remove` it at the end. */
export class KernelFolder {
  readonly path: string = mkdtempSync(join(tmpdir(), 'boot-kernels-'));

  /**
   * Compiles the kernel of a protocol, an ELF32 file; `wide` makes an ELF64 file of the same code.
   */
  build(protocol: Protocol, wide = false): BootKernel {
    const source = (name: string): string => join(import.meta.dirname, name);
    const path = join(this.path, protocol.toLowerCase());
    const flags = [
      ...['-m32', '-march=i686', '-mgeneral-regs-only', '-ffreestanding', '-nostdlib', '-static'],
      ...['-fno-pic', '-no-pie', '-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-O1'],
      ...['-Wall', '-Werror', '-Wl,--build-id=none', '-Wl,-z,max-page-size=4096'],
      ...['-Wl,--no-warn-rwx-segments', '-Wl,-T', source('kernel.ld'), `-D${protocol}`],
    ];
    const files = [source('entry.S'), source('kernel.c')];
    execFileSync('gcc', [...flags, '-o', path, ...files], { stdio: ['ignore', 'pipe', 'pipe'] });
    if (!wide) return { path, bytes: readFileSync(path) };
    execFileSync('objcopy', ['-O', 'elf64-x86-64', path, `${path}64`]);
    return { path: `${path}64`, bytes: readFileSync(`${path}64`) };
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}

/** What a kernel gets besides; files have the bytes that their modules have. */
export interface Beside {
  readonly commandLine: string;
  readonly modules?: MachineOptions['modules'];
  readonly memoryMb?: number;
}

/** Boots a kernel here; returns what it printed, line by line. Throws when it does not end. */
export function bootHere(kernel: BootKernel, beside: Beside): string[] {
  const { commandLine, modules = [], memoryMb = 64 } = beside;
  const initial = (memoryMb * MB) / WASM_PAGE_BYTES;
  const memory = new WebAssembly.Memory({ initial, maximum: initial + 1024, shared: true });
  const clock = new VirtualClock();
  const engine = new SoftEngine({ clock, entropy: testEntropy, codeBytes: 2 * MB, jit: 'off' });
  let output = '';
  let polls = 0;
  const machine = new Machine({
    name: 'test',
    ram: new GuestRam(memory, { memoryBytes: memoryMb * MB, hasFirmware: false }),
    engine,
    clock,
    entropy: testEntropy,
    host: {
      poll: () => ++polls > POLLS_MAX,
      idle: () => {},
    },
    kernel: { name: kernel.path, bytes: kernel.bytes },
    modules,
    commandLine,
    console: {
      transmit: (byte) => {
        output += String.fromCharCode(byte);
      },
    },
    nics: [],
    disks: [],
    exitPort: true,
    noReboot: true,
  });
  const end = machine.run();
  if (end.kind !== 'exit-port') throw new Error(`The kernel ended by ${end.kind}: ${output}`);
  return linesOf(output);
}

/** Boots a kernel in QEMU with words for -append and -initrd; returns what it printed. */
export function bootQemu(kernel: BootKernel, append: string, initrd?: string): string[] {
  const { status, stdout, stderr } = spawnSync(
    QEMU,
    [
      ...['-accel', 'tcg', '-cpu', 'Westmere', '-m', '64', '-nodefaults', '-display', 'none'],
      ...['-no-reboot', '-serial', 'stdio', '-kernel', kernel.path, '-append', append],
      ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=1'],
      ...(initrd === undefined ? [] : ['-initrd', initrd]),
    ],
    { timeout: TIMEOUT_MS, encoding: 'utf8' },
  );
  // isa-debug-exit turns a 0 into 1.
  if (status !== 1) throw new Error(`QEMU ended with ${status}: ${stdout} ${stderr}`);
  return linesOf(stdout);
}

function linesOf(output: string): string[] {
  return output.trimEnd().split('\n');
}

/** The lines that do not depend on the machine: the protocol's own. */
export function ofProtocol(lines: readonly string[]): string[] {
  return lines.filter((line) => !line.startsWith('own '));
}

/** The memory map that a kernel printed: base, length and type of each range. */
export function rangesIn(lines: readonly string[]): number[][] {
  return lines
    .filter((line) => line.startsWith('own range '))
    .map((line) =>
      line
        .split(' ')
        .slice(2)
        .map((word) => Number.parseInt(word, 16)),
    );
}
