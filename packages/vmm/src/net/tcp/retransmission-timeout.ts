// The retransmission timeout: RFC 6298. Times are in nanoseconds.

/** RFC 6298 says 1 s, for networks with delayed acknowledgments; Linux and the BSDs take this. */
const TIMEOUT_MIN_NS = 200e6;
const TIMEOUT_INITIAL_NS = 1e9;
const TIMEOUT_MAX_NS = 60e9;

/** Estimates how long an acknowledgment may take. */
export class RetransmissionTimeout {
  private smoothedNs = 0;
  private variationNs = 0;
  private baseNs = TIMEOUT_INITIAL_NS;
  private doublings = 0;

  /** The timeout as it stands, backed off as often as it ran out. */
  get valueNs(): number {
    return Math.min(this.baseNs * 2 ** this.doublings, TIMEOUT_MAX_NS);
  }

  /** A round trip took `ns`, of a segment that was sent once (section 3). */
  sample(ns: number): void {
    if (this.smoothedNs === 0) {
      this.smoothedNs = ns;
      this.variationNs = ns / 2;
    } else {
      this.variationNs += (Math.abs(this.smoothedNs - ns) - this.variationNs) / 4;
      this.smoothedNs += (ns - this.smoothedNs) / 8;
    }
    this.baseNs = Math.max(TIMEOUT_MIN_NS, this.smoothedNs + 4 * this.variationNs);
  }

  /** It ran out (section 5.5). */
  backOff(): void {
    this.doublings++;
  }

  /** Something new was acknowledged. */
  progress(): void {
    this.doublings = 0;
  }
}
