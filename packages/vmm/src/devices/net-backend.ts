// What a network card asks of the network behind it, and the other way round: a switch port, a
// tap, a user-mode gateway.

/**
 * What the sender of a frame has left to whoever needs it done: the Internet checksum of all bytes
 * from `checksumStart` on belongs at `checksumOffset` from there, where the sum of the pseudo
 * header is already. With `segmentBytes` above 0 the frame is a TCP segment that may be larger
 * than a frame: it stands for segments with that much payload each.
 */
export interface Unfinished {
  readonly checksumStart: number;
  readonly checksumOffset: number;
  readonly segmentBytes: number;
}

/** The card's side: takes frames for the guest. */
export interface NetReceiver {
  /** Takes a frame, copying it, or drops it when there is no room. */
  receive(frame: Uint8Array, unfinished: Unfinished | undefined): void;
  /** True while frames wait for the guest; more of them may be dropped. */
  readonly full: boolean;
  /** Whether the guest takes frames that lack their checksum. */
  readonly takesUnfinished: boolean;
  /** Whether the guest takes segments with `segmentBytes`, over IPv4 (4) or IPv6 (6). */
  takesLargeFrames(version: number): boolean;
}

/** The network's side. Frames are Ethernet II without preamble and FCS, 14 to 1514 bytes. */
export interface NetBackend {
  /** Whether it takes unfinished frames, and gives such to a card that takes them. */
  readonly offloads: boolean;
  /** Whether the checksums that are in its frames need not be looked at. */
  readonly checksumsHold: boolean;
  /** Takes a frame that the guest sent; the bytes and the record are valid during the call. */
  send(frame: Uint8Array, unfinished: Unfinished | undefined): void;
  /** The guest has no more to send for now. */
  flush(): void;
  /** The card has room again after it was full. */
  resume(): void;
  /** Plugs in a card, or pulls it out. */
  attach(receiver: NetReceiver | undefined): void;
}
