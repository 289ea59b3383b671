// A learning bridge, IEEE 802.1D without spanning trees: the switch of vm.conf(5). Frames go to
// where their destination was last seen as a source, or everywhere. One switch is one broadcast
// domain.

import type { Clock } from '../base/clock.ts';
import { ETHER_SOURCE, ETHERNET_BYTES, isGroupMac, MTU_DEFAULT } from './ethernet.ts';
import type { FrameReceiver } from './link.ts';

/** As bridge(4): older entries make room, so that a guest cannot fill the table for ever. */
const ADDRESSES_MAX = 1024;
/** bridge(4)'s and 802.1D's time after which a silent station is forgotten. */
const AGEING_NS = 240e9;
/** With a tag of 802.1Q, which is passed on unread. */
const FRAME_BYTES_MAX = ETHERNET_BYTES + 4 + MTU_DEFAULT;

/** What a switch is made with. */
export interface SwitchOptions {
  readonly clock: Clock;
}

interface Station {
  port: SwitchPort;
  seenNs: number;
}

/** A switch; {@link Switch.connect} makes its ports. */
export class Switch {
  private readonly clock: Clock;
  private readonly ports = new Set<SwitchPort>();
  /** By address, the least recently learned first. */
  private readonly stations = new Map<number, Station>();

  constructor(options: SwitchOptions) {
    this.clock = options.clock;
  }

  /**
   * A new port. With `lockedMac` it takes frames from no other address (vm.conf(5), "locked
   * lladdr").
   */
  connect(lockedMac?: Uint8Array): SwitchPort {
    const port = new SwitchPort(this, lockedMac);
    this.ports.add(port);
    return port;
  }

  /** Takes a port away, with what was learned on it. */
  disconnect(port: SwitchPort): void {
    this.ports.delete(port);
    for (const [address, station] of this.stations) {
      if (station.port === port) this.stations.delete(address);
    }
  }

  /** How many addresses are known. */
  get size(): number {
    return this.stations.size;
  }

  /** Passes a frame on that came from `from`. */
  forward(frame: Uint8Array, from: SwitchPort): void {
    if (!this.ports.has(from)) return;
    // A group is nobody's address.
    if (!isGroupMac(frame, ETHER_SOURCE)) this.learn(numberOf(frame, ETHER_SOURCE), from);
    const to = isGroupMac(frame, 0) ? undefined : this.find(numberOf(frame, 0));
    if (to !== undefined) {
      if (to !== from) to.deliver(frame);
      return;
    }
    for (const port of this.ports) if (port !== from) port.deliver(frame);
  }

  private learn(address: number, port: SwitchPort): void {
    const seenNs = this.clock.now();
    const known = this.stations.get(address);
    if (known?.port === port) {
      known.seenNs = seenNs;
      return;
    }
    if (known === undefined && this.stations.size >= ADDRESSES_MAX) {
      const [first] = this.stations.keys();
      this.stations.delete(first);
    }
    this.stations.delete(address);
    this.stations.set(address, { port, seenNs });
  }

  private find(address: number): SwitchPort | undefined {
    const station = this.stations.get(address);
    if (station === undefined) return undefined;
    if (this.clock.now() - station.seenNs <= AGEING_NS) return station.port;
    this.stations.delete(address);
    return undefined;
  }
}

/** One port of a switch: a network backend for a card. */
export class SwitchPort {
  /** Another card would have to finish frames that one leaves unfinished. */
  readonly offloads = false;
  private readonly bridge: Switch;
  private readonly lockedMac: number | undefined;
  private receiver: FrameReceiver | undefined;

  constructor(bridge: Switch, lockedMac: Uint8Array | undefined) {
    this.bridge = bridge;
    this.lockedMac = lockedMac === undefined ? undefined : numberOf(lockedMac, 0);
  }

  /** Plugs in a card, or pulls it out. */
  attach(receiver: FrameReceiver | undefined): void {
    this.receiver = receiver;
  }

  /** Takes a frame from the card; valid during the call. */
  send(frame: Uint8Array): void {
    if (frame.length < ETHERNET_BYTES || frame.length > FRAME_BYTES_MAX) return;
    if (this.lockedMac !== undefined && numberOf(frame, ETHER_SOURCE) !== this.lockedMac) return;
    this.bridge.forward(frame, this);
  }

  /** Frames are passed on at once. */
  flush(): void {}

  /** A switch keeps nothing back. */
  resume(): void {}

  /** Gives a frame to the card. */
  deliver(frame: Uint8Array): void {
    this.receiver?.receive(frame, 0);
  }
}

/** A hardware address as a number of 48 bits. */
function numberOf(bytes: Uint8Array, at: number): number {
  const high = bytes[at] * 256 + bytes[at + 1];
  const low =
    bytes[at + 2] * 2 ** 24 + bytes[at + 3] * 2 ** 16 + bytes[at + 4] * 256 + bytes[at + 5];
  return high * 2 ** 32 + low;
}
