// A learning bridge, IEEE 802.1D without spanning trees: the switch of vm.conf(5). Frames go to
// where their destination was last seen as a source, or everywhere. One switch is one broadcast
// domain.
//
// Machines are processes, and a switch is one object in each: it has a port for the machine's own
// card, and one for each of the other machines, an isolated one, as frames between those go there
// directly. Frames are passed on unfinished to who takes them so, and finished for who does not.

import type { Clock } from '../base/clock.ts';
import { ETHER_SOURCE, ETHERNET_BYTES, isGroupMac, MTU_DEFAULT } from './ethernet.ts';
import { FrameFinisher, ipVersionOf, isLarge, isSound } from './finish-frame.ts';
import type { FrameReceiver, Unfinished } from './link.ts';

/** As bridge(4): older entries make room, so that a guest cannot fill the table for ever. */
const ADDRESSES_MAX = 1024;
/** bridge(4)'s and 802.1D's time after which a silent station is forgotten. */
const AGEING_NS = 240e9;
/** With a tag of 802.1Q, which is passed on unread. */
const FRAME_BYTES_MAX = ETHERNET_BYTES + 4 + MTU_DEFAULT;
/** The largest packet of IP in a frame that is still to be cut. */
export const LARGE_FRAME_BYTES_MAX: number = ETHERNET_BYTES + 0xffff;

/** What a switch is made with. */
export interface SwitchOptions {
  readonly clock: Clock;
}

/** How a port is to be. */
export interface PortOptions {
  /** Frames from any other address are dropped (vm.conf(5), "locked lladdr"). */
  readonly lockedMac?: Uint8Array | undefined;
  /** Isolated ports pass nothing to each other, as the like ports of Linux's bridge. */
  readonly isIsolated?: boolean;
}

/** Who is plugged into a port; a card needs no more than a {@link FrameReceiver} is. */
export interface PortReceiver extends FrameReceiver {
  /** The end of a batch of frames. */
  flush?(): void;
  /** Some card of the switch that was full has room again. */
  resume?(): void;
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
  private readonly finisher = new FrameFinisher();

  constructor(options: SwitchOptions) {
    this.clock = options.clock;
  }

  /** A new port. */
  connect(options: PortOptions = {}): SwitchPort {
    const port = new SwitchPort(this, options, this.finisher);
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
  forward(frame: Uint8Array, unfinished: Unfinished | undefined, from: SwitchPort): void {
    if (!this.ports.has(from)) return;
    // A group is nobody's address.
    if (!isGroupMac(frame, ETHER_SOURCE)) this.learn(numberOf(frame, ETHER_SOURCE), from);
    const to = isGroupMac(frame, 0) ? undefined : this.find(numberOf(frame, 0));
    if (to !== undefined) {
      if (to.takesFrom(from)) to.deliver(frame, unfinished);
      return;
    }
    for (const port of this.ports) if (port.takesFrom(from)) port.deliver(frame, unfinished);
  }

  /** Tells all but `from` that a batch of frames has ended. */
  flush(from: SwitchPort): void {
    for (const port of this.ports) if (port !== from) port.tellFlush();
  }

  /** Tells all but `from`, whose card has room again. */
  resume(from: SwitchPort): void {
    for (const port of this.ports) if (port !== from) port.tellResume();
  }

  /** Whether a frame that came from `from` might find a card full. */
  isFull(from: SwitchPort): boolean {
    for (const port of this.ports) if (port.takesFrom(from) && port.isReceiverFull) return true;
    return false;
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
  readonly offloads = true;
  /** What other guests send may have any checksum. */
  readonly checksumsHold = false;
  private readonly bridge: Switch;
  private readonly lockedMac: number | undefined;
  private readonly isIsolated: boolean;
  private readonly finisher: FrameFinisher;
  private receiver: PortReceiver | undefined;
  private readonly give = (frame: Uint8Array): void => this.receiver?.receive(frame, undefined);

  constructor(bridge: Switch, options: PortOptions, finisher: FrameFinisher) {
    const { lockedMac, isIsolated = false } = options;
    this.bridge = bridge;
    this.isIsolated = isIsolated;
    this.lockedMac = lockedMac === undefined ? undefined : numberOf(lockedMac, 0);
    this.finisher = finisher;
  }

  /** Plugs in a card, or pulls it out. */
  attach(receiver: PortReceiver | undefined): void {
    this.receiver = receiver;
  }

  /** Takes a frame from the card; valid during the call. */
  send(frame: Uint8Array, unfinished: Unfinished | undefined): void {
    if (frame.length < ETHERNET_BYTES || frame.length > LARGE_FRAME_BYTES_MAX) return;
    if (unfinished !== undefined && !isSound(frame, unfinished)) return;
    const isCut = unfinished !== undefined && isLarge(frame, unfinished);
    if (!isCut && frame.length > FRAME_BYTES_MAX) return;
    if (this.lockedMac !== undefined && numberOf(frame, ETHER_SOURCE) !== this.lockedMac) return;
    this.bridge.forward(frame, unfinished, this);
  }

  /** The end of a batch of frames from the card. */
  flush(): void {
    this.bridge.flush(this);
  }

  /** The card has room again after it was full. */
  resume(): void {
    this.bridge.resume(this);
  }

  /** Whether what is sent here may find a card full, and be dropped. */
  get isWayFull(): boolean {
    return this.bridge.isFull(this);
  }

  /** Whether the card is full. */
  get isReceiverFull(): boolean {
    return this.receiver?.full === true;
  }

  /** Whether a frame from `port` may come out here. */
  takesFrom(port: SwitchPort): boolean {
    return port !== this && !(port.isIsolated && this.isIsolated);
  }

  /** Gives a frame to the card, finished if the card asks for that. */
  deliver(frame: Uint8Array, unfinished: Unfinished | undefined): void {
    const { receiver } = this;
    if (receiver === undefined) return;
    if (unfinished === undefined || takes(receiver, frame, unfinished)) {
      receiver.receive(frame, unfinished);
    } else {
      this.finisher.finish(frame, unfinished, this.give);
    }
  }

  tellFlush(): void {
    this.receiver?.flush?.();
  }

  tellResume(): void {
    this.receiver?.resume?.();
  }
}

function takes(receiver: FrameReceiver, frame: Uint8Array, unfinished: Unfinished): boolean {
  if (!receiver.takesUnfinished) return false;
  return !isLarge(frame, unfinished) || receiver.takesLargeFrames(ipVersionOf(frame));
}

/** A hardware address as a number of 48 bits. */
function numberOf(bytes: Uint8Array, at: number): number {
  const high = bytes[at] * 256 + bytes[at + 1];
  const low =
    bytes[at + 2] * 2 ** 24 + bytes[at + 3] * 2 ** 16 + bytes[at + 4] * 256 + bytes[at + 5];
  return high * 2 ** 32 + low;
}
