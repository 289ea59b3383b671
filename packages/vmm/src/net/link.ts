// A cable: what a network asks of the card at its end. Cards are in a layer of their own, whose
// interfaces these are compatible with; nothing here knows a card.

/** The card's side: takes frames for the guest. */
export interface FrameReceiver {
  /**
   * Takes a frame, copying it, or drops it when it has no room. With `segmentBytes` above 0 it is a
   * TCP segment larger than a frame may be, which stands for segments with that much payload each,
   * and whose checksum is that of the pseudo header only; see {@link takesLargeFrames}.
   */
  receive(frame: Uint8Array, segmentBytes: number): void;
  /** True while frames would wait or be dropped. */
  readonly full: boolean;
  /** Whether the guest takes large frames, of IPv4 and IPv6 respectively. */
  takesLargeFrames(version: number): boolean;
}
