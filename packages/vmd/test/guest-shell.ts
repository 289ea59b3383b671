// A guest of Debian's kernel and busybox under vmd(8), for tests: its shell on its console.

import { networkInterfaces } from 'node:os';
import { eventually, type Running, type VmdProcess } from './vmd-process.ts';

/** What a boot may take while others work. */
export const BOOT_MS_MAX = 300_000;

/** A guest's shell on its console. */
export class GuestShell {
  private readonly console: Running;
  private at = 0;
  private count = 0;

  constructor(vmd: VmdProcess, name: string) {
    this.console = vmd.spawnCtl('console', name);
  }

  /** Resolves when the guest has booted. */
  async ready(): Promise<void> {
    const { text } = this.console;
    await eventually('a prompt', () => text.stdout.includes('guest:/root# '), BOOT_MS_MAX);
    this.at = text.stdout.length;
  }

  /** What a command prints, and then its status. */
  async run(line: string): Promise<string> {
    const { process, text } = this.console;
    const mark = `done ${++this.count}`;
    process.stdin!.write(`${line}\necho "done" ${this.count} $?\n`);
    const pattern = new RegExp(`^${mark} \\d+`, 'm');
    await eventually(`${mark}, of: ${line}`, () => pattern.test(text.stdout.slice(this.at)));
    const said = text.stdout.slice(this.at);
    this.at = text.stdout.length;
    return said;
  }
}

/** An address of the host's that is not for the host alone. */
export function hostAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}
