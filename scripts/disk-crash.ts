// `npm run test:disk-crash`: disks under a guest whose machine is killed. Debian's kernel writes to
// four disks at once, by the drivers and system calls that anybody uses; vmctl is killed (SIGKILL)
// at a random moment; what the guest's flushes have been answered for must be there, and qemu-img
// must find no errors in the images. Before that, fio writes the disks with checksums, which a
// second boot verifies.

import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as passed } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { VmmError } from '../packages/vmm/src/base/errors.ts';
import {
  NO_QEMU_IMG,
  qemuCheck,
  qemuContent,
  qemuImg,
} from '../packages/vmm/test/block/qemu-img.ts';
import { Random } from '../packages/vmm/test/silicon/random.ts';
import { openDisk } from '../packages/vmm-node/src/disk-image.ts';
import { readFlushed } from './disk/crash-console.ts';
import { CrashModel } from './disk/crash-model.ts';
import { prepareDiskGuest } from './disk/disk-guest.ts';
import { runDiskGuest, startDiskGuest } from './disk/disk-machine.ts';
import { type Guest, pattern } from './guest.ts';

const USAGE = 'usage: npm run test:disk-crash [-- --seconds N --seed N --keep]';
const SECONDS_DEFAULT = 90;
const SEED_MAX = 2 ** 31;
const SIZE_MB = 32;
const SIZE = `${SIZE_MB}M`;
/** The end of the disks over it reads zeroes. */
const BASE_BYTES = (SIZE_MB - 5) << 20;
/** The kill comes at most so long after the first flush. */
const WRITING_MS_MAX = 4000;
const READY_MS_MAX = 120_000;
/** A disk is made anew with these chances, so that images of all ages are killed on. */
const ANEW_PERCENT = 30;

/** A disk of the guest. */
interface Kind {
  readonly name: string;
  readonly format: 'raw' | 'qcow2';
  /** Version 2 of qcow2 cannot say that an image was not closed in order. */
  readonly keepsLeaks?: boolean;
  /** Makes the image at `path`, over `base` if it wants one. */
  make(path: string, base: string): void;
}

function qcow2(path: string, options: string, base: string, baseFormat: Kind['format']): void {
  const over = ['-b', base, '-F', baseFormat];
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options, ...over, path, SIZE);
}

/** Each covers something that the others do not. */
const KINDS: readonly Kind[] = [
  { name: 'raw', format: 'raw', make: (path) => void qemuImg('create', '-q', path, SIZE) },
  {
    name: 'qcow2',
    format: 'qcow2',
    make: (path) => void qemuImg('create', '-q', '-f', 'qcow2', path, SIZE),
  },
  {
    name: 'qcow2, clusters of 4 KiB, the top of a chain of three',
    format: 'qcow2',
    make: (path, base) => {
      qcow2(`${path}.middle`, 'cluster_size=2048', base, 'raw');
      qcow2(path, 'cluster_size=4096', `${path}.middle`, 'qcow2');
    },
  },
  {
    name: 'qcow2 of version 2, clusters of 512 bytes, over a raw image',
    format: 'qcow2',
    keepsLeaks: true,
    make: (path, base) => qcow2(path, 'compat=0.10,cluster_size=512', base, 'raw'),
  },
];

/** A disk image of the test. */
class Image {
  readonly kind: Kind;
  readonly path: string;
  /** What the disk held when the guest last began to write. */
  content: Uint8Array = new Uint8Array(0);
  private readonly base: string;

  constructor(kind: Kind, folder: string, index: number, base: string) {
    this.kind = kind;
    this.path = join(folder, `disk${index}`);
    this.base = base;
    this.renew();
  }

  renew(): void {
    rmSync(this.path, { force: true });
    rmSync(`${this.path}.middle`, { force: true });
    this.kind.make(this.path, this.base);
    this.content = this.read();
  }

  read(): Uint8Array {
    return qemuContent(this.path, this.kind.format);
  }

  /** The leaks that qemu-img finds. VmmError if it finds errors. */
  check(when: string): number {
    if (this.kind.format === 'raw') return 0;
    const { errors, leaks, text } = qemuCheck(this.path);
    if (errors === 0) return leaks;
    throw new VmmError('EIO', `${this.kind.name}: qemu-img finds errors ${when}: ${text}`);
  }
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

function sum(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** fio writes and verifies the disks, and verifies them again after another boot. */
async function fioRuns(guest: Guest, images: readonly Image[]): Promise<void> {
  const begin = performance.now();
  const paths = images.map(({ path }) => path);
  for (const extra of ['', '--verify_only']) {
    const text = await runDiskGuest(guest, paths, `job=fio file=verify.fio extra=${extra}`);
    const jobs = [...text.matchAll(/^disk: fio 3;[^;]*;([a-d]);\d+;(\d+);/gm)];
    const failed = jobs.filter(([, , error]) => error !== '0');
    if (jobs.length === KINDS.length && failed.length === 0) continue;
    throw new VmmError('EIO', `fio found something wrong:\n${text}`);
  }
  for (const image of images) {
    const leaks = image.check('after fio');
    if (leaks > 0) throw new VmmError('EIO', `${image.kind.name}: ${leaks} leaks after fio`);
    image.content = image.read();
  }
  const seconds = ((performance.now() - begin) / 1000).toFixed(0);
  say(`fio: written, verified, and verified after another boot, in ${seconds} s; no leaks`);
}

/** One life and death of the machine. Returns what is worth telling. */
async function crash(guest: Guest, images: readonly Image[], random: Random): Promise<string> {
  const seed = random.next();
  const paths = images.map(({ path }) => path);
  const machine = startDiskGuest(guest, paths, `job=crash seed=${seed}`);
  const ready = await machine.sees(/^flushed /m, READY_MS_MAX);
  const delay = random.below(WRITING_MS_MAX);
  await passed(delay);
  const text = await machine.kill();
  if (!ready || text.includes('disk: done')) {
    throw new VmmError('EIO', `the guest has not written as it should:\n${text}`);
  }
  const flushed = readFlushed(text, images.length);
  let leaks = 0;
  let sectors = 0;
  for (const [disk, image] of images.entries()) {
    leaks += image.check(`after a kill, seed ${seed}`);
    const model = new CrashModel(image.content, seed, disk, flushed[disk]!);
    sectors += model.flushedSectors;
    image.content = image.read();
    const wrong = model.wrongSector(image.content);
    if (wrong !== undefined) {
      throw new VmmError('EIO', `${image.kind.name}: after a kill, seed ${seed}: ${wrong}`);
    }
    if (random.percent(50)) await reopen(image);
    if (random.percent(ANEW_PERCENT)) image.renew();
  }
  const flushes = flushed.flat().reduce((all, count) => all + count, 0);
  const found = `${sectors} sectors of ${flushes} operations as flushed, ${leaks} leaks`;
  return `killed after ${delay} ms: ${found}`;
}

/** What comes next to write to the image finds what the kill left, and leaves nothing of it. */
async function reopen(image: Image): Promise<void> {
  const { kind, path } = image;
  const disk = await openDisk({ path, format: kind.format }, false);
  await disk.close();
  const leaks = image.check('after it was opened again');
  if (leaks > 0 && kind.keepsLeaks !== true) {
    throw new VmmError('EIO', `${kind.name}: ${leaks} leaks after it was opened again`);
  }
  if (Buffer.compare(image.read(), image.content) === 0) return;
  throw new VmmError('EIO', `${kind.name}: opening it again has changed its content`);
}

async function main(words: readonly string[]): Promise<number> {
  const options = {
    seconds: { type: 'string' },
    seed: { type: 'string' },
    keep: { type: 'boolean' },
  };
  const { values } = parseArgs({ args: [...words], options: options as never }) as {
    values: { seconds?: string; seed?: string; keep?: boolean };
  };
  const seconds = Number(values.seconds ?? SECONDS_DEFAULT);
  const seed = Number(values.seed ?? Math.floor(Math.random() * SEED_MAX));
  if (!(seconds > 0) || !Number.isInteger(seed)) throw new VmmError('EINVAL', USAGE);
  if (NO_QEMU_IMG) throw new VmmError('ENOENT', 'There is no program qemu-img.');
  const guest = prepareDiskGuest((text) => say(`${text} ...`));
  const folder = mkdtempSync(join(tmpdir(), 'disk-crash-'));
  say(`disk-crash: seed ${seed}`);
  let done = false;
  try {
    const random = new Random(seed);
    const base = join(folder, 'base');
    writeFileSync(base, pattern(BASE_BYTES, random.next()));
    const images = KINDS.map((kind, index) => new Image(kind, folder, index, base));
    const baseSum = sum(base);
    const begin = performance.now();
    await fioRuns(guest, images);
    let rounds = 0;
    for (; performance.now() - begin < seconds * 1000 || rounds === 0; rounds++) {
      say(`round ${rounds + 1}: ${await crash(guest, images, random)}`);
    }
    if (sum(base) !== baseSum) throw new VmmError('EIO', 'the base has changed');
    say(`disk-crash: ok: ${rounds} kills on ${images.length} disks, seed ${seed}`);
    done = true;
    return 0;
  } finally {
    if (done || values.keep !== true) rmSync(folder, { recursive: true });
    else say(`The images are in ${folder}.`);
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Error) || error.name !== 'VmmError') throw error;
  process.stderr.write(`disk-crash: FAILED: ${error.message}\n`);
  process.exitCode = 1;
}
