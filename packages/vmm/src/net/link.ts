// A cable: what a network asks of the card at its end. Cards are in a layer of their own, whose
// interfaces these are compatible with; nothing here knows a card.

/**
 * What the sender of a frame has left to whoever needs it done: the Internet checksum of all bytes
 * from `checksumStart` on belongs at `checksumOffset` from there, where the sum of the pseudo
 * header is already. With `segmentBytes` above 0 the frame is a TCP segment, larger perhaps than a
 * frame may be, which stands for segments with that much payload each.
 */
export interface Unfinished {
  readonly checksumStart: number;
  readonly checksumOffset: number;
  readonly segmentBytes: number;
}

/** The card's side: takes frames for the guest. */
export interface FrameReceiver {
  /** Takes a frame, copying it, or drops it when it has no room. */
  receive(frame: Uint8Array, unfinished: Unfinished | undefined): void;
  /** True while frames would wait or be dropped. */
  readonly full: boolean;
  /** Whether it takes frames that lack their checksum. */
  readonly takesUnfinished: boolean;
  /** Whether the guest takes large frames, of IPv4 and IPv6 respectively. */
  takesLargeFrames(version: number): boolean;
}
