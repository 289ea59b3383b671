// Ending a machine in order: the guest is asked to shut down, and gets the time for it that vmd(8)
// gives. A guest that does not listen, or takes longer, is ended as if the power had failed.

import type { RunControl } from './run-options.ts';

/** What a guest may take to shut down when it was asked to: vmd(8)'s long timeout. */
export const SHUTDOWN_MS_MAX = 120_000;

/** The end of one machine: give its run the signal, and its control when there is one. */
export class OrderlyStop {
  private readonly abort = new AbortController();
  private control: RunControl | undefined;
  private asked = false;
  private timer: NodeJS.Timeout | undefined;

  /** For `RunOptions.stop`. */
  get signal(): AbortSignal {
    return this.abort.signal;
  }

  /** For `RunOptions.onRunning`; before it, there is nobody to ask. */
  readonly started = (control: RunControl): void => {
    this.control = control;
  };

  /**
   * Has the guest shut down, and ends the machine when it does not. True when the guest has heard;
   * false when the machine is ended at once. It is as well when this is called a second time.
   */
  async request(): Promise<boolean> {
    if (this.asked) {
      this.now();
      return false;
    }
    this.asked = true;
    const heard = (await this.control?.requestShutdown()) ?? false;
    if (!heard) this.now();
    if (this.abort.signal.aborted) return false;
    this.timer = setTimeout(() => this.now(), SHUTDOWN_MS_MAX);
    this.timer.unref();
    return true;
  }

  /** Ends the machine. */
  now(): void {
    clearTimeout(this.timer);
    this.abort.abort();
  }
}
