// How far "vmctl send" and "vmctl receive" are, on a terminal that somebody looks at.

const MB = 1024 * 1024;
const INTERVAL_MS = 200;

/** A line on standard error, if that is a terminal. */
export class TransferProgress {
  private readonly verb: string;
  private readonly memoryBytes: number;
  private readonly startMs = performance.now();
  private bytes = 0;
  private dueMs = 0;

  /** `verb` is what is done: "sent". The machine has `memoryBytes`, of which zeros are left out. */
  constructor(verb: string, memoryBytes: number) {
    this.verb = verb;
    this.memoryBytes = memoryBytes;
  }

  add(bytes: number): void {
    this.bytes += bytes;
    if (!process.stderr.isTTY || performance.now() < this.dueMs) return;
    this.dueMs = performance.now() + INTERVAL_MS;
    this.show('');
  }

  finish(): void {
    if (process.stderr.isTTY) this.show('\n');
  }

  private show(end: string): void {
    const seconds = Math.max(0.001, (performance.now() - this.startMs) / 1000);
    const [done, memory] = [this.bytes, this.memoryBytes].map((it) => (it / MB).toFixed(0));
    const rate = (this.bytes / MB / seconds).toFixed(0);
    const text = `${done} MB ${this.verb} of a machine with ${memory} MB, ${rate} MB/s`;
    process.stderr.write(`\r${text.padEnd(60)}${end}`);
  }
}
