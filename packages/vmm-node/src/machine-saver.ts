// Saves a machine that runs, from the main thread: has it stand still, waits until its disks have
// nothing in flight, asks the worker for the devices and the processor, and reads the guest's
// memory itself. What becomes of the machine then is the caller's to say.

import {
  type GuestRam,
  type SavedParts,
  type SavedValue,
  type SnapshotPiece,
  VmmError,
  writeSnapshot,
} from 'vmm';
import type { MainMessage } from './thread-link.ts';
import type { BackendServer } from './virtio-remote.ts';

/** Requests in flight are looked at so often: a disk takes milliseconds for them. */
const SETTLE_POLL_MS = 1;

/** The machine of this process, as far as saving it goes. */
export interface SavedMachine {
  readonly ram: GuestRam;
  readonly servers: readonly BackendServer[];
  readonly host: SavedValue;
  /** Tells the worker, which stands still. */
  post(message: MainMessage): void;
}

/** Takes the pieces of a file; resolves when all of them are where they are to be. */
export type Deliver = (pieces: Iterable<SnapshotPiece>) => Promise<void>;

/** One machine's. */
export class MachineSaver {
  private readonly machine: SavedMachine;
  private isSaving = false;
  private answer: ((parts: SavedParts | VmmError) => void) | undefined;
  private end: VmmError | undefined;

  constructor(machine: SavedMachine) {
    this.machine = machine;
  }

  /**
   * Saves the machine, whose worker must stand still until this settles, and gives it to `deliver`.
   * Backends are held when it resolves; when it rejects, they go on. EBUSY while it is at it
   * already.
   */
  async save(deliver: Deliver): Promise<void> {
    if (this.isSaving) throw new VmmError('EBUSY', 'The machine is being saved already.');
    const { ram, host, servers } = this.machine;
    this.isSaving = true;
    for (const server of servers) server.hold(true);
    try {
      await this.settled();
      const parts = await this.parts();
      await deliver(writeSnapshot({ parts, host, ram }));
      if (this.end !== undefined) throw this.end;
    } catch (error) {
      for (const server of servers) server.hold(false);
      throw error;
    } finally {
      this.isSaving = false;
    }
  }

  /** The worker has answered, or refused to. */
  answered(parts: SavedParts | VmmError): void {
    this.answer?.(parts);
    this.answer = undefined;
  }

  /** The machine has ended: there is nothing to save any more. */
  ended(): void {
    this.end = new VmmError('EIO', 'The machine has ended while it was saved.');
    this.answered(this.end);
  }

  private async settled(): Promise<void> {
    while (this.machine.servers.some(({ busy }) => busy)) {
      if (this.end !== undefined) throw this.end;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
    }
  }

  private async parts(): Promise<SavedParts> {
    if (this.end !== undefined) throw this.end;
    const answer = await new Promise<SavedParts | VmmError>((resolve) => {
      this.answer = resolve;
      this.machine.post({ kind: 'save' });
    });
    if (answer instanceof VmmError) throw answer;
    return answer;
  }
}
