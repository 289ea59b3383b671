// The table of virtual machines of one host, in memory that threads share.
//
// In vmm(4) the table is the kernel's, and every process sees the same one. Here it is a control
// block that its creator hands to the threads that are to see it, and that has what concerns more
// than one of them: ids, names, sizes, the state of each vCPU, the level of its interrupt line.
// Registers and the engine stay with the thread that created the VM (the vCPU's home).
//
// A slot's `id` word is 0 when free, ~0 while it is being filled, the id while the VM lives, and
// ~id while it is being terminated. Whoever uses a VM counts itself in `users` first and then looks
// at the id again, so that TERM, which changes the id first and then waits for the count to become
// 0, never frees a slot under somebody.

import { VCPU_STATE_REQTERM, VCPU_STATE_RUNNING, VCPU_STATE_STOPPED } from './exit-reasons.ts';
import { packText, unpackText } from './layout.ts';
import { TERM_WAIT_MS_MAX, VMM_MAX_NAME_LEN, VMM_MAX_VCPUS } from './limits.ts';

/** The control block: give it to `openVmm` in every thread that is to see the same VMs. */
export type VmmControl = SharedArrayBuffer | ArrayBuffer;

const MAGIC = 0x566d6d34; // 'Vmm4'
const HEADER = { magic: 0, lastId: 1, vcpus: 2, lastOpening: 3 } as const;
const HEADER_WORDS = 8;
const SLOT = {
  id: 0,
  users: 1,
  home: 2,
  creatorPid: 3,
  memoryMb: 4,
  usedPages: 5,
  vcpuState: 6,
  intr: 7,
  kick: 8,
  name: 9,
} as const;
const SLOT_WORDS = SLOT.name + VMM_MAX_NAME_LEN / 4;
const CONTROL_BYTES = 4 * (HEADER_WORDS + VMM_MAX_VCPUS * SLOT_WORDS);
const FREE = 0;
const RESERVED = ~0;

/** How often a thread that may not block looks again: about a second's worth of loads. */
const SPIN_COUNT_MAX = 50_000_000;

/** An empty table, in shared memory where the host has that. */
export function createVmmControl(): VmmControl {
  const shared = typeof SharedArrayBuffer === 'function';
  const control = shared ? new SharedArrayBuffer(CONTROL_BYTES) : new ArrayBuffer(CONTROL_BYTES);
  new Int32Array(control)[HEADER.magic] = MAGIC;
  return control;
}

/** What is known of a VM when it enters the table. */
export interface VmEntry {
  readonly name: string;
  readonly creatorPid: number;
  readonly memoryMb: number;
  /** The opening whose thread holds the vCPU. */
  readonly home: number;
}

/** Ids are positive 32-bit numbers; a caller may name anything. */
const isId = (id: number): boolean => id > 0 && (id | 0) === id;

/** The host's blocking wait is refused to a browser's main thread, and to memory not shared. */
function mayWait(words: Int32Array): boolean {
  try {
    Atomics.wait(words, HEADER.magic, ~MAGIC, 0);
    return true;
  } catch {
    return false;
  }
}

/** One thread's view of the table. Slots are named by number. */
export class VmTable {
  private readonly words: Int32Array;
  private readonly bytes: DataView;
  private readonly mayWait: boolean;

  constructor(control: VmmControl) {
    this.words = new Int32Array(control);
    if (control.byteLength !== CONTROL_BYTES || this.words[HEADER.magic] !== MAGIC) {
      throw new TypeError('this buffer was not made by createVmmControl()');
    }
    this.bytes = new DataView(control);
    this.mayWait = mayWait(this.words);
  }

  /** A number for one more user of the table, never given twice. */
  nextOpening(): number {
    return Atomics.add(this.words, HEADER.lastOpening, 1) + 1;
  }

  /** Takes a slot for a VM of one vCPU; -1 when the host has {@link VMM_MAX_VCPUS} already. */
  reserve(): number {
    if (Atomics.add(this.words, HEADER.vcpus, 1) < VMM_MAX_VCPUS) {
      for (let slot = 0; slot < VMM_MAX_VCPUS; slot++) {
        const at = this.at(slot, SLOT.id);
        if (Atomics.compareExchange(this.words, at, FREE, RESERVED) === FREE) return slot;
      }
    }
    Atomics.sub(this.words, HEADER.vcpus, 1);
    return -1;
  }

  /** Makes a reserved slot a VM that everybody sees, and answers its id. */
  publish(slot: number, entry: VmEntry): number {
    this.set(slot, SLOT.home, entry.home);
    this.set(slot, SLOT.creatorPid, entry.creatorPid);
    this.set(slot, SLOT.memoryMb, entry.memoryMb);
    this.set(slot, SLOT.usedPages, 0);
    this.set(slot, SLOT.vcpuState, VCPU_STATE_STOPPED);
    this.set(slot, SLOT.intr, 0);
    this.set(slot, SLOT.kick, 0);
    packText(this.bytes, 4 * this.at(slot, SLOT.name), VMM_MAX_NAME_LEN, entry.name);
    const id = Atomics.add(this.words, HEADER.lastId, 1) + 1;
    this.set(slot, SLOT.id, id);
    return id;
  }

  /** Gives a slot back. */
  free(slot: number): void {
    this.set(slot, SLOT.id, FREE);
    Atomics.sub(this.words, HEADER.vcpus, 1);
  }

  /** The slot of a living VM, or -1. */
  find(id: number): number {
    return isId(id) ? this.findWord(id) : -1;
  }

  /** True while the slot is VM `id`'s, be it living or dying. */
  isStill(slot: number, id: number): boolean {
    const word = this.get(slot, SLOT.id);
    return word === id || word === ~id;
  }

  /** True when somebody is terminating this VM. */
  isDying(id: number): boolean {
    return isId(id) && this.findWord(~id) >= 0;
  }

  /** Counts the caller among the users of VM `id`; false when the slot is not its any more. */
  enter(slot: number, id: number): boolean {
    Atomics.add(this.words, this.at(slot, SLOT.users), 1);
    if (this.get(slot, SLOT.id) === id) return true;
    this.leave(slot);
    return false;
  }

  /** Undoes {@link enter}. */
  leave(slot: number): void {
    const users = this.at(slot, SLOT.users);
    Atomics.sub(this.words, users, 1);
    if (this.get(slot, SLOT.id) < 0) Atomics.notify(this.words, users);
  }

  /** Hides VM `id` from everybody; true for the one caller who thereby has to {@link free} it. */
  unlink(slot: number, id: number): boolean {
    return Atomics.compareExchange(this.words, this.at(slot, SLOT.id), id, ~id) === id;
  }

  /** Asks the thread that runs the vCPU to stop for good. */
  requestTermination(slot: number): void {
    const state = this.at(slot, SLOT.vcpuState);
    Atomics.compareExchange(this.words, state, VCPU_STATE_RUNNING, VCPU_STATE_REQTERM);
    this.set(slot, SLOT.kick, 1);
  }

  /** Waits until nobody uses the slot; false when {@link TERM_WAIT_MS_MAX} did not suffice. */
  waitUntilUnused(slot: number): boolean {
    const at = this.at(slot, SLOT.users);
    let spinCount = 0;
    for (;;) {
      const users = Atomics.load(this.words, at);
      if (users === 0) return true;
      if (this.mayWait) {
        if (Atomics.wait(this.words, at, users, TERM_WAIT_MS_MAX) === 'timed-out') return false;
      } else if (++spinCount === SPIN_COUNT_MAX) {
        return false;
      }
    }
  }

  /** Moves the vCPU from STOPPED to RUNNING; false when it was not stopped. */
  claim(slot: number): boolean {
    const at = this.at(slot, SLOT.vcpuState);
    const before = Atomics.compareExchange(this.words, at, VCPU_STATE_STOPPED, VCPU_STATE_RUNNING);
    return before === VCPU_STATE_STOPPED;
  }

  /** Ends what {@link claim} began; true when termination was asked for meanwhile. */
  settle(slot: number, state: number): boolean {
    const before = Atomics.exchange(this.words, this.at(slot, SLOT.vcpuState), state);
    return before === VCPU_STATE_REQTERM;
  }

  /** One of VCPU_STATE_*. */
  vcpuState(slot: number): number {
    return this.get(slot, SLOT.vcpuState);
  }

  /** The level of the interrupt line; raising it gets a running vCPU back to its caller. */
  setInterruptLine(slot: number, level: boolean): void {
    this.set(slot, SLOT.intr, level ? 1 : 0);
    if (level && this.vcpuState(slot) === VCPU_STATE_RUNNING) this.kick(slot);
  }

  /** The level that {@link setInterruptLine} gave. */
  interruptLine(slot: number): boolean {
    return this.get(slot, SLOT.intr) !== 0;
  }

  /** Has the current RUN, or else the next, return early. */
  kick(slot: number): void {
    this.set(slot, SLOT.kick, 1);
  }

  /** True, once, after a {@link kick}. */
  takeKick(slot: number): boolean {
    return Atomics.exchange(this.words, this.at(slot, SLOT.kick), 0) !== 0;
  }

  /** The word behind {@link kick}, for an engine to watch. */
  kickWord(slot: number): Int32Array {
    const at = this.at(slot, SLOT.kick);
    return this.words.subarray(at, at + 1);
  }

  /** Tells the other threads how many pages the guest has touched. */
  setUsedPages(slot: number, pages: number): void {
    this.set(slot, SLOT.usedPages, pages);
  }

  /** What {@link setUsedPages} was given last. */
  usedPages(slot: number): number {
    return this.get(slot, SLOT.usedPages);
  }

  /** What the slot was published with. */
  entry(slot: number): VmEntry {
    return {
      name: unpackText(this.bytes, 4 * this.at(slot, SLOT.name), VMM_MAX_NAME_LEN),
      creatorPid: this.get(slot, SLOT.creatorPid),
      memoryMb: this.get(slot, SLOT.memoryMb),
      home: this.get(slot, SLOT.home),
    };
  }

  /** The living VMs, newest first. */
  living(): { id: number; slot: number }[] {
    const list: { id: number; slot: number }[] = [];
    for (let slot = 0; slot < VMM_MAX_VCPUS; slot++) {
      const id = this.get(slot, SLOT.id);
      if (id > 0) list.push({ id, slot });
    }
    return list.sort((a, b) => b.id - a.id);
  }

  private findWord(word: number): number {
    for (let slot = 0; slot < VMM_MAX_VCPUS; slot++) {
      if (this.get(slot, SLOT.id) === word) return slot;
    }
    return -1;
  }

  private at(slot: number, word: number): number {
    return HEADER_WORDS + slot * SLOT_WORDS + word;
  }

  private get(slot: number, word: number): number {
    return Atomics.load(this.words, this.at(slot, word));
  }

  private set(slot: number, word: number, value: number): void {
    Atomics.store(this.words, this.at(slot, word), value);
  }
}
