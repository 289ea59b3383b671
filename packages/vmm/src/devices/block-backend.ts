// What a disk device asks of the image behind it. Images (raw files, qcow2, overlays, downloads)
// implement this; the devices know nothing of formats, files or threads.

/** The unit that disk devices count in, in bytes (virtio 1.2 section 5.2.4: always 512). */
export const SECTOR_BYTES = 512;

/**
 * A disk image. Offsets and lengths are bytes and multiples of {@link SECTOR_BYTES}; a device never
 * asks beyond the end. Several operations may be in flight at once, in any order; a rejected
 * promise is reported to the guest as an I/O error.
 */
export interface BlockBackend {
  /** The size in sectors of 512 bytes. */
  readonly sectors: number;
  /** True when writes are refused. */
  readonly readOnly: boolean;
  /**
   * Reads the bytes from `offset` on, scattered over `into` in order. The parts may be views of
   * guest memory, shared with running processors.
   */
  read(offset: number, into: Uint8Array[]): Promise<void>;
  /** Writes the parts of `from`, one after the other, at `offset`. */
  write(offset: number, from: Uint8Array[]): Promise<void>;
  /**
   * Reads at once and returns true, or returns false when that could take long; the parts may hold
   * anything then. What goes wrong is thrown. Absent: it always could.
   */
  readNow?(offset: number, into: Uint8Array[]): boolean;
  /** Writes at once and returns true, or false when that could take long: any part, then. */
  writeNow?(offset: number, from: Uint8Array[]): boolean;
  /** Resolves when every write that resolved earlier is on stable storage. */
  flush(): Promise<void>;
  /** Says that the range is not needed any more: it may be given back and reads anything after. */
  discard(offset: number, length: number): Promise<void>;
  /**
   * Makes the range read zeroes; `mayUnmap` allows giving the storage back. Without this method the
   * device writes zeroes.
   */
  writeZeroes?(offset: number, length: number, mayUnmap: boolean): Promise<void>;
}
