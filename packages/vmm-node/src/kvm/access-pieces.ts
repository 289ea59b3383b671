// One exit of KVM can be several of vmm(4)'s: REP INS comes with as many elements as fit on a page,
// and an MMIO access that crosses a page with sizes that no instruction has. The monitor gets them
// one by one, without the guest being entered in between.

/** The parts of an access that the monitor has to answer, in a buffer that KVM reads afterwards. */
export class AccessPieces {
  /** Of the part that was handed out last. */
  index = 0;
  /** Offset of that part in the buffer, and its size in bytes. */
  offset = 0;
  size = 0;
  private end = 0;
  private elementBytes = 0;
  private sizeMax = 0;

  /** `count` elements of `size` bytes from `offset`. */
  startElements(offset: number, size: number, count: number): void {
    this.start(offset, size * count);
    this.elementBytes = size;
  }

  /** `sizeBytes` from `offset`, in parts of 8, 4, 2 and 1 byte. */
  startBytes(offset: number, sizeBytes: number): void {
    this.start(offset, sizeBytes);
    this.elementBytes = 0;
    this.sizeMax = 8;
  }

  /** Nothing is left to answer. */
  clear(): void {
    this.end = this.offset + this.size;
  }

  /** Goes on to the next part; false when there is none. */
  next(): boolean {
    const offset = this.offset + this.size;
    const left = this.end - offset;
    if (left <= 0) return false;
    while (this.sizeMax > left) this.sizeMax >>= 1;
    this.index++;
    this.offset = offset;
    this.size = this.elementBytes || this.sizeMax;
    return true;
  }

  /** How many elements come after this one. */
  get remaining(): number {
    return this.elementBytes === 0 ? 0 : (this.end - this.offset) / this.elementBytes - 1;
  }

  private start(offset: number, sizeBytes: number): void {
    this.index = -1;
    this.offset = offset;
    this.size = 0;
    this.end = offset + sizeBytes;
  }
}
