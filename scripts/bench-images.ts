// `node scripts/run.mjs scripts/bench-images.ts [rounds]`: how fast disks are by their interface,
// raw and qcow2, without a guest. Both are measured in turn, in short pieces, and the best of each
// counts: what else the machine does falls on both.

import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createQcow2, type Disk } from 'vmm';
import { HostFile, openDisk } from 'vmm-node';

const MB = 1 << 20;
const DISK_BYTES = 128 * MB;
const PAGE_BYTES = 4096;
const QUEUE = 16;

/** Memory as a guest's is: shared with other threads. */
function buffer(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(bytes)).fill(0x5a);
}

/** A linear congruential sequence of page offsets: Numerical Recipes, 7.1. */
function pageOffsets(count: number): number[] {
  const pages = DISK_BYTES / PAGE_BYTES;
  let state = 7;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 8) % pages) * PAGE_BYTES;
  });
}

/** A request as a device makes it: at once if that can be. */
async function move(
  disk: Disk,
  what: 'read' | 'write',
  at: number,
  parts: Uint8Array[],
): Promise<void> {
  const done = what === 'read' ? disk.readNow?.(at, parts) : disk.writeNow?.(at, parts);
  if (done !== true) await disk[what](at, parts);
}

interface Measure {
  readonly name: string;
  readonly unit: 'MB/s' | '1/s';
  readonly amount: number;
  run(disk: Disk): Promise<void>;
}

function sequential(name: string, what: 'read' | 'write', bytes: number): Measure {
  const data = buffer(bytes);
  return {
    name,
    unit: 'MB/s',
    amount: DISK_BYTES / MB,
    async run(disk) {
      for (let at = 0; at < DISK_BYTES; at += bytes) await move(disk, what, at, [data]);
    },
  };
}

function random(name: string, what: 'read' | 'write', queue: number): Measure {
  const buffers = Array.from({ length: queue }, () => buffer(PAGE_BYTES));
  const offsets = pageOffsets(4000);
  const each = async (disk: Disk, data: Uint8Array, first: number): Promise<void> => {
    for (let at = first; at < offsets.length; at += queue)
      await move(disk, what, offsets[at]!, [data]);
  };
  return {
    name,
    unit: '1/s',
    amount: offsets.length,
    async run(disk) {
      await Promise.all(buffers.map((data, first) => each(disk, data, first)));
    },
  };
}

const MEASURES: readonly Measure[] = [
  sequential('write, 1 MB', 'write', MB),
  sequential('read, 1 MB', 'read', MB),
  sequential('read, 64 KB', 'read', 64 << 10),
  random('read, random 4 KB, one at a time', 'read', 1),
  random(`read, random 4 KB, ${QUEUE} at once`, 'read', QUEUE),
  random(`write, random 4 KB, ${QUEUE} at once`, 'write', QUEUE),
];

async function newDisk(path: string, format: 'raw' | 'qcow2'): Promise<Disk> {
  const file = new HostFile(path, await open(path, 'wx+'), false);
  if (format === 'raw') await file.setSize(DISK_BYTES);
  else await createQcow2(file, DISK_BYTES);
  await file.close();
  return openDisk({ path, format }, false);
}

/** Milliseconds that `task` takes. */
async function time(task: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await task();
  return performance.now() - start;
}

function report(name: string, unit: string, amount: number, ms: readonly number[]): void {
  const [raw, qcow2] = ms.map((best) => (amount / best) * 1000) as [number, number];
  const figures = [raw, qcow2].map((figure) => `${figure.toFixed(0).padStart(8)}`).join('');
  process.stdout.write(
    `${name.padEnd(34)} ${unit.padEnd(5)}${figures}  ${(qcow2 / raw).toFixed(2)}\n`,
  );
}

async function main(rounds: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-images-'));
  process.stdout.write(`${''.padEnd(40)}     raw   qcow2  ratio\n`);
  try {
    const first = [Infinity, Infinity];
    for (let round = 0; round < Math.min(rounds, 5); round++) {
      for (const [index, format] of (['raw', 'qcow2'] as const).entries()) {
        const disk = await newDisk(join(folder, `first${round}.${format}`), format);
        const ms = await time(() => MEASURES[0]!.run(disk));
        first[index] = Math.min(first[index]!, ms);
        await disk.close();
        rmSync(join(folder, `first${round}.${format}`));
      }
    }
    report('first write, 1 MB', 'MB/s', DISK_BYTES / MB, first);
    const disks = [
      await newDisk(join(folder, 'disk.raw'), 'raw'),
      await newDisk(join(folder, 'disk.qcow2'), 'qcow2'),
    ];
    for (const disk of disks) await MEASURES[0]!.run(disk);
    for (const measure of MEASURES) {
      const best = [Infinity, Infinity];
      for (let round = 0; round < rounds; round++) {
        for (const [index, disk] of disks.entries()) {
          best[index] = Math.min(best[index]!, await time(() => measure.run(disk)));
        }
      }
      report(measure.name, measure.unit, measure.amount, best);
    }
    for (const disk of disks) await disk.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

await main(Number(process.argv[2] ?? 20));
