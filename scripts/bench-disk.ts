// `npm run bench:disk [-- rounds]`: how fast a guest's disk is, ours and that of QEMU's TCG, raw
// and qcow2. Debian's fio runs the same jobs (disk/guest/speed.fio) in the same guest under each of
// the four in turn; per round, ours is divided by the others of that round. The images are full,
// and in memory (/dev/shm, or the page cache): what is measured is the way from the guest to the
// host's kernel.

import { createReadStream, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VmmError } from '../packages/vmm/src/base/errors.ts';
import { memoryFolder, qemuImg } from '../packages/vmm/test/block/qemu-img.ts';
import { prepareContender, startQemu, versionOf } from './bench/contenders.ts';
import { prepareDiskGuest } from './disk/disk-guest.ts';
import { diskCommandLine, endOfJob, startDiskGuest } from './disk/disk-machine.ts';
import { type FioJob, parseFio } from './disk/fio-output.ts';
import { type Guest, pattern } from './guest.ts';

const USAGE = 'usage: npm run bench:disk [-- rounds]';
const ROUNDS_DEFAULT = 5;
const DISK_MB = 256;
const JOB = 'job=fio file=speed.fio';

/** Who is measured: a program, and the format of the disk it has. */
const CONTENDERS = ['ours raw', 'ours qcow2', 'qemu raw', 'qemu qcow2'] as const;
type Contender = (typeof CONTENDERS)[number];
type Result = Readonly<Record<Contender, readonly FioJob[]>>;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** The whole file through the page cache. */
async function readAll(path: string): Promise<void> {
  for await (const _ of createReadStream(path));
}

async function measure(guest: Guest, contender: Contender, disk: string): Promise<FioJob[]> {
  await readAll(disk);
  const format = contender.endsWith('qcow2') ? 'qcow2' : 'raw';
  const text = contender.startsWith('ours')
    ? await startDiskGuest(guest, [disk], JOB).end()
    : await endOfJob(
        startQemu(await oneInitrd(guest, disk), diskCommandLine(JOB), 'inherit', format),
      );
  const jobs = parseFio(text);
  if (jobs.length > 0 && jobs.every(({ error }) => error === 0)) return jobs;
  throw new VmmError('EIO', `fio failed under ${contender}:\n${text}`);
}

/** QEMU takes one initrd: both in one file, beside the disk. */
async function oneInitrd(guest: Guest, disk: string): Promise<Guest> {
  const initrd = `${disk}.initrd`;
  const parts: Buffer[] = [];
  for (const path of guest.initrd.split(',')) {
    for await (const chunk of createReadStream(path)) parts.push(chunk as Buffer);
    // Each archive begins at a multiple of four.
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    parts.push(Buffer.alloc(-length & 3));
  }
  writeFileSync(initrd, Buffer.concat(parts));
  return { ...guest, initrd, disk };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** One line for each job: medians of the rates, and of the rounds' ratios. */
function table(results: readonly Result[]): string {
  const names = results[0]!['ours raw'].map(({ name }) => name);
  const ratios: readonly (readonly [string, Contender, Contender])[] = [
    ['raw/qemu', 'ours raw', 'qemu raw'],
    ['qcow2/qemu', 'ours qcow2', 'qemu qcow2'],
    ['qcow2/raw', 'ours qcow2', 'ours raw'],
  ];
  const head = [...CONTENDERS, ...ratios.map(([title]) => title)].map((it) => it.padStart(11));
  const lines = [`${''.padEnd(25)}${head.join('')}`];
  for (const [index, name] of names.entries()) {
    const rate = (result: Result, contender: Contender): number => result[contender][index]!.rate;
    const rates = CONTENDERS.map((it) => median(results.map((result) => rate(result, it))));
    const shares = ratios.map(([, a, b]) => median(results.map((it) => rate(it, a) / rate(it, b))));
    const cells = [...rates.map((it) => it.toFixed(0)), ...shares.map((it) => it.toFixed(2))];
    const { unit } = results[0]!['ours raw'][index]!;
    lines.push(`${name.padEnd(20)}${unit.padEnd(5)}${cells.map((it) => it.padStart(11)).join('')}`);
  }
  return `${lines.join('\n')}\n`;
}

async function main([word, ...others]: readonly string[]): Promise<void> {
  const rounds = Number(word ?? ROUNDS_DEFAULT);
  if (!Number.isInteger(rounds) || rounds < 1 || others.length > 0) {
    throw new VmmError('EINVAL', USAGE);
  }
  const tell = (text: string): void => say(`${text} ...`);
  prepareContender('qemu', tell);
  const guest = prepareDiskGuest(tell);
  const folder = memoryFolder();
  try {
    const raw = join(folder, 'disk.raw');
    const qcow2 = join(folder, 'disk.qcow2');
    writeFileSync(raw, pattern(DISK_MB << 20, 5));
    qemuImg('convert', '-O', 'qcow2', raw, qcow2);
    const results: Result[] = [];
    for (let round = 1; round <= rounds; round++) {
      // Who comes first changes, so that nobody always follows the same one.
      const turn = [...CONTENDERS.slice(round % 4), ...CONTENDERS.slice(0, round % 4)];
      const result = {} as Record<Contender, FioJob[]>;
      for (const contender of turn) {
        const disk = contender.endsWith('qcow2') ? qcow2 : raw;
        result[contender] = await measure(guest, contender, disk);
        const rates = result[contender].map(({ rate, unit }) => `${rate.toFixed(0)} ${unit}`);
        say(`round ${round}: ${contender}: ${rates.join(', ')}`);
      }
      results.push(result);
    }
    process.stdout.write(`${versionOf('qemu')}, Node ${process.version}; rounds: ${rounds}\n`);
    process.stdout.write(table(results));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Error) || error.name !== 'VmmError') throw error;
  say(error.message);
  process.exitCode = 1;
}
