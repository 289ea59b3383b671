// How long a process had to wait for a processor of the host, as Linux counts it for each thread:
// Documentation/scheduler/sched-stats.rst, /proc/<pid>/task/<tid>/schedstat. On a host with other
// work this is most of what makes one measurement differ from the next.

import { readdirSync, readFileSync } from 'node:fs';

/** Nanoseconds that a thread has run, and has been ready to run without a processor. */
export interface ThreadTimes {
  readonly ranNs: number;
  readonly waitedNs: number;
}

/** The threads of a process at a moment, by thread id. */
export interface Sample {
  readonly atMs: number;
  readonly threads: ReadonlyMap<string, ThreadTimes>;
}

/** Samples a process; without threads when it is gone, or the host does not count. */
export function sampleProcess(pid: number | undefined): Sample {
  const threads = new Map<string, ThreadTimes>();
  try {
    const folder = `/proc/${pid}/task`;
    for (const id of readdirSync(folder)) {
      const text = readFileSync(`${folder}/${id}/schedstat`, 'latin1');
      const [ranNs, waitedNs] = text.split(' ').map(Number);
      threads.set(id, { ranNs: ranNs!, waitedNs: waitedNs! });
    }
  } catch {
    // A thread that has just ended is no loss; nor is a host without the file.
  }
  return { atMs: performance.now(), threads };
}

/** How the guest's thread spent a time: shares of it, from 0 to 1. What is left, it slept. */
export interface Shares {
  readonly ran: number;
  readonly waited: number;
}

/** As much later than it was written a line of the console may be read. */
const LATE_NS_MAX = 5e6;
const LATE_SHARE_MAX = 0.1;

/**
 * How the thread that was busiest between two samples spent that time; it is the guest's.
 * Undefined when it cannot be told what it did in the `ns` that are meant: when the samples were
 * taken so late, on a busy host, that they are of another time.
 */
export function sharesOf(before: Sample, after: Sample, ns: number): Shares | undefined {
  const spanNs = (after.atMs - before.atMs) * 1e6;
  if (Math.abs(spanNs - ns) > Math.max(LATE_NS_MAX, ns * LATE_SHARE_MAX)) return undefined;
  let busiest: ThreadTimes | undefined;
  for (const [id, { ranNs, waitedNs }] of after.threads) {
    const earlier = before.threads.get(id) ?? { ranNs: 0, waitedNs: 0 };
    const delta = { ranNs: ranNs - earlier.ranNs, waitedNs: waitedNs - earlier.waitedNs };
    const most = busiest === undefined ? -1 : busiest.ranNs + busiest.waitedNs;
    if (delta.ranNs + delta.waitedNs > most) busiest = delta;
  }
  if (busiest === undefined || spanNs <= 0) return undefined;
  // The two files are not read at one moment, so that a share could exceed the whole.
  const whole = Math.max(spanNs, busiest.ranNs + busiest.waitedNs);
  return { ran: busiest.ranNs / whole, waited: busiest.waitedNs / whole };
}
