// What bounds a slice. KVM_RUN lasts until the guest needs something or a signal arrives, so a
// timer of the kernel sends the vCPU's thread one every millisecond while the guest runs. Other
// threads that want the vCPU back (TERM, INTR) therefore have nothing to do but to say so in shared
// memory, as with any engine: they need not know which thread it is, nor any call of the host.
//
// A signal that arrives between two KVM_RUNs is spent on nothing; the next one follows a
// millisecond later.

import type { HostCalls } from './host-calls.ts';

/** A real-time signal that neither Node nor the C library uses: SIGRTMIN + 8 where that is 34. */
const SLICE_SIGNAL = 42;
/** How long a slice lasts. */
const SLICE_NS = 1_000_000;

/** Ends the slices of one thread's vCPUs. */
export class SliceTimer {
  private readonly calls: HostCalls;
  private timer = -1;
  private isArmed = false;

  constructor(calls: HostCalls) {
    this.calls = calls;
  }

  /** The guest is about to run, in the calling thread, which is always the same. */
  start(): void {
    if (this.isArmed) return;
    if (this.timer < 0) {
      this.calls.ignoreSignal(SLICE_SIGNAL);
      this.timer = this.calls.createTimer(SLICE_SIGNAL);
    }
    this.calls.setTimer(this.timer, SLICE_NS);
    this.isArmed = true;
  }

  /** No guest runs: nothing is to wake a thread that sleeps, or to interrupt its calls. */
  stop(): void {
    if (!this.isArmed) return;
    this.calls.setTimer(this.timer, 0);
    this.isArmed = false;
  }

  close(): void {
    if (this.timer >= 0) this.calls.deleteTimer(this.timer);
    this.timer = -1;
    this.isArmed = false;
  }
}
