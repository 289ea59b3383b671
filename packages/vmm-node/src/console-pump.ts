// Carries bytes between the user's console and the rings that a machine's serial port is at the other
// end of. Neither side is hurried: the guest waits when nobody takes its output, and what is typed
// waits for the guest.

import type { RunConsole } from './run-options.ts';
import type { ThreadLink } from './thread-link.ts';

/** The console of one run. */
export class ConsolePump {
  private readonly console: RunConsole;
  private readonly link: ThreadLink;
  /** Resolves when the output that there is has been taken. */
  private outputDone: Promise<void> = Promise.resolve();
  private outputting = false;
  private ended = false;
  private roomForInput: () => void = () => {};

  constructor(console: RunConsole, link: ThreadLink) {
    this.console = console;
    this.link = link;
  }

  /** Begins to carry input. */
  start(): void {
    void this.carryInput();
  }

  /** The worker has output, or room for input. */
  attend(): void {
    this.roomForInput();
    if (!this.outputting) this.outputDone = this.carryOutput();
  }

  /**
   * After the machine's end: shows what is left, for at most `waitMsMax` if the console takes
   * nothing.
   */
  async finish(waitMsMax: number): Promise<void> {
    this.ended = true;
    this.roomForInput();
    this.attend();
    if (waitMsMax === Infinity) {
      await this.outputDone;
      return;
    }
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMsMax);
    });
    await Promise.race([this.outputDone, patience]);
    clearTimeout(timer);
  }

  private async carryOutput(): Promise<void> {
    const { link, console } = this;
    this.outputting = true;
    for (;;) {
      const bytes = link.output.peek();
      if (bytes.length === 0) break;
      const flowing = console.output(bytes);
      link.output.advance(bytes.length);
      if (link.outputWaits) link.ring();
      if (!flowing) await console.drained();
    }
    this.outputting = false;
  }

  private async carryInput(): Promise<void> {
    for await (const chunk of this.console.input) {
      let rest = chunk;
      while (rest.length > 0 && !this.ended) {
        rest = rest.subarray(this.link.input.write(rest));
        this.link.ring();
        if (rest.length > 0) await this.awaitRoom();
      }
      if (this.ended) return;
    }
  }

  private async awaitRoom(): Promise<void> {
    const room = new Promise<void>((resolve) => {
      this.roomForInput = resolve;
    });
    this.link.inputWaits = true;
    if (this.link.input.free === 0 && !this.ended) await room;
    this.link.inputWaits = false;
  }
}
