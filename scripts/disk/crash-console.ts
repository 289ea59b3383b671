// What crash-writer.c says on the console.

import { WORKERS } from './crash-model.ts';

/** By disk and worker, how many operations are known to have been flushed. */
export function readFlushed(text: string, disks: number): number[][] {
  const flushed = Array.from({ length: disks }, () => new Array<number>(WORKERS).fill(0));
  for (const [, disk, worker, count] of text.matchAll(/^flushed (\d) (\d) (\d+)\r?\n/gm)) {
    const known = flushed[Number(disk)];
    if (known?.[Number(worker)] !== undefined) known[Number(worker)] = Number(count);
  }
  return flushed;
}
