// What vmd(8) and the process of a virtual machine say to each other, over the channel that Node
// gives a process and its child. The process runs somebody's guest, so vmd checks what it says.

import type { Errno } from 'vmm/errors';
import type { RunEnd } from 'vmm-node/options';
import { errno, type Reply, sentence } from '../control/protocol.ts';
import { boolean, type Check, nullable, oneOf, record, tagged } from '../control/schema.ts';
import type { VmPlan } from './run-plan.ts';

/** A tap that the process was started with: for interface `index`. */
export interface TapDescriptor {
  readonly index: number;
  readonly fd: number;
}

/** From vmd to the process. */
export type ToVm =
  | { readonly kind: 'start'; readonly plan: VmPlan; readonly taps: readonly TapDescriptor[] }
  | { readonly kind: 'pause' | 'unpause' }
  /** Ask the guest to shut down. */
  | { readonly kind: 'shutdown' }
  /** End the machine, as if the power had failed. */
  | { readonly kind: 'end' }
  /** With a connection: its other end gets the console, or first of all `reply`. */
  | { readonly kind: 'attach'; readonly id: number; readonly replies: readonly Reply[] }
  /**
   * With a socket: the end of a link to another machine in the switch of interface `index`, which
   * may send from `lockedMac` only, unless that is null.
   */
  | { readonly kind: 'link'; readonly index: number; readonly lockedMac: string | null }
  /** After `ended` or `refused`: no attachment is on its way any more. */
  | { readonly kind: 'bye' }
  /** With a connection: the machine goes out by it. */
  | { readonly kind: 'send'; readonly id: number }
  /** With a connection, instead of `start`: the machine comes in by it. */
  | { readonly kind: 'receive'; readonly plan: VmPlan; readonly taps: readonly TapDescriptor[] };

/** From the process to vmd. */
export type FromVm =
  /** The program is loaded, and can be told to start. */
  | { readonly kind: 'ready' }
  /** The guest runs. */
  | { readonly kind: 'running' }
  | { readonly kind: 'paused' }
  /** The guest was reset, and is started anew. */
  | { readonly kind: 'restarted' }
  /** Whether the guest could be asked to shut down. */
  | { readonly kind: 'shutdown'; readonly asked: boolean }
  /** It was not sent, and goes on. */
  | { readonly kind: 'not-sent' }
  /** The machine could not be started. */
  | { readonly kind: 'refused'; readonly code: Errno; readonly message: string }
  | { readonly kind: 'ended'; readonly end: RunEnd; readonly message: string | null };

const ENDS: readonly RunEnd[] = [
  'halt',
  'poweroff',
  'exit-port',
  'timeout',
  'reset',
  'left',
  'suspended',
  'error',
];

const plain = (kind: FromVm['kind']): Check<FromVm> =>
  record<{ kind: FromVm['kind'] }>({ kind: oneOf([kind]) }) as Check<FromVm>;

/** Checks a message of the process. */
export const fromVm: Check<FromVm> = tagged<FromVm>('kind', {
  ready: plain('ready'),
  running: plain('running'),
  paused: plain('paused'),
  restarted: plain('restarted'),
  'not-sent': plain('not-sent'),
  shutdown: record<FromVm & { kind: 'shutdown' }>({ kind: oneOf(['shutdown']), asked: boolean }),
  refused: record<FromVm & { kind: 'refused' }>({
    kind: oneOf(['refused']),
    code: errno,
    message: sentence,
  }),
  ended: record<FromVm & { kind: 'ended' }>({
    kind: oneOf(['ended']),
    end: oneOf(ENDS),
    message: nullable(sentence),
  }),
});
