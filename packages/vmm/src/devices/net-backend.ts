// What a network device asks of the network behind it: a switch port, a tap, a user-mode gateway.

/** Frames are Ethernet II without preamble and FCS, 14 to 1514 bytes. */
export interface NetBackend {
  /** Takes a frame that the guest sent. The bytes are the callee's to keep. */
  send(frame: Uint8Array): void;
  /**
   * Called when the device is attached (with a function that gives the guest a frame, copying it
   * or dropping it when the guest has no room) and with undefined when it is detached.
   */
  onReceive(deliver: ((frame: Uint8Array) => void) | undefined): void;
}
