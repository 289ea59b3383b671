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

/**
 * The share of the time between two samples, 0 to below 1, in which the thread that was busiest
 * waited for a processor: that thread is the guest's.
 */
export function waitedShare(before: Sample, after: Sample): number {
  const spanNs = (after.atMs - before.atMs) * 1e6;
  let busiest: ThreadTimes = { ranNs: 0, waitedNs: 0 };
  for (const [id, { ranNs, waitedNs }] of after.threads) {
    const earlier = before.threads.get(id) ?? { ranNs: 0, waitedNs: 0 };
    const delta = { ranNs: ranNs - earlier.ranNs, waitedNs: waitedNs - earlier.waitedNs };
    if (delta.ranNs + delta.waitedNs > busiest.ranNs + busiest.waitedNs) busiest = delta;
  }
  if (spanNs <= 0) return 0;
  return Math.min(busiest.waitedNs / spanNs, 0.99);
}
