// What the commands that talk to vmd(8) share.

import { VmmError } from 'vmm/errors';
import { NAME_BYTES_MAX, VM_NAME_PATTERN } from '../conf/limits.ts';
import type { Target } from '../control/protocol.ts';
import type { DaemonLink } from './daemon-link.ts';

/** What a command may use. */
export interface ControlContext {
  readonly link: DaemonLink;
  /** Says something on standard error, as a line of the program's. */
  say(text: string): void;
  /** Writes to standard error as it is. */
  note(text: string): void;
  /** Writes to standard output. */
  print(text: string): void;
}

/** The machine that a word means: a number is an id, anything else a name. */
export function parseTarget(word: string): Target {
  if (/^\d+$/.test(word)) {
    const id = Number(word);
    if (id === 0 || id > 0xffff_ffff) throw new VmmError('EINVAL', `invalid id: ${word}`);
    return id;
  }
  if (word.length > NAME_BYTES_MAX) throw new VmmError('EINVAL', 'vm name too long');
  if (!VM_NAME_PATTERN.test(word)) throw new VmmError('EINVAL', `invalid VM name: ${word}`);
  return word;
}

/** Calls `run`, and puts `what` before whatever vmd or the command refuses. */
export async function refusedAs<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof VmmError) || error.message.startsWith('connect: ')) throw error;
    throw new VmmError(error.code, `${what}: ${error.message}`, { cause: error });
  }
}
