// `npm run boot [-- kernel]`: boots Debian's kernel, or the bzImage given, with the guest's
// initramfs. On a terminal the user gets the guest's shell. Otherwise the guest checks itself and
// switches itself off, and the exit status tells whether all was well.

import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { COMMAND_LINE, type Guest, prepareGuest } from './guest.ts';
import { startVmctl } from './vmctl-process.ts';

/** The self-check takes seconds; a guest that hangs must end. */
const SELF_CHECK_SECONDS_MAX = 300;

async function main(kernel: string | undefined): Promise<number> {
  let guest: Guest;
  try {
    guest = prepareGuest((text) => process.stderr.write(`${text} ...\n`));
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'VmmError') throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
  if (kernel !== undefined) guest = { ...guest, kernel };
  // A copy of its own, as a disk belongs to one machine at a time and the guest may write to it.
  const folder = mkdtempSync(join(tmpdir(), 'boot-'));
  try {
    const disk = join(folder, 'disk.img');
    copyFileSync(guest.disk, disk);
    return await (process.stdin.isTTY ? interactive(guest, disk) : selfCheck(guest, disk));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function interactive(guest: Guest, disk: string): Promise<number> {
  const { rows = 24, columns = 80 } = process.stdout;
  const size = `rows=${rows} columns=${columns}`;
  const child = startVmctl(guest, disk, `${COMMAND_LINE} ${size}`, ['-L'], 'inherit');
  return new Promise((resolve) => child.once('exit', (status) => resolve(status ?? 1)));
}

async function selfCheck(guest: Guest, disk: string): Promise<number> {
  const options = ['-t', String(SELF_CHECK_SECONDS_MAX), '--no-reboot'];
  const commandLine = `${COMMAND_LINE} panic=-1 selfcheck`;
  const child = startVmctl(guest, disk, commandLine, options, ['ignore', 'pipe', 'inherit']);
  let seen = '';
  child.stdout!.setEncoding('utf8');
  child.stdout!.on('data', (text: string) => {
    process.stdout.write(text);
    seen += text;
  });
  const status = await new Promise<number>((resolve) => {
    child.once('close', (code) => resolve(code ?? 1));
  });
  const verdict = /^selfcheck: (ok|failed: .*?)\r?$/m.exec(seen)?.[1];
  if (verdict === 'ok' && status === 0) {
    process.stdout.write('The guest booted, and its self-check passed.\n');
    return 0;
  }
  process.stderr.write(`${complaint(verdict, status)}\n`);
  return status === 0 ? 1 : status;
}

function complaint(verdict: string | undefined, status: number): string {
  if (verdict === undefined) {
    return `The guest ended without the result of its self-check (vmctl exited with ${status}).`;
  }
  if (verdict === 'ok') {
    return `The self-check passed, but vmctl exited with ${status} afterwards.`;
  }
  return `The guest's self-check ${verdict}.`;
}

process.exitCode = await main(process.argv[2]);
