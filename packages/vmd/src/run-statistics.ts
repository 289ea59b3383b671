// What "vmctl run -v" prints when the run has ended.

import { GAP_CLASSES_MS, type GapStatistics } from 'vmm';
import type { CompilerStatistics, RunStatistics } from 'vmm-node';

type Rows = [label: string, text: string][];

/** The figures of a run, a line each. */
export function statisticsText(statistics: RunStatistics): string {
  const { instructions, seconds, idleSeconds, tlbMisses, compiler, gaps } = statistics;
  const busy = seconds - idleSeconds;
  const counted = instructions ?? 0;
  const mips = busy > 0 ? counted / busy / 1e6 : 0;
  const isCounted = instructions !== undefined;
  const rows: Rows = [
    ...(isCounted ? ([['instructions', String(instructions)]] as Rows) : []),
    ['seconds', `${seconds.toFixed(3)} (${idleSeconds.toFixed(3)} idle)`],
    ...(isCounted ? ([['MIPS', mips.toFixed(1)]] as Rows) : []),
    ...(compiler ? compilerRows(compiler, counted) : []),
    ...(tlbMisses === undefined ? [] : ([['TLB misses', String(tlbMisses)]] as Rows)),
    ...hotRows(statistics),
    ...gapRows(gaps),
    ...countRows('exit', statistics.exits),
    ...countRows('fault', statistics.faults),
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, text]) => `${label.padEnd(width)}  ${text}\n`).join('');
}

function compilerRows(compiler: CompilerStatistics, instructions: number): Rows {
  const { executed, regions, modules, dropped, bytes, milliseconds, flushes, invalidations } =
    compiler;
  const share = instructions > 0 ? (100 * executed) / instructions : 0;
  return [
    ['compiled', `${executed} executed (${share.toFixed(1)} %)`],
    ['regions', `${regions} in ${modules} modules, ${dropped} dropped`],
    ['evictions', `${flushes} of all code, ${invalidations} of a page that was written`],
    ['compiler input', `${compiler.instructions} instructions`],
    ['compiler output', `${bytes} bytes`],
    ['compiler ms', `${milliseconds.toFixed(0)} of the processor's thread`],
  ];
}

/** Where the guest was when slices ended: a sample of its instructions. */
function hotRows({ slices = 0, hottest = [] }: RunStatistics): Rows {
  return hottest.map((spot) => {
    const share = `${((100 * spot.slices) / slices).toFixed(1)} % of ${slices} slices`;
    const compiled = ((100 * spot.compiled) / spot.slices).toFixed(0);
    return [`hot ${spot.address}`, `${share}, ${compiled} % of them compiled`];
  });
}

/** Gaps between two looks at the machine's timers: how many were shorter than each limit. */
function gapRows({ counts, longestNs }: GapStatistics): Rows {
  const rows: Rows = GAP_CLASSES_MS.map((ms, i) => [`gap < ${ms} ms`, String(counts[i])]);
  rows.push(['gap longer', String(counts[GAP_CLASSES_MS.length])]);
  rows.push(['gap longest', `${(longestNs / 1e6).toFixed(1)} ms`]);
  return rows;
}

function countRows(kind: string, counts: Readonly<Record<string, number>>): Rows {
  const sorted = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  return sorted.map(([name, count]) => [`${kind} ${name}`, String(count)]);
}
