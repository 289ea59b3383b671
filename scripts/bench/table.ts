// From the results of many runs to medians, ratios and a table of them.

import type { ItemResult, Pass } from './results.ts';

/** What is compared with: ratios are of work per second, and more than 1 is faster than this. */
export const BASELINE = 'qemu';

/** The results of one turn of a contender, in the order of rounds. */
export interface Turn {
  readonly contender: string;
  /** From 1. */
  readonly round: number;
  readonly items: readonly ItemResult[];
}

/** How a contender compares with the baseline in one item: over the rounds that both ran in. */
export interface Ratio {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** A row of the table. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  /** Medians of work per second, by contender. */
  readonly rates: Readonly<Record<string, number>>;
  /** Ratios by contender: of the second pass, and of the first through cold code. */
  readonly warm: Readonly<Record<string, Ratio>>;
  readonly cold: Readonly<Record<string, Ratio>>;
}

/** The middle value, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The geometric mean; NaN of none. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

type PassName = 'warm' | 'cold';

/**
 * Work per second of the time in which the guest had a processor of the host: what other programs
 * of the host do is not its doing.
 */
function rateOf({ work, ns, shares }: Pass): number {
  return (work / (ns * (1 - (shares?.waited ?? 0)))) * 1e9;
}

/** Work per second of each turn of a contender in an item, by round. */
function ratesOf(
  turns: readonly Turn[],
  contender: string,
  item: string,
  pass: PassName,
): Map<number, number> {
  const rates = new Map<number, number>();
  for (const turn of turns) {
    if (turn.contender !== contender) continue;
    const result = turn.items.find(({ name }) => name === item)?.[pass];
    // A clock that has not moved says nothing.
    if (result !== undefined && result.ns > 0) rates.set(turn.round, rateOf(result));
  }
  return rates;
}

/** Ratios within the rounds that both took part in; undefined when there is none. */
function ratioOf(
  ours: ReadonlyMap<number, number>,
  theirs: ReadonlyMap<number, number>,
): Ratio | undefined {
  const ratios = [...ours].filter(([round]) => theirs.has(round));
  const values = ratios.map(([round, rate]) => rate / theirs.get(round)!);
  if (values.length === 0) return undefined;
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** The rows of all items that any turn has a result of, in the order they were run in. */
export function rowsOf(turns: readonly Turn[], contenders: readonly string[]): Row[] {
  const units = new Map<string, string>();
  // The host has no boot: a turn that has everything gives the order.
  const fullest = [...turns].sort((a, b) => b.items.length - a.items.length);
  for (const { items } of fullest) for (const { name, unit } of items) units.set(name, unit);
  return [...units].map(([name, unit]) => {
    const rates: Record<string, number> = {};
    const warm: Record<string, Ratio> = {};
    const cold: Record<string, Ratio> = {};
    for (const contender of contenders) {
      const own = ratesOf(turns, contender, name, 'warm');
      if (own.size > 0) rates[contender] = median([...own.values()]);
      if (contender === BASELINE) continue;
      for (const [pass, ratios] of [['warm', warm] as const, ['cold', cold] as const]) {
        const ratio = ratioOf(
          ratesOf(turns, contender, name, pass),
          ratesOf(turns, BASELINE, name, pass),
        );
        if (ratio !== undefined) ratios[contender] = ratio;
      }
    }
    return { name, unit, rates, warm, cold };
  });
}

/** Geometric means of a contender's ratios over the rows that have them. */
export function means(
  rows: readonly Row[],
  contender: string,
): { readonly warm: number; readonly cold: number } {
  const mean = (pass: PassName): number =>
    geometricMean(rows.flatMap((row) => row[pass][contender]?.median ?? []));
  return { warm: mean('warm'), cold: mean('cold') };
}

const PREFIXES: readonly (readonly [number, string])[] = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
  [1, ' '],
  [1e-3, 'm'],
];

/** A rate in three digits, as `12.3M`. */
export function formatRate(rate: number | undefined): string {
  if (rate === undefined || !Number.isFinite(rate)) return '-';
  const [unit, prefix] = PREFIXES.find(([limit]) => rate >= limit * 0.9995) ?? [1e-3, 'm'];
  const value = rate / unit;
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)}${prefix}`;
}

/** A ratio, as `0.83`. */
export function formatRatio(ratio: number | undefined): string {
  if (ratio === undefined || Number.isNaN(ratio)) return '-';
  return ratio < 0.0995 ? ratio.toFixed(3) : ratio.toFixed(2);
}

interface Column {
  readonly title: string;
  text(row: Row): string;
  /** What stands below the rows. */
  readonly mean: string;
}

/** Rates against those of an earlier benchmark, for the contenders that are ours. */
function progressOf(
  rows: readonly Row[],
  contenders: readonly string[],
  before: readonly Row[],
): Column[] {
  const earlier = new Map(before.map((row) => [row.name, row.rates]));
  const ours = contenders.filter((name) => name !== 'native' && name !== BASELINE);
  return ours.flatMap((contender): Column[] => {
    const progress = (row: Row): number =>
      row.rates[contender]! / (earlier.get(row.name)?.[contender] ?? Number.NaN);
    const known = rows.map(progress).filter((ratio) => !Number.isNaN(ratio));
    if (known.length === 0) return [];
    return [
      {
        title: `${contender}/before`,
        text: (row) => formatRatio(progress(row)),
        mean: formatRatio(geometricMean(known)),
      },
    ];
  });
}

function columnsOf(rows: readonly Row[], contenders: readonly string[]): Column[] {
  const rates = contenders.map((contender): Column => {
    return { title: contender, text: (row) => formatRate(row.rates[contender]), mean: '' };
  });
  const compared = contenders.filter(
    (contender) => contender !== 'native' && rows.some((row) => row.warm[contender]),
  );
  const ratios = compared.flatMap((contender): Column[] => {
    const { warm, cold } = means(rows, contender);
    const title = `${contender}/${BASELINE}`;
    return [
      {
        title,
        text: (row) => formatRatio(row.warm[contender]?.median),
        mean: formatRatio(warm),
      },
      { title: 'range', text: (row) => rangeOf(row.warm[contender]), mean: '' },
      {
        title: 'cold',
        text: (row) => formatRatio(row.cold[contender]?.median),
        mean: formatRatio(cold),
      },
    ];
  });
  const ranged = rows.some((row) => compared.some((name) => rangeOf(row.warm[name]) !== ''));
  return [...rates, ...ratios.filter(({ title }) => ranged || title !== 'range')];
}

/** How far rounds lie apart, as `±4%`: half of it all, of the median. */
function rangeOf(ratio: Ratio | undefined): string {
  if (ratio === undefined || ratio.least === ratio.most) return '';
  return `±${((50 * (ratio.most - ratio.least)) / ratio.median).toFixed(0)}%`;
}

/**
 * The table as text: work per second, then ratios to the baseline and to the rows `before`, and
 * their geometric means.
 */
export function formatTable(
  rows: readonly Row[],
  contenders: readonly string[],
  before: readonly Row[] = [],
): string {
  const columns = [...columnsOf(rows, contenders), ...progressOf(rows, contenders, before)];
  const cells = [
    ['item', 'per second', ...columns.map(({ title }) => title)],
    ...rows.map((row) => [row.name, row.unit, ...columns.map((column) => column.text(row))]),
    ['geometric mean', '', ...columns.map(({ mean }) => mean)],
  ];
  const widths = cells[0]!.map((_, at) => Math.max(...cells.map((line) => line[at]!.length)));
  return cells
    .map((line) => {
      const padded = line.map((text, at) =>
        at < 2 ? text.padEnd(widths[at]!) : text.padStart(widths[at]!),
      );
      return `${padded.join('  ').trimEnd()}\n`;
    })
    .join('');
}
