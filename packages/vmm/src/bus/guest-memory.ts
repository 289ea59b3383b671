// Guest-physical memory as devices see it. Addresses are numbers: a guest has less than 2^53 bytes.

/** Guest RAM, addressed by guest-physical address. Reads and writes outside RAM are refused. */
export interface GuestMemory {
  /** All of the address space's bytes; index them only with what {@link offset} returned. */
  readonly bytes: Uint8Array;
  /** The same bytes as a little-endian view. */
  readonly view: DataView;
  /**
   * Where the `length` bytes from guest-physical `gpa` lie in {@link bytes}, or -1 when they are
   * not all RAM or not contiguous there.
   */
  offset(gpa: number, length: number): number;
  /**
   * To be called after a device changed `length` bytes from `gpa`: code that the processor has
   * decoded from there is dropped before the guest goes on.
   */
  written(gpa: number, length: number): void;
}
