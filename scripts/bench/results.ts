// What the guest program writes, and what "vmctl run -v" adds at the end.

import type { Shares } from './processor-share.ts';

/** Work done and the time it took. */
export interface Pass {
  /** In the item's unit. */
  readonly work: number;
  /** By the guest's clock; of the boot by the host's. */
  readonly ns: number;
  /** How the guest spent it on the host; absent when that is not known. */
  readonly shares?: Shares;
}

/** The result of an item. */
export interface ItemResult {
  readonly name: string;
  /** What the work is counted in, as `byte`. */
  readonly unit: string;
  /** Through code that has not run before; absent for the boot, which has no second pass. */
  readonly cold?: Pass;
  readonly warm: Pass;
  /** A sum of what was computed: the same everywhere for the same work. */
  readonly sum: string;
}

/** What a line of the guest's console says. */
export type Line =
  | { readonly kind: 'begin' }
  | { readonly kind: 'start'; readonly name: string }
  /** A pass begins: `cold`, then `warm`. */
  | { readonly kind: 'pass'; readonly name: string }
  | { readonly kind: 'item'; readonly result: ItemResult }
  | { readonly kind: 'failed'; readonly name: string; readonly reason: string }
  /** With the time that all items took, by the guest's clock. */
  | { readonly kind: 'end'; readonly ns: number };

const ITEM = /^bench: item (\S+) unit=(\S+) cold=(\d+),(\d+) warm=(\d+),(\d+) sum=([0-9a-f]{16})$/;

/** Reads a line of the console, without its end; undefined when it is not the program's. */
export function parseLine(text: string): Line | undefined {
  if (text === 'bench: begin') return { kind: 'begin' };
  const start = /^bench: start (\S+)$/.exec(text);
  if (start) return { kind: 'start', name: start[1]! };
  const pass = /^bench: pass (\S+)$/.exec(text);
  if (pass) return { kind: 'pass', name: pass[1]! };
  const failed = /^bench: failed (\S+) (.+)$/.exec(text);
  if (failed) return { kind: 'failed', name: failed[1]!, reason: failed[2]! };
  const end = /^bench: end ns=(\d+)$/.exec(text);
  if (end) return { kind: 'end', ns: Number(end[1]) };
  const item = ITEM.exec(text);
  if (item === null) return undefined;
  const [, name, unit, coldWork, coldNs, warmWork, warmNs, sum] = item;
  const result: ItemResult = {
    name: name!,
    unit: unit!,
    cold: { work: Number(coldWork), ns: Number(coldNs) },
    warm: { work: Number(warmWork), ns: Number(warmNs) },
    sum: sum!,
  };
  return { kind: 'item', result };
}

/**
 * The rows of statistics in what "vmctl run -v" prints, by label: two or more spaces separate label
 * and text. Which rows there are is not for this to know.
 */
export function parseStatistics(text: string): Record<string, string> {
  const rows = [...text.matchAll(/^(\S.*?) {2,}(\S.*?)\r?$/gm)];
  return Object.fromEntries(rows.map(([, label, value]) => [label!, value!]));
}

/** Results of one contender at one scale. */
export interface Checked {
  readonly contender: string;
  readonly permille: number;
  readonly items: readonly ItemResult[];
}

/** A sentence for each item whose sum is not that of the first run of the same work. */
export function mismatches(runs: readonly Checked[]): string[] {
  const first = new Map<string, { contender: string; sum: string }>();
  const sentences: string[] = [];
  for (const { contender, permille, items } of runs) {
    for (const { name, sum } of items) {
      const key = `${permille} ${name}`;
      const known = first.get(key);
      if (known === undefined) first.set(key, { contender, sum });
      else if (known.sum !== sum) {
        sentences.push(
          `Item ${name}: ${contender} computes ${sum}, but ${known.contender} ${known.sum}.`,
        );
      }
    }
  }
  return sentences;
}

/** The scales at which only one contender has run, so that nothing has checked its sums. */
export function unchecked(runs: readonly Checked[]): number[] {
  const contenders = new Map<number, Set<string>>();
  for (const { contender, permille } of runs) {
    const set = contenders.get(permille) ?? new Set();
    contenders.set(permille, set.add(contender));
  }
  return [...contenders].filter(([, set]) => set.size === 1).map(([permille]) => permille);
}
