// The memory of a process over time: samples out of Linux's /proc (proc_pid_status(5),
// proc_pid_smaps(5)), and whether they have come to rest.

import { readFileSync } from 'node:fs';

/** The memory of a process, in MiB. */
export interface Memory {
  /** Resident now. */
  readonly rssMiB: number;
  /** The most that ever was resident, as the kernel counts it. */
  readonly peakMiB: number;
  /** Resident, shared pages counted by their share; undefined where the kernel does not say. */
  readonly pssMiB: number | undefined;
}

/** A point of the curve. */
export interface Sample extends Memory {
  /** Since the start of the process. */
  readonly seconds: number;
  /** Rounds that the guest had finished. */
  readonly rounds: number;
}

/** What a curve says. */
export interface Verdict {
  /** Undefined when a half has fewer than {@link HALF_SAMPLES_MIN} samples. */
  readonly flat: boolean | undefined;
  /** The largest RSS in each half of the time. */
  readonly firstMiB: number;
  readonly secondMiB: number;
  /** What the second half may have. */
  readonly limitMiB: number;
  /** How the RSS of the second half grows: the slope of the line of least squares. */
  readonly growthMiBPerMinute: number;
}

/**
 * How much the second half's maximum may exceed the first's: compiled code comes and goes with
 * the collector, and V8 promises no time for that.
 */
const MARGIN_SHARE = 0.1;
const MARGIN_MIB = 16;
/** Fewer samples than these prove nothing. */
export const HALF_SAMPLES_MIN = 3;
/** Rows of the table for a person. */
const ROWS_MAX = 30;

/** Reads a `/proc/PID/status`, and a `smaps_rollup` if there is one. Undefined for a zombie. */
export function parseMemory(status: string, rollup: string | undefined): Memory | undefined {
  const mib = (text: string, name: string): number | undefined => {
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
    return kib === undefined ? undefined : Number(kib) / 1024;
  };
  const rssMiB = mib(status, 'VmRSS');
  const peakMiB = mib(status, 'VmHWM');
  if (rssMiB === undefined || peakMiB === undefined) return undefined;
  return { rssMiB, peakMiB, pssMiB: rollup === undefined ? undefined : mib(rollup, 'Pss') };
}

/** The memory of a process now; undefined when it has ended, or the host is no Linux. */
export function memoryOf(pid: number): Memory | undefined {
  const read = (name: string): string | undefined => {
    try {
      return readFileSync(`/proc/${pid}/${name}`, 'utf8');
    } catch {
      return undefined;
    }
  };
  const status = read('status');
  return status === undefined ? undefined : parseMemory(status, read('smaps_rollup'));
}

/**
 * Whether the memory has come to rest: compares the halves of the time from `beginSeconds` on,
 * when the guest has booted and touched its memory.
 */
export function judge(samples: readonly Sample[], beginSeconds = 0): Verdict {
  const middle = (beginSeconds + (samples.at(-1)?.seconds ?? 0)) / 2;
  const first = samples.filter(({ seconds }) => seconds >= beginSeconds && seconds < middle);
  const second = samples.filter(({ seconds }) => seconds >= Math.max(middle, beginSeconds));
  const most = (half: readonly Sample[]): number =>
    half.reduce((max, { rssMiB }) => Math.max(max, rssMiB), 0);
  const firstMiB = most(first);
  const secondMiB = most(second);
  const limitMiB = firstMiB + firstMiB * MARGIN_SHARE + MARGIN_MIB;
  const enough = Math.min(first.length, second.length) >= HALF_SAMPLES_MIN;
  return {
    flat: enough ? secondMiB <= limitMiB : undefined,
    firstMiB,
    secondMiB,
    limitMiB,
    growthMiBPerMinute: slope(second) * 60,
  };
}

/** MiB per second, by least squares. */
function slope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const time = mean(({ seconds }) => seconds);
  const rss = mean(({ rssMiB }) => rssMiB);
  const square = mean(({ seconds }) => (seconds - time) ** 2);
  if (!(square > 0)) return 0;
  return mean(({ seconds, rssMiB }) => (seconds - time) * (rssMiB - rss)) / square;
}

/** The curve for a person: the last sample of each minute, or of several for a long run. */
export function curveTable(samples: readonly Sample[]): string {
  const minutes = Math.ceil((samples.at(-1)?.seconds ?? 0) / 60);
  const step = Math.max(1, Math.ceil(minutes / ROWS_MAX));
  const rows = new Map<number, Sample>();
  for (const sample of samples) rows.set(Math.floor(sample.seconds / 60 / step) * step, sample);
  const lines = ['minute  RSS MiB  PSS MiB  peak MiB  rounds'];
  for (const [minute, { rssMiB, pssMiB, peakMiB, rounds }] of rows) {
    const cells = [
      String(minute).padStart(6),
      rssMiB.toFixed(1).padStart(9),
      (pssMiB?.toFixed(1) ?? '-').padStart(9),
      peakMiB.toFixed(1).padStart(10),
      String(rounds).padStart(8),
    ];
    lines.push(cells.join(''));
  }
  return `${lines.join('\n')}\n`;
}
