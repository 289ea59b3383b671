// A guest that is sent from machine to machine while it works: Debian's kernel under vmd(8), with
// machines of the same hardware that differ in how they execute, and "vmctl send" and "receive" in
// between. Each machine is a process of its own.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, type Running, VmdProcess } from '../../packages/vmd/test/vmd-process.ts';
import { type CpioEntry, cpioArchive } from '../../packages/vmm/src/machine/boot/cpio.ts';
import { prepareGuest } from '../guest.ts';
import { root } from '../root.ts';

/** How machines execute: vm.conf(5), "jit". */
export const MODES = ['off', 'on', 'always'] as const;
/** One of {@link MODES}. */
export type Mode = (typeof MODES)[number];

const VMCTL = join(root(), 'packages/vmd/bin/vmctl.js');
const MEMORY_MB = 256;
const SLOT_BYTES = 65536;
const SLOTS = 64;
const NUMBERS = 20000;
/** The guest's clock may be so far off, in seconds: its `date` is of whole seconds, and busy. */
const OFF_SECONDS_MAX = 3;
/** The slowest mode on a busy host. */
const PATIENCE_MS = 120_000;

/** What the guest must compute. */
function expected(): { sha256: string; harmonic: string } {
  const hash = createHash('sha256');
  let sum = 0;
  for (let n = 1; n <= NUMBERS; n++) {
    hash.update(`${n}\n`);
    sum += 1 / n;
  }
  return { sha256: hash.digest('hex'), harmonic: sum.toFixed(12) };
}

/** What slot of the disk the guest wrote as its `n`th. */
function slotContent(n: number): Buffer {
  let text = '';
  for (let at = n; text.length < SLOT_BYTES; at++) text += `${at}\n`;
  return Buffer.from(text.slice(0, SLOT_BYTES));
}

/** What one trip took. */
export interface Trip {
  readonly fileBytes: number;
  readonly sendMs: number;
  readonly receiveMs: number;
}

/** The guest, and the machine that it is in at the moment. */
export class Traveller {
  private readonly vmd: VmdProcess = new VmdProcess();
  private readonly file: string;
  private readonly disk: string;
  private at: Mode;
  private console: Running | undefined;
  /** Where in the console's text the current machine's begins to count. */
  private seen = 0;
  private ticks = 0;

  private constructor(first: Mode) {
    this.at = first;
    this.file = join(this.vmd.folder, 'machine.suspended');
    this.disk = join(this.vmd.folder, 'disk.img');
  }

  /** Boots the guest in a machine of the mode `first`, and has it work. */
  static async start(first: Mode): Promise<Traveller> {
    const traveller = new Traveller(first);
    try {
      await traveller.boot();
    } catch (error) {
      const evidence = traveller.evidence;
      await traveller.dispose();
      throw new Error(`${(error as Error).message}\n${evidence}`);
    }
    return traveller;
  }

  private async boot(): Promise<void> {
    const { vmd } = this;
    const guest = prepareGuest();
    copyFileSync(guest.disk, this.disk);
    const initrd = join(vmd.folder, 'initramfs.cpio');
    const data = readFileSync(join(root(), 'scripts/suspend/guest/workload.sh'));
    const entries: CpioEntry[] = [
      { kind: 'directory', path: 'etc', mode: 0o755 },
      { kind: 'file', path: 'etc/workload.sh', mode: 0o755, data },
    ];
    writeFileSync(initrd, Buffer.concat([readFileSync(guest.initrd), cpioArchive(entries)]));
    writeFileSync(
      vmd.conf,
      MODES.map(
        (mode) => `vm "${mode}" {
	disable
	memory ${MEMORY_MB}M
	engine soft
	jit ${mode}
	boot "${guest.kernel}"
	initrd "${initrd}"
	cmdline "console=ttyS0 quiet"
	disk "${this.disk}" format raw
	local interface
}
`,
      ).join(''),
    );
    await vmd.start();
    await this.ctl('start', this.at);
    this.attach();
    await this.shows(/guest:\/root# /);
    const { sha256, harmonic } = expected();
    this.console!.process.stdin!.write(`sh /etc/workload.sh ${sha256} ${harmonic}\n`);
    await this.works();
  }

  /** Waits until the guest has done some of everything where it is, and its clock is right. */
  async works(): Promise<void> {
    const some = /computed \d+[\s\S]*?tick \d+ \d+\r?\n/;
    await this.shows(some);
    await this.shows(/wrote \d+\r?\n/);
    const before = this.ticks;
    const last = (): { n: number; seconds: number } => {
      const all = [...this.text.matchAll(/^tick (\d+) (\d+)\r?$/gm)];
      const [, n = '0', seconds = '0'] = all.at(-1) ?? [];
      return { n: Number(n), seconds: Number(seconds) };
    };
    await this.until('the guest has counted on, at the right time', () => {
      const { n, seconds } = last();
      const isRight = Math.abs(Date.now() / 1000 - seconds) <= OFF_SECONDS_MAX;
      if (n > before && isRight) this.ticks = n;
      return n > before && isRight;
    });
    this.checkConsole();
  }

  /** Suspends the machine it is in to a file, and goes on in a machine of the mode `to`. */
  async travel(to: Mode): Promise<Trip> {
    const startMs = performance.now();
    await this.throughFile(`"$0" "$1" -s "$2" send "$3" > "$4"`, this.at);
    await this.console?.finished;
    this.checkConsole();
    const sentMs = performance.now();
    const fileBytes = statSync(this.file).size;
    await this.throughFile(`"$0" "$1" -s "$2" receive "$3" < "$4"`, to);
    this.at = to;
    this.attach();
    return { fileBytes, sendMs: sentMs - startMs, receiveMs: performance.now() - sentMs };
  }

  /** Has the guest end its work and switch itself off; compares the disk with what it wrote. */
  async finish(): Promise<void> {
    // The workload has the terminal: another one would be its parent's.
    this.console!.process.stdin!.write('\x1a');
    await this.shows(/Stopped/);
    this.console!.process.stdin!.write('rm /tmp/go; fg\n');
    await this.shows(/workload: done, wrote (\d+)/);
    const wrote = Number(/workload: done, wrote (\d+)/.exec(this.text)![1]);
    this.console!.process.stdin!.write('poweroff -f\n');
    await this.console!.finished;
    this.checkConsole();
    this.checkDisk(wrote);
  }

  /** Ends everything, whatever became of it. */
  async dispose(): Promise<void> {
    await this.vmd.dispose();
  }

  /** For when something went wrong. */
  get evidence(): string {
    return `${this.vmd.log}\n--- console\n${(this.console?.text.stdout ?? '').slice(-3000)}`;
  }

  private checkDisk(wrote: number): void {
    const disk = readFileSync(this.disk);
    for (let n = Math.max(1, wrote - SLOTS + 1); n <= wrote; n++) {
      const at = (n % SLOTS) * SLOT_BYTES;
      if (slotContent(n).equals(disk.subarray(at, at + SLOT_BYTES))) continue;
      throw new Error(`The disk does not have what the guest wrote as its ${n}th.`);
    }
  }

  private checkConsole(): void {
    const bad = /^bad.*$/m.exec(this.console?.text.stdout ?? '');
    if (bad !== null) throw new Error(`The guest found: ${bad[0]}`);
  }

  private get text(): string {
    return (this.console?.text.stdout ?? '').slice(this.seen);
  }

  private attach(): void {
    this.console = this.vmd.spawnCtl('console', this.at);
    this.seen = 0;
  }

  private shows(pattern: RegExp): Promise<void> {
    return this.until(String(pattern), () => pattern.test(this.text));
  }

  private until(what: string, condition: () => boolean): Promise<void> {
    return eventually(what, condition, PATIENCE_MS);
  }

  private async ctl(...words: string[]): Promise<void> {
    const { status, stderr } = await this.vmd.ctl(...words);
    if (status !== 0) throw new Error(`vmctl ${words.join(' ')}: ${stderr}`);
  }

  /** Runs vmctl with the file as its input or output, by a shell, as a user does. */
  private throughFile(command: string, name: string): Promise<void> {
    const words = [command, process.execPath, VMCTL, this.vmd.socket, name, this.file];
    const child = spawn('sh', ['-c', ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk) => (stderr += chunk));
    return new Promise((resolve, reject) => {
      child.on('close', (status) => {
        if (status === 0) resolve();
        else reject(new Error(`${command}: status ${status}: ${stderr}`));
      });
    });
  }
}
