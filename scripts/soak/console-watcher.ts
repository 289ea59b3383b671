// What the console of a guest under test tells: the driver's reports (guest/session.sh), and
// complaints of its kernel or its programs, which end the test.

/** Something that a line of the console means. */
export type ConsoleEvent =
  /** The driver waits for its first round. */
  | { readonly kind: 'ready' }
  /** A round has ended. */
  | {
      readonly kind: 'round';
      readonly round: number;
      readonly ok: boolean;
      /** Seconds, of the guest's clock. */
      readonly uptime: number;
      /** MD5 of the second half of the disk; undefined before the first load has written it. */
      readonly disk: string | undefined;
    }
  /** A load found a mismatch. */
  | { readonly kind: 'mismatch'; readonly line: string }
  /** A line of what a load printed instead of the output named; follows a mismatch. */
  | { readonly kind: 'instead'; readonly output: string; readonly line: string }
  /** The kernel, or the shell for it, reports what must not happen. */
  | { readonly kind: 'complaint'; readonly line: string }
  /** The driver is about to switch the machine off. */
  | { readonly kind: 'off' };

const ROUND = /soak: round (\d+) (ok|failed) uptime ([\d.]+) disk (\S+)/;

/**
 * Complaints, as the kernel writes them (lib/bug.c, kernel/watchdog.c, kernel/rcu/tree_stall.h,
 * arch/x86/kernel/traps.c, mm/oom_kill.c), and two of the shell about a program's death. What
 * kernels also write in other senses ("bug", "segfault" in a path) is matched narrowly.
 */
const COMPLAINTS: readonly RegExp[] = [
  /\bBUG\b/,
  /\bOops\b/,
  /\bpanic\b/i,
  /\bWARNING: /,
  /general protection/i,
  /\bsegfault\b|Segmentation fault/,
  /invalid opcode|Illegal instruction|trap divide error|trap int3/,
  /rcu.*(stall|starved)/i,
  /(soft|hard) lockup/i,
  /blocked for more than \d+ seconds/,
  /[Oo]ut of memory|oom-kill/,
  /(I\/O|Buffer I\/O|critical \w+) error/,
  /clocksource: .*(unstable|wd-)/,
  /\bCall Trace:/,
  /unable to handle|double fault/i,
];

/** Lines that look like complaints and are none. */
const HARMLESS: readonly RegExp[] = [
  // A machine without ACPI has no root pointer for its tables.
  /ACPI BIOS Error \(bug\): A valid RSDP was not found/,
  // The command line itself has "panic=".
  /[Cc]ommand line: /,
];

/** What `line`, without its end, means; undefined for the rest. */
export function classify(line: string): ConsoleEvent | undefined {
  // The driver's own lines first: a load may quote what would look like a complaint.
  if (/soak: FAIL/.test(line)) return { kind: 'mismatch', line };
  const instead = /soak: got (\w+): /.exec(line);
  if (instead !== null) return { kind: 'instead', output: instead[1]!, line };
  const round = ROUND.exec(line);
  if (round !== null) {
    const [, number, verdict, uptime, disk] = round;
    return {
      kind: 'round',
      round: Number(number),
      ok: verdict === 'ok',
      uptime: Number(uptime),
      disk: disk === 'none' ? undefined : disk,
    };
  }
  if (/soak: ready\b/.test(line)) return { kind: 'ready' };
  if (/soak: off\b/.test(line)) return { kind: 'off' };
  if (HARMLESS.some((pattern) => pattern.test(line))) return undefined;
  return COMPLAINTS.some((pattern) => pattern.test(line)) ? { kind: 'complaint', line } : undefined;
}

/** Cuts a console into lines, keeps the last of them, and says what they mean. */
export class ConsoleWatcher {
  /** The last lines, the newest at the end. */
  readonly recent: string[] = [];
  readonly #recentMax: number;
  #rest = '';

  constructor(recentMax = 40) {
    this.#recentMax = recentMax;
  }

  /** Takes in what has arrived; gives the events of the lines that it completes. */
  push(text: string): ConsoleEvent[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    const events: ConsoleEvent[] = [];
    for (const raw of lines) {
      const line = raw.replaceAll('\r', '');
      this.recent.push(line);
      if (this.recent.length > this.#recentMax) this.recent.shift();
      const event = classify(line);
      if (event !== undefined) events.push(event);
    }
    return events;
  }

  /** The end of the console: a last line may lack its end. */
  end(): ConsoleEvent[] {
    return this.#rest === '' ? [] : this.push('\n');
  }
}
