// "vmctl create": new disk images, empty, over a base, or as a copy of another. Sizes, messages and
// the choice of the format are those of vmctl(8) of OpenBSD.

import { closeSync, existsSync, openSync, readSync, realpathSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, isAbsolute, join, relative } from 'node:path';
import {
  copyDisk,
  DISK_FORMATS,
  type Disk,
  type DiskFormat,
  parseImageReference,
  SECTOR_BYTES,
  VmmError,
} from 'vmm';
import { createImage, type NewImage, openDisk, reasonOf } from 'vmm-node';
import { UsageError } from './command-table.ts';
import type { Parsed } from './getopt.ts';
import type { Environment } from './run-command.ts';
import { scanScaled } from './scan-scaled.ts';

const MB = 1024 * 1024;
const QCOW2_MAGIC = 'QFI\xfb';
const SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const;

/** What to create, after the command line. */
interface Order {
  readonly path: string;
  readonly format: DiskFormat;
  readonly base: string | undefined;
  readonly input: string | undefined;
  readonly sizeBytes: number | undefined;
}

/** Creates an image as `parsed` says, and returns the exit status. */
export async function createDisk(parsed: Parsed, environment: Environment): Promise<number> {
  const order = parseOrder(parsed, environment);
  if (order.input !== undefined) await convert(order, order.input, environment);
  else await create(order);
  environment.say(`${order.format} imagefile created`);
  return 0;
}

function parseOrder(parsed: Parsed, { say }: Environment): Order {
  const value = (name: string): string | undefined =>
    parsed.options.find((option) => option.name === name)?.value;
  const { path, format } = formatOf(parsed.operands[0]!);
  const [base, input, size] = [value('b'), value('i'), value('s')];
  const sizeBytes = size === undefined ? undefined : parseSize(size, say);
  if (base !== undefined && input !== undefined) {
    throw new VmmError('EINVAL', 'conflicting -b and -i arguments');
  }
  if (base !== undefined && format !== 'qcow2') {
    throw new VmmError('EINVAL', 'base images require qcow2 disk format');
  }
  if (sizeBytes === undefined && base === undefined && input === undefined) {
    throw new UsageError(`could not create ${path}: missing size argument`);
  }
  return { path, format, base, input, sizeBytes };
}

/** Whole megabytes, rounded down. */
function parseSize(text: string, say: Environment['say']): number {
  const bytes = scanScaled(text, 'size');
  if (bytes < MB) throw new VmmError('EINVAL', 'size must be at least one megabyte');
  const rounded = Math.floor(bytes / MB) * MB;
  if (rounded !== bytes) say(`size rounded to ${rounded / MB} megabytes`);
  return rounded;
}

/**
 * The format by a prefix, by what the file begins with, or by its suffix; raw when nothing tells.
 */
function formatOf(text: string): { path: string; format: DiskFormat } {
  const { path, format } = parseImageReference(text);
  if (format !== undefined) return { path, format };
  if (beginning(path) === QCOW2_MAGIC) return { path, format: 'qcow2' };
  const suffix = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase();
  return { path, format: DISK_FORMATS.find((known) => known === suffix) ?? 'raw' };
}

function beginning(path: string): string {
  try {
    const file = openSync(path, 'r');
    const magic = Buffer.alloc(QCOW2_MAGIC.length);
    readSync(file, magic);
    closeSync(file);
    return magic.toString('latin1');
  } catch {
    return '';
  }
}

async function create({ path, format, base, sizeBytes }: Order): Promise<void> {
  if (base === undefined) return createImage({ path, format, sizeBytes: sizeBytes! });
  const disk = await openDisk(parseImageReference(base), true);
  const baseBytes = disk.sectors * SECTOR_BYTES;
  await disk.close();
  if (sizeBytes !== undefined && sizeBytes !== baseBytes) {
    throw new VmmError('EINVAL', 'base size does not match requested size');
  }
  const backing = { name: baseName(path, parseImageReference(base).path), format: disk.format };
  await createImage({ path, format, sizeBytes: baseBytes, backing });
}

/** What an image calls its base: it looks from its own folder, wherever vmctl is called. */
function baseName(path: string, base: string): string {
  if (isAbsolute(base)) return base;
  try {
    return join(relative(realpathSync(dirname(path)), realpathSync(dirname(base))), basename(base));
  } catch (cause) {
    const { code, text } = reasonOf(cause);
    throw new VmmError(code, `Cannot create disk ${path}: ${text}.`, { cause });
  }
}

async function convert(order: Order, input: string, environment: Environment): Promise<void> {
  const source = await openDisk(parseImageReference(input), true);
  try {
    const sourceBytes = source.sectors * SECTOR_BYTES;
    const wanted = order.sizeBytes ?? sourceBytes;
    if (wanted < sourceBytes) {
      throw new VmmError('EINVAL', 'size cannot be smaller than input disk size');
    }
    const sizeBytes = Math.ceil(wanted / MB) * MB;
    const image = { path: order.path, format: order.format, sizeBytes };
    await removedOnFailure(image, async () => {
      const target = await openDisk({ path: order.path, format: order.format }, false);
      try {
        await copyWithProgress(source, target, sourceBytes);
      } finally {
        await target.close();
      }
    });
    if (wanted < sizeBytes) {
      environment.say(`destination size rounded to ${sizeBytes / MB} megabytes`);
    }
  } finally {
    await source.close();
  }
}

/** Shows how far the copy is when somebody is watching. */
async function copyWithProgress(source: Disk, target: Disk, sizeBytes: number): Promise<void> {
  const { stderr } = process;
  let shown = -1;
  await copyDisk(source, target, (doneBytes) => {
    const percent = Math.floor((doneBytes / sizeBytes) * 100);
    if (!stderr.isTTY || percent === shown) return;
    shown = percent;
    stderr.write(`\r${String(percent).padStart(3)}% of ${Math.ceil(sizeBytes / MB)} MB copied`);
  });
  // Back to the first column, and clear the line: ECMA-48, EL.
  if (shown >= 0) stderr.write('\r\x1b[K');
}

/** Makes an image, and removes it when the task fails or a signal ends the process meanwhile. */
async function removedOnFailure(image: NewImage, task: () => Promise<void>): Promise<void> {
  const { path } = image;
  let isOurs = !existsSync(path);
  const onSignal = (name: (typeof SIGNALS)[number]): void => {
    if (isOurs) rmSync(path, { force: true });
    process.exit(128 + constants.signals[name]);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    await createImage(image);
    isOurs = true;
    await task().catch((error: unknown) => {
      rmSync(path, { force: true });
      throw error;
    });
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}
