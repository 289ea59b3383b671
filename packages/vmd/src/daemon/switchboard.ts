// Who is in which switch. A switch is no process: each of its machines has links to all others
// (switch-link.ts of vmm-node), and vmd only introduces them. It makes a pair of sockets for any
// two, and gives each process its end.

import type { Socket } from 'node:net';
import type { Log } from './log.ts';
import { socketPair } from './socket-pair.ts';

/** The process of a machine, which takes ends of links. */
export interface LinkHandle {
  /**
   * Takes the end of a link for interface `index`. `lockedMac` is the one address that its other
   * end may send from; null for any.
   */
  link(socket: Socket, index: number, lockedMac: string | null): void;
}

/** An interface that is in a switch. */
export interface Member {
  readonly switch: string;
  readonly handle: LinkHandle;
  readonly index: number;
  /** What it may send from; null for anything. */
  readonly lockedMac: string | null;
}

/** All switches of a vmd. */
export class Switchboard {
  private readonly log: Log;
  private readonly members = new Set<Member>();

  constructor(log: Log) {
    this.log = log;
  }

  /** Plugs an interface in, and links it to all that are there. */
  join(member: Member): void {
    for (const other of this.members) {
      if (other.switch === member.switch) void this.introduce(member, other);
    }
    this.members.add(member);
  }

  /** Forgets a process; its links have closed with it. */
  leave(handle: LinkHandle): void {
    for (const member of this.members) if (member.handle === handle) this.members.delete(member);
  }

  private async introduce(one: Member, other: Member): Promise<void> {
    try {
      const [near, far] = await socketPair();
      // Who has left meanwhile does not take it, and the other end closes with it.
      this.hand(near, one, other);
      this.hand(far, other, one);
    } catch (error) {
      const { message } = error as Error;
      this.log.info(`two interfaces of switch "${one.switch}" cannot be linked: ${message}`);
    }
  }

  private hand(socket: Socket, to: Member, from: Member): void {
    if (this.members.has(to)) to.handle.link(socket, to.index, from.lockedMac);
    else socket.destroy();
  }
}
