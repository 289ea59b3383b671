// The escape of cu(1) on OpenBSD, by which the user of a serial line speaks to his own side: at the
// start of a line, "~." leaves and "~~" sends one tilde. A tilde before anything else is sent as it
// is. cu's other commands (file transfer, break, local shell) are not here; "~s", which suspends
// the machine, is there where the machine can be.

const TILDE = 0x7e;
const DOT = 0x2e;
const SUSPEND = 0x73;
const CR = 0x0d;
const LF = 0x0a;

/** Finds the escape in what is typed; input may arrive in pieces of any size. */
export class EscapeFilter {
  private atLineStart = true;
  private tildeHeld = false;
  private readonly canSuspend: boolean;

  /** `canSuspend`: "~s" is a command, too. */
  constructor(canSuspend = false) {
    this.canSuspend = canSuspend;
  }

  /** The bytes to send of `typed`, and whether the user leaves, which drops what follows. */
  push(typed: Uint8Array): { bytes: Uint8Array; leave: boolean; suspend?: boolean } {
    const bytes = new Uint8Array(typed.length + 1);
    let length = 0;
    let suspend = false;
    for (const byte of typed) {
      if (this.tildeHeld) {
        this.tildeHeld = false;
        if (byte === DOT) return { bytes: bytes.subarray(0, length), leave: true };
        if (byte === SUSPEND && this.canSuspend) {
          suspend = true;
          continue;
        }
        bytes[length++] = TILDE;
        this.atLineStart = false;
        if (byte === TILDE) continue;
      } else if (byte === TILDE && this.atLineStart) {
        this.tildeHeld = true;
        continue;
      }
      bytes[length++] = byte;
      this.atLineStart = byte === CR || byte === LF;
    }
    return { bytes: bytes.subarray(0, length), leave: false, ...(suspend && { suspend }) };
  }
}
