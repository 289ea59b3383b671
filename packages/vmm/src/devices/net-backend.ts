// What a network card asks of the network behind it, and the other way round: a switch port, a
// tap, a user-mode gateway.

/** The card's side: takes frames for the guest. */
export interface NetReceiver {
  /**
   * Takes a frame, copying it, or drops it when there is no room. With `segmentBytes` above 0 it
   * is a TCP segment that may be larger than a frame: it stands for segments with that much
   * payload each, and its checksum is the sum of the pseudo header only. See {@link
   * takesLargeFrames}.
   */
  receive(frame: Uint8Array, segmentBytes: number): void;
  /** True while frames wait for the guest; more of them may be dropped. */
  readonly full: boolean;
  /** Whether the guest takes segments with `segmentBytes`, over IPv4 (4) or IPv6 (6). */
  takesLargeFrames(version: number): boolean;
}

/** The network's side. Frames are Ethernet II without preamble and FCS, 14 to 1514 bytes. */
export interface NetBackend {
  /**
   * Whether it takes frames whose checksums of TCP and UDP are unfinished, and TCP segments of up
   * to 64 KiB, and gives such to a card that takes them.
   */
  readonly offloads: boolean;
  /** Takes a frame that the guest sent; the bytes are valid during the call. */
  send(frame: Uint8Array, checksummed: boolean): void;
  /** The guest has no more to send for now. */
  flush(): void;
  /** The card has room again after it was full. */
  resume(): void;
  /** Plugs in a card, or pulls it out. */
  attach(receiver: NetReceiver | undefined): void;
}
