// How much of its memory a guest uses, as the host knows it: pages that are resident, be it the
// guest or a device that touched them. Counting takes a system call and some nanoseconds for each
// page, so that it is done as often as costs about one percent of the time.

import type { EngineMemoryRange } from 'vmm';
import type { HostCalls, HostMemory } from './host-calls.ts';

const PAGE_BYTES = 4096;
/** Time between two counts, for each page: a hundred times what it takes to count one. */
const PAUSE_MS = 0.001;

/** Counts the resident pages of some ranges of a WebAssembly memory. */
export class ResidentPages {
  private readonly calls: HostCalls;
  private readonly base: number;
  private readonly ranges: readonly EngineMemoryRange[];
  private readonly pauseMs: number;
  private vector: HostMemory | undefined;
  private count = 0;
  private dueMs = 0;

  /** `base` is the address of the WebAssembly memory. */
  constructor(calls: HostCalls, base: number, ranges: readonly EngineMemoryRange[]) {
    this.calls = calls;
    this.base = base;
    this.ranges = ranges;
    const sizeBytes = ranges.reduce((sum, range) => sum + range.sizeBytes, 0);
    this.pauseMs = (sizeBytes / PAGE_BYTES) * PAUSE_MS;
  }

  /** The count, as of a short while ago. */
  get pages(): number {
    const nowMs = performance.now();
    if (nowMs < this.dueMs) return this.count;
    this.count = this.ranges.reduce((sum, range) => sum + this.countRange(range), 0);
    this.dueMs = nowMs + this.pauseMs;
    return this.count;
  }

  close(): void {
    if (this.vector) this.calls.unmap(this.vector);
    this.vector = undefined;
  }

  private countRange({ offset, sizeBytes }: EngineMemoryRange): number {
    this.vector ??= this.calls.allocate(this.vectorBytes());
    if (!this.calls.residentPages(this.base + offset, sizeBytes, this.vector)) return 0;
    const { bytes } = this.vector;
    let count = 0;
    for (let page = 0; page < sizeBytes / PAGE_BYTES; page++) count += bytes[page] & 1;
    return count;
  }

  private vectorBytes(): number {
    const pages = Math.max(...this.ranges.map(({ sizeBytes }) => sizeBytes / PAGE_BYTES));
    return Math.ceil(pages / PAGE_BYTES) * PAGE_BYTES;
  }
}
