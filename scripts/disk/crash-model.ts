// What a disk may hold after crash-writer.c was killed on it: each sector has what was flushed
// last, or something that was written to it later. The rules by which operations follow from a seed
// are written down here a second time; a difference would fail the first check.

import { Random } from '../../packages/vmm/test/silicon/random.ts';

const SECTOR_BYTES = 512;
/** Processes for each disk. */
export const WORKERS = 3;
const STRIPE = 40;
const STRIPED = 16384;
const WRITE_MAX = 256;
const ZERO_MAX = 2048;
const UNFLUSHED_MAX = 24;
/**
 * Operations that a worker may be ahead of what the console has said: the last lines are lost with
 * the machine.
 */
const AHEAD_MAX = 3000;

/** What a sector may hold: a word throughout, what was there before, or anything: a discard. */
type Content = number | 'before' | 'anything';

interface Operation {
  readonly kind: 'write' | 'zero' | 'discard' | 'flush';
  readonly first: number;
  readonly count: number;
}

/** The operations of a worker, one after the other. */
class Worker {
  readonly #random: Random;
  readonly #worker: number;
  readonly #sectors: number;
  #unflushed = 0;

  constructor(seed: number, worker: number, sectors: number) {
    this.#random = new Random(seed);
    this.#worker = worker;
    this.#sectors = sectors;
  }

  next(): Operation {
    const random = this.#random;
    const choice = random.below(100);
    if (choice < 15 || this.#unflushed >= UNFLUSHED_MAX) {
      this.#unflushed = 0;
      return { kind: 'flush', first: 0, count: 0 };
    }
    this.#unflushed++;
    let first: number;
    let most: number;
    if (this.#worker < 2) {
      const stripe = random.below(Math.floor(STRIPED / (2 * STRIPE)));
      const at = random.below(STRIPE);
      first = stripe * 2 * STRIPE + this.#worker * STRIPE + at;
      most = STRIPE - at;
    } else {
      first = STRIPED + random.below(this.#sectors - STRIPED);
      most = Math.min(choice < 70 ? WRITE_MAX : ZERO_MAX, this.#sectors - first);
    }
    if (random.percent(80)) most = Math.min(most, 16);
    const kind = choice < 70 ? 'write' : choice < 90 ? 'zero' : 'discard';
    return { kind, first, count: 1 + random.below(most) };
  }
}

/** What fills a sector after operation `op` of the worker with this seed. */
function stamp(seed: number, op: number, sector: number): number {
  let x = seed ^ Math.imul(op, 0x9e3779b1) ^ Math.imul(sector, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  return ((x ^ (x >>> 15)) | 1) >>> 0;
}

/** The seed of a worker, from that of the guest. */
export function workerSeed(seed: number, disk: number, worker: number): number {
  return (seed + disk * WORKERS + worker) >>> 0;
}

/** By worker, how many operations had been done before its last flush that is known of. */
export type Flushed = readonly number[];

/** What is known of each sector of a disk that held `before`. */
export class CrashModel {
  readonly #before: Uint8Array;
  readonly #allowed: Content[][];

  /** The state after the guest with `seed` wrote to its `disk`th disk, of the size of `before`. */
  constructor(before: Uint8Array, seed: number, disk: number, flushed: Flushed) {
    this.#before = before;
    const sectors = before.length / SECTOR_BYTES;
    this.#allowed = Array.from({ length: sectors }, () => ['before' as const]);
    for (let worker = 0; worker < WORKERS; worker++) {
      this.#replay(workerSeed(seed, disk, worker), worker, flushed[worker]!);
    }
  }

  /** A sentence about the first sector of `after` that holds what it must not. */
  wrongSector(after: Uint8Array): string | undefined {
    if (after.length !== this.#before.length) return `the disk has ${after.length} bytes`;
    const view = new DataView(after.buffer, after.byteOffset, after.length);
    for (const [sector, allowed] of this.#allowed.entries()) {
      const at = sector * SECTOR_BYTES;
      if (allowed.some((content) => this.#fits(view, at, content))) continue;
      const word = view.getUint32(at, true).toString(16);
      return `sector ${sector} begins with ${word}, and may be ${describe(allowed)}`;
    }
    return undefined;
  }

  /** The sectors of which something has been flushed. */
  get flushedSectors(): number {
    return this.#allowed.filter(([first]) => first !== 'before').length;
  }

  #replay(seed: number, worker: number, flushed: number): void {
    const operations = new Worker(seed, worker, this.#allowed.length);
    for (let op = 0; op < flushed + AHEAD_MAX; op++) {
      const { kind, first, count } = operations.next();
      for (let sector = first; sector < first + count; sector++) {
        const content =
          kind === 'discard' ? 'anything' : kind === 'zero' ? 0 : stamp(seed, op, sector);
        if (op < flushed) this.#allowed[sector] = [content];
        else this.#allowed[sector]!.push(content);
      }
    }
  }

  #fits(view: DataView, at: number, content: Content): boolean {
    if (content === 'anything') return true;
    if (content === 'before') {
      const before = this.#before.subarray(at, at + SECTOR_BYTES);
      const now = new Uint8Array(view.buffer, view.byteOffset + at, SECTOR_BYTES);
      return Buffer.compare(before, now) === 0;
    }
    for (let word = at; word < at + SECTOR_BYTES; word += 4) {
      if (view.getUint32(word, true) !== content) return false;
    }
    return true;
  }
}

function describe(allowed: readonly Content[]): string {
  const text = (content: Content): string =>
    typeof content === 'number' ? content.toString(16) : content;
  const shown = allowed.slice(0, 4).map(text).join(', ');
  return allowed.length > 4 ? `${shown} or ${allowed.length - 4} others` : shown;
}
