// "staggered start" of vm.conf(5): the machines of the configuration are not all started at once,
// as they would then all be slow, but some at a time.

import type { VirtualMachine } from './virtual-machine.ts';

/** How many machines are started together, and how long after the ones before. */
export interface Stagger {
  readonly parallel: number;
  readonly delayMs: number;
}

/** The machines that wait to be started. */
export class StartQueue {
  private waiting: VirtualMachine[] = [];
  private timer: NodeJS.Timeout | undefined;
  private readonly start: (vm: VirtualMachine) => void;

  constructor(start: (vm: VirtualMachine) => void) {
    this.start = start;
  }

  /** Starts the first of `vms`, in their order, and the others later. */
  add(vms: readonly VirtualMachine[], stagger: Stagger): void {
    for (const vm of vms) vm.await();
    this.waiting.push(...vms);
    if (this.timer === undefined) this.next(stagger);
  }

  /** Forgets all that wait. */
  clear(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.waiting = [];
  }

  private next(stagger: Stagger): void {
    this.timer = undefined;
    // Those that were started or stopped by hand meanwhile do not wait any more.
    this.waiting = this.waiting.filter((vm) => vm.state === 'waiting');
    for (const vm of this.waiting.splice(0, stagger.parallel)) this.start(vm);
    if (this.waiting.length === 0) return;
    this.timer = setTimeout(() => this.next(stagger), stagger.delayMs);
  }
}
