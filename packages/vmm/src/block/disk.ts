// A disk, whatever its format: what a disk device needs (devices/block-backend.ts, which has the
// same methods), and what copying and layering need beyond that.

/** The unit of a disk's size, in bytes. */
export const SECTOR_BYTES = 512;

/** The formats of disk images, by the names that vmctl(8) has for them. */
export const DISK_FORMATS = ['raw', 'qcow2'] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];

/**
 * A disk image that is open. Offsets and lengths are in bytes and must not reach beyond the end.
 * Any number of operations may be in flight; those on ranges that overlap may take effect in any
 * order. They reject with VmmError.
 */
export interface Disk {
  readonly format: DiskFormat;
  /** The size in sectors of 512 bytes. */
  readonly sectors: number;
  readonly readOnly: boolean;
  /** Fills the parts of `into` in order from byte `offset` on. */
  read(offset: number, into: Uint8Array[]): Promise<void>;
  /** Writes the parts of `from`, one after the other, at byte `offset`. */
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
  /** Makes the range read zeroes, giving its storage back if `mayUnmap`. Absent: write zeroes. */
  writeZeroes?(offset: number, length: number, mayUnmap: boolean): Promise<void>;
  /** Writes down all there is, and closes the disk and the images below it. */
  close(): Promise<void>;
}
