// The files that a configuration is read from and names, as a capability: tests have their own.

import { readFileSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { VmmError } from 'vmm/errors';
import { reasonOf } from 'vmm-node/errors';

/** Access to files. Relative paths are the process's, as for vmd(8). */
export interface ConfFiles {
  /** The text of a configuration file; VmmError, its message the reason, when there is none. */
  read(path: string): string;
  /** The absolute path without symbolic links of a file that exists; VmmError likewise. */
  realpath(path: string): string;
  /** The absolute path, whether there is such a file or not. */
  resolve(path: string): string;
}

/** The files of the host. */
export const hostFiles: ConfFiles = {
  read(path) {
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(path);
    } catch (cause) {
      throw refusal(cause);
    }
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch (cause) {
      throw new VmmError('EINVAL', 'it is not a text in UTF-8', { cause });
    }
  },

  realpath(path) {
    try {
      return realpathSync(path);
    } catch (cause) {
      throw refusal(cause);
    }
  },

  resolve(path) {
    return resolve(path);
  },
};

function refusal(cause: unknown): VmmError {
  const { code, text } = reasonOf(cause);
  return new VmmError(code, text, { cause });
}
