// What disk images are kept in: a store of bytes that a host offers, such as a file. Formats are
// written against this interface alone, so that they work on files of Node, on a browser's origin
// private file system, and on a simulation of a crashing disk.

/**
 * A store of bytes, numbered from 0, that grows as it is written. Several operations may be in
 * flight at once; those that overlap take effect in any order. They reject with VmmError.
 */
export interface BlockFile {
  /** What to call it in a message: a path. */
  readonly name: string;
  /** True when it can only be read. */
  readonly readOnly: boolean;
  /** The size in bytes. */
  size(): Promise<number>;
  /** Fills the parts in order from byte `offset` on; what lies beyond the end reads as zero. */
  read(offset: number, into: Uint8Array[]): Promise<void>;
  /** Writes the parts, one after the other, at byte `offset`, and enlarges the store for it. */
  write(offset: number, from: Uint8Array[]): Promise<void>;
  /**
   * Reads as {@link read} does, but at once, unless that could take long: false then, and the parts
   * may hold anything. Absent: it always could.
   */
  readNow?(offset: number, into: Uint8Array[]): boolean;
  /** Writes at once, unless that could take long: false then, and any part may be written. */
  writeNow?(offset: number, from: Uint8Array[]): boolean;
  /** Resolves when every write that resolved earlier is on stable storage. */
  flush(): Promise<void>;
  /** Cuts the store off at, or extends it with zeroes to, this many bytes. */
  setSize(bytes: number): Promise<void>;
  /** Says that the range is not needed any more: it reads anything after. */
  discard(offset: number, length: number): Promise<void>;
  /**
   * Gives the storage of a range back and makes it read zeroes; false if the store cannot, and
   * nothing is changed. What lies beyond the end stays there. Absent: it never can.
   */
  makeHole?(offset: number, length: number): Promise<boolean>;
  /** Gives the store up. Nothing else may be called afterwards. */
  close(): Promise<void>;
}
