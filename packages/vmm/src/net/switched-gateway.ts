// A local interface that is in a switch too: one card with two networks behind it. What is for the
// gateway goes to the gateway, which is this machine's own, and all else to the switch. Questions
// that only the gateway may answer, for an address by DHCP among them, stay off the switch, so that
// no other guest can answer them.

import type { FrameReceiver, Unfinished } from './link.ts';

/** One of the two. */
interface Network {
  send(frame: Uint8Array, unfinished: Unfinished | undefined): unknown;
  flush(): void;
  resume(): void;
  attach(receiver: FrameReceiver | undefined): void;
}

/** The gateway says what was for it alone. */
interface GatewayNetwork extends Network {
  send(frame: Uint8Array, unfinished: Unfinished | undefined): boolean;
}

/** A gateway and a switch as one network backend. */
export class SwitchedGateway {
  readonly offloads = true;
  /** What comes from the switch may have any checksum. */
  readonly checksumsHold = false;
  private readonly gateway: GatewayNetwork;
  private readonly port: Network;

  constructor(gateway: GatewayNetwork, port: Network) {
    this.gateway = gateway;
    this.port = port;
  }

  /** Plugs in the guest's card, or pulls it out. */
  attach(receiver: FrameReceiver | undefined): void {
    this.gateway.attach(receiver);
    this.port.attach(receiver);
  }

  /** Takes a frame of the guest's; valid during the call. */
  send(frame: Uint8Array, unfinished: Unfinished | undefined): void {
    if (!this.gateway.send(frame, unfinished)) this.port.send(frame, unfinished);
  }

  /** The end of a batch of frames. */
  flush(): void {
    this.gateway.flush();
    this.port.flush();
  }

  /** The card has room again after it was full. */
  resume(): void {
    this.gateway.resume();
    this.port.resume();
  }
}
