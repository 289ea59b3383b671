// `npm run bench:disk [-- rounds [raw|qcow2]]`: how fast a guest's disk is, ours and that of
// QEMU's TCG, raw and qcow2. Debian's fio does the same requests (disk/guest/speed.fio) in the
// same guest under each of the four in turn; per round, ours is divided by the others of that
// round. The images are full, and in memory (/dev/shm, or the page cache): what is measured is
// the way from the guest to the host's kernel.
//
// Beside the rates stands what a request costs of processors, of all threads of the process, guest
// included, and within what time the quickest tenth of requests were answered: on a machine with
// other work these say more.

import { createReadStream, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VmmError } from '../packages/vmm/src/base/errors.ts';
import { memoryFolder, qemuImg } from '../packages/vmm/test/block/qemu-img.ts';
import { prepareContender, startQemu, versionOf } from './bench/contenders.ts';
import { sampleProcess } from './bench/processor-share.ts';
import { prepareDiskGuest } from './disk/disk-guest.ts';
import { diskCommandLine, endOfJob, startDiskGuest } from './disk/disk-machine.ts';
import { type FioJob, parseFio } from './disk/fio-output.ts';
import { type Guest, pattern } from './guest.ts';

const USAGE = 'usage: npm run bench:disk [-- rounds [raw|qcow2]]';
const ROUNDS_DEFAULT = 5;
const DISK_MB = 256;
const JOB = 'job=bench file=speed.fio';
/** The job that only starts fio. */
const NOTHING = 'nothing';

/** Who is measured: a program, and the format of the disk it has. */
const CONTENDERS = ['ours raw', 'ours qcow2', 'qemu raw', 'qemu qcow2'] as const;
type Contender = (typeof CONTENDERS)[number];

/** A job, and microseconds of processors for each of its requests. */
interface Measured extends FioJob {
  readonly cost: number;
}

type Result = Readonly<Partial<Record<Contender, readonly Measured[]>>>;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** The whole file through the page cache. */
async function readAll(path: string): Promise<void> {
  for await (const _ of createReadStream(path));
}

async function measure(guest: Guest, contender: Contender, disk: string): Promise<Measured[]> {
  await readAll(disk);
  const format = contender.endsWith('qcow2') ? 'qcow2' : 'raw';
  const spent: number[] = [];
  const onBegin = (_name: string, pid: number): void => {
    const { threads } = sampleProcess(pid);
    spent.push([...threads.values()].reduce((sum, { ranNs }) => sum + ranNs / 1000, 0));
  };
  const text = contender.startsWith('ours')
    ? await startDiskGuest(guest, [disk], JOB, onBegin).end()
    : await endOfJob(
        startQemu(await oneInitrd(guest, disk), diskCommandLine(JOB), 'inherit', { format }),
        onBegin,
      );
  const all = parseFio(text);
  // The second half is all of them again, warm.
  const jobs = all.slice(all.length / 2);
  spent.splice(0, all.length / 2);
  const isWhole = jobs[0]?.name === NOTHING && spent.length === jobs.length + 1;
  if (!isWhole || !jobs.every(({ error }) => error === 0)) {
    throw new VmmError('EIO', `fio failed under ${contender}:\n${text}`);
  }
  const costs = jobs.map((_, index) => spent[index + 1]! - spent[index]!);
  return jobs
    .map((job, index) => ({ ...job, cost: (costs[index]! - costs[0]!) / job.requests }))
    .slice(1);
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

const TITLES = { rate: 'rate', cost: 'cost of a request', quick: 'quick tenth within' } as const;

/** Ours over others, as "raw/qemu". */
const RATIOS: readonly (readonly [string, Contender, Contender])[] = [
  ['raw/qemu', 'ours raw', 'qemu raw'],
  ['qcow2/qemu', 'ours qcow2', 'qemu qcow2'],
  ['qcow2/raw', 'ours qcow2', 'ours raw'],
];

/** One line for each job: medians over the rounds, and of the rounds' ratios. */
function table(results: readonly Result[], value: keyof typeof TITLES): string {
  const contenders = CONTENDERS.filter((it) => results[0]![it] !== undefined);
  const compared = RATIOS.filter(([, a, b]) => contenders.includes(a) && contenders.includes(b));
  const jobs = results[0]![contenders[0]!]!;
  const title = TITLES[value];
  const titles = [...contenders, ...compared.map(([name]) => name)];
  const head = titles.map((it) => it.padStart(11));
  const lines = [`${title.padEnd(25)}${head.join('')}`];
  for (const [index, { name, unit }] of jobs.entries()) {
    const of = (result: Result, contender: Contender): number => result[contender]![index]![value];
    const values = contenders.map((it) => median(results.map((result) => of(result, it))));
    const ratios = compared.map(([, a, b]) => median(results.map((it) => of(it, a) / of(it, b))));
    const cells = [...values.map((it) => it.toFixed(0)), ...ratios.map((it) => it.toFixed(2))];
    const measure = (value === 'rate' ? unit : 'us').padEnd(5);
    lines.push(`${name.padEnd(20)}${measure}${cells.map((it) => it.padStart(11)).join('')}`);
  }
  return `${lines.join('\n')}\n`;
}

async function main([word, format, ...others]: readonly string[]): Promise<void> {
  const rounds = Number(word ?? ROUNDS_DEFAULT);
  const contenders = CONTENDERS.filter((it) => format === undefined || it.endsWith(` ${format}`));
  const isGood = Number.isInteger(rounds) && rounds > 0 && contenders.length > 0;
  if (!isGood || others.length > 0) {
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
      const shift = round % contenders.length;
      const turn = [...contenders.slice(shift), ...contenders.slice(0, shift)];
      const result: Partial<Record<Contender, Measured[]>> = {};
      for (const contender of turn) {
        const disk = contender.endsWith('qcow2') ? qcow2 : raw;
        const jobs = await measure(guest, contender, disk);
        result[contender] = jobs;
        const rates = jobs.map(
          ({ rate, unit, cost }) => `${rate.toFixed(0)} ${unit} (${cost.toFixed(0)} us)`,
        );
        say(`round ${round}: ${contender}: ${rates.join(', ')}`);
      }
      results.push(result);
    }
    const tables = (['rate', 'cost', 'quick'] as const).map((value) => table(results, value));
    process.stdout.write(`${versionOf('qemu')}, Node ${process.version}; rounds: ${rounds}\n`);
    process.stdout.write(`${tables.join('\n')}`);
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
