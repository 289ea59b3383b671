// How much may be on its way: slow start, congestion avoidance, and recovery after fast retransmit
// (RFC 5681 with NewReno, RFC 6582). A virtual cable has no congestion, but a guest that is slower
// than its gateway drops frames as a congested router does, and a frame lost needs the same remedy.

/** RFC 6928. */
const INITIAL_SEGMENTS = 10;
/** RFC 5681, section 3.2. */
const DUPLICATES_BEFORE_LOSS = 3;

/** The congestion window of one sender; bytes. */
export class Congestion {
  window: number;
  private readonly mss: number;
  private threshold = Infinity;
  private duplicates = 0;
  private recovering = false;

  constructor(mss: number) {
    this.mss = mss;
    this.window = INITIAL_SEGMENTS * mss;
  }

  /** True between a fast retransmit and the acknowledgment of all that was sent before it. */
  get isRecovering(): boolean {
    return this.recovering;
  }

  /** `bytes` more were acknowledged, all of which was in use when `limited`. */
  acknowledged(bytes: number, limited: boolean): void {
    this.duplicates = 0;
    // A window that is not used must not grow (RFC 7661, section 3).
    if (!limited) return;
    if (this.window < this.threshold) this.window += bytes;
    else this.window += Math.max(1, Math.floor((this.mss * bytes) / this.window));
  }

  /** An acknowledgment told nothing new. True when the first segment is now taken to be lost. */
  duplicate(inFlight: number): boolean {
    if (this.recovering) {
      this.window += this.mss;
      return false;
    }
    if (++this.duplicates !== DUPLICATES_BEFORE_LOSS) return false;
    this.recovering = true;
    this.threshold = Math.max(inFlight / 2, 2 * this.mss);
    this.window = this.threshold + DUPLICATES_BEFORE_LOSS * this.mss;
    return true;
  }

  /** In recovery, `bytes` were acknowledged, but not all: the next segment is lost too. */
  partial(bytes: number): void {
    this.window = Math.max(this.mss, this.window - bytes + this.mss);
  }

  /** All that was sent before the recovery is acknowledged. */
  recovered(inFlight: number): void {
    this.recovering = false;
    this.duplicates = 0;
    this.window = Math.min(this.threshold, Math.max(inFlight, this.mss) + this.mss);
  }

  /** The retransmission timer ran out. */
  timedOut(inFlight: number): void {
    this.threshold = Math.max(inFlight / 2, 2 * this.mss);
    this.window = this.mss;
    this.recovering = false;
    this.duplicates = 0;
  }
}
