// `npm run bench:boot [-- runs]`: how long the guest takes from the start of the process to the
// first line of its /init, here and under QEMU's TCG: same kernel, initramfs, command line, memory
// and devices. The two take turns, so that a change in the host's load meets both.

import type { ChildProcess } from 'node:child_process';
import { prepareContender, startQemu } from './bench/contenders.ts';
import { median } from './bench/table.ts';
import { COMMAND_LINE, FIRST_LINE, type Guest, prepareGuest } from './guest.ts';
import { startVmctl } from './vmctl-process.ts';

const RUNS_DEFAULT = 5;
/** A guest that has not come this far is not going to. */
const SECONDS_MAX = 300;

type Start = (guest: Guest) => ChildProcess;

const CONTENDERS: Record<string, Start> = {
  vmctl: (guest) => startVmctl(guest, guest.disk, COMMAND_LINE, [], ['ignore', 'pipe', 'inherit']),
  qemu: (guest) => startQemu(guest, COMMAND_LINE, 'inherit'),
};

/** Milliseconds from starting a process to the first line of /init; rejects when it never comes. */
async function timeBoot(start: Start, guest: Guest): Promise<number> {
  const begin = performance.now();
  const child = start(guest);
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const timeout = setTimeout(() => child.kill('SIGKILL'), SECONDS_MAX * 1000);
  try {
    return await new Promise<number>((resolve, reject) => {
      let seen = '';
      child.once('error', reject);
      child.stdout!.on('data', (chunk: Buffer) => {
        seen += chunk.toString('latin1');
        if (seen.includes(FIRST_LINE)) resolve(performance.now() - begin);
      });
      child.once('close', () => reject(new Error('The guest ended before its first line.')));
    });
  } finally {
    clearTimeout(timeout);
    child.kill('SIGKILL');
    if (child.pid !== undefined) await gone;
  }
}

async function main(runs: number): Promise<number> {
  if (!Number.isInteger(runs) || runs < 1) {
    process.stderr.write('usage: npm run bench:boot [-- runs]\n');
    return 1;
  }
  const say = (text: string): void => void process.stderr.write(`${text} ...\n`);
  prepareContender('qemu', say);
  const guest = prepareGuest(say);
  const times: Record<string, number[]> = {};
  for (let run = 1; run <= runs; run++) {
    for (const [name, start] of Object.entries(CONTENDERS)) {
      const ms = await timeBoot(start, guest);
      (times[name] ??= []).push(ms);
      process.stdout.write(`run ${run} of ${runs}: ${name.padEnd(5)} ${ms.toFixed(0)} ms\n`);
    }
  }
  const ours = median(times.vmctl!);
  const theirs = median(times.qemu!);
  process.stdout.write(
    `median of ${runs}: vmctl ${ours.toFixed(0)} ms, qemu ${theirs.toFixed(0)} ms, ` +
      `ratio ${(ours / theirs).toFixed(2)}\n`,
  );
  return 0;
}

try {
  process.exitCode = await main(Number(process.argv[2] ?? RUNS_DEFAULT));
} catch (error) {
  process.stderr.write(`Cannot measure: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
