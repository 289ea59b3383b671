// vmd(8) as a process on a socket in a folder of its own, for tests: its log to wait for, and
// vmctl(8) to talk to it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Guest } from '../../../scripts/guest.ts';
import { root } from '../../../scripts/root.ts';
import { interrupts, testKernel } from '../../vmm/test/test-kernel.ts';

// Not by this file's place: scripts that use it may be compiled to another.
const VMD = join(root(), 'packages/vmd/bin/vmd.js');
const VMCTL = join(root(), 'packages/vmd/bin/vmctl.js');
/** Machines are slow while others work. */
const PATIENCE_MS = 60_000;
const POLL_MS = 20;

/** What a program left. */
export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running vmctl. */
export interface Running {
  readonly process: ChildProcess;
  /** What it has written so far. */
  readonly text: { stdout: string; stderr: string };
  readonly finished: Promise<Finished>;
}

const text = (words: string): string =>
  [...words].map((character) => `put ${character.charCodeAt(0)}`).join('; ');

/** Says that it is ready, and waits for ACPI's power button, after which it does `then`. */
const buttonKernel = (then: string): string => `
  ${interrupts({ 41: 'button' }, 1 << 9)}
  mov dx, 0x602
  mov ax, 0x100
  out dx, ax
  ${text('ready\n')}
  sti
1: hlt
  jmp 1b
button: mov dx, 0x600
  mov ax, 0x100
  out dx, ax
  ${then}
  outb 0xa0, 0x20
  outb 0x20, 0x20
  iretd`;

/** Kernels for the machines of tests, by name. */
export const KERNELS: Readonly<Record<string, string>> = {
  /** Says that it is ready, and waits for ever. */
  idle: `${interrupts({}, 0)}; ${text('ready\n')}; 1: sti; hlt; jmp 1b`,
  halt: 'cli; hlt',
  /** Switches the machine off when the button is pressed. */
  polite: buttonKernel(`${text('bye')}; mov dx, 0x604; mov ax, 0x3401; out dx, ax; jmp .`),
  /** Hears the button, and does nothing about it. */
  stubborn: buttonKernel(text('no')),
  /** Wants to hear the button, and then never takes an interrupt. */
  deaf: `mov dx, 0x602; mov ax, 0x100; out dx, ax; ${text('ready\n')}; jmp .`,
  reboot: 'outb 0xcf9, 6; jmp .',
  /** Says that it is ready, and then what is typed. */
  echo: `
    ${interrupts({ 36: 'input' }, 1 << 4)}
    outb 0x3fa, 1
    outb 0x3fc, 8
    outb 0x3f9, 1
    ${text('ready\n')}
    sti
  1: hlt
    jmp 1b
  input: mov dx, 0x3fd
    in al, dx
    test al, 1
    jz 2f
    mov dx, 0x3f8
    in al, dx
    out dx, al
    jmp input
  2: outb 0x20, 0x20
    iretd`,
  /** Writes without an end. */
  flood: 'mov dx, 0x3f8; mov al, 97; 1: out dx, al; jmp 1b',
};

/** Resolves when `condition` is true, which is looked at again and again. */
export async function eventually(
  what: string,
  condition: () => boolean,
  patienceMs: number = PATIENCE_MS,
): Promise<void> {
  const untilMs = performance.now() + patienceMs;
  while (!condition()) {
    if (performance.now() > untilMs) throw new Error(`This did not come true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** A port that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Whether the process lives. One that has ended and is not waited for does not. */
export function lives(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** A vmd and its folder. */
export class VmdProcess {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'vmd-process-'));
  readonly socket: string = join(this.folder, 'vmd.sock');
  readonly conf: string = join(this.folder, 'vm.conf');
  log = '';
  process: ChildProcess | undefined;
  exit: Promise<number | string | null> = Promise.resolve(null);

  constructor() {
    for (const [name, source] of Object.entries(KERNELS)) {
      writeFileSync(this.kernel(name), testKernel(source));
    }
  }

  kernel(name: string): string {
    return join(this.folder, `${name}.kernel`);
  }

  /** A vm of 16 MB for a configuration; `more` are further lines of its block. */
  vm(name: string, kernel: string, ...more: string[]): string {
    const lines = [`boot "${this.kernel(kernel)}"`, 'memory 16M', ...more];
    return `vm "${name}" {\n${lines.join('\n')}\n}\n`;
  }

  /** Debian's kernel, with further lines of its block. */
  configurationOf(name: string, guest: Guest, more: readonly string[]): string {
    const lines = [
      `boot "${guest.kernel}"`,
      `initrd "${guest.initrd}"`,
      'cmdline "console=ttyS0 quiet"',
      ...more,
    ];
    return `vm "${name}" {\n${lines.join('\n')}\n}\n`;
  }

  configure(...texts: string[]): void {
    writeFileSync(this.conf, texts.join(''));
  }

  /** Starts it in the foreground, and waits until it listens. */
  async start(environment: NodeJS.ProcessEnv = {}): Promise<void> {
    const child = spawn(process.execPath, [VMD, '-dv', '-f', this.conf, '-s', this.socket], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.process = child;
    this.exit = new Promise((resolve) => {
      child.on('exit', (status, signal) => resolve(signal ?? status));
    });
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (chunk: string) => {
      this.log += chunk;
    });
    await this.logged(/^listening at /m);
  }

  /** Resolves when the log has a line that matches. */
  async logged(pattern: RegExp): Promise<void> {
    const hasEnded = (): boolean => this.process?.exitCode !== null;
    try {
      await eventually(String(pattern), () => pattern.test(this.log) || hasEnded());
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.log}`);
    }
    if (!pattern.test(this.log)) throw new Error(`vmd has ended.\n${this.log}`);
  }

  spawnCtl(...words: string[]): Running {
    const child = spawn(process.execPath, [VMCTL, '-s', this.socket, ...words]);
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => (output.stdout += chunk));
    child.stderr.on('data', (chunk) => (output.stderr += chunk));
    const finished = new Promise<Finished>((resolve) => {
      child.on('close', (status) => resolve({ status, ...output }));
    });
    return { process: child, text: output, finished };
  }

  /** Runs vmctl to its end. */
  ctl(...words: string[]): Promise<Finished> {
    const { process: child, finished } = this.spawnCtl(...words);
    child.stdin!.end();
    return finished;
  }

  /** What vmctl status --json says. */
  async status(): Promise<readonly { id: number; name: string; state: string; pid: number }[]> {
    const { stdout, stderr } = await this.ctl('status', '--json');
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout);
  }

  async state(name: string): Promise<string | undefined> {
    return (await this.status()).find((vm) => vm.name === name)?.state;
  }

  /** Ends it, and removes the folder. */
  async dispose(): Promise<void> {
    this.process?.kill('SIGTERM');
    await this.exit;
    if (existsSync(this.folder)) rmSync(this.folder, { recursive: true });
  }
}
