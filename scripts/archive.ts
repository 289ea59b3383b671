// An initramfs that is put together from Debian's packages and files of our own. The kernel unpacks
// it behind the one of guest.ts, over which it goes.

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CpioEntry } from '../packages/vmm/src/machine/boot/cpio.ts';

/** The members of an archive in the making; directories come by themselves. */
export class Archive {
  readonly #entries = new Map<string, CpioEntry>();

  /** Adds a regular file, or puts it in the place of one that is there. */
  addFile(path: string, data: Uint8Array, mode = 0o644): void {
    this.#add({ kind: 'file', path, mode, data });
  }

  /** Adds a symbolic link. */
  addLink(path: string, target: string): void {
    this.#add({ kind: 'symlink', path, target });
  }

  /** All that is in `folder`, as it is there. */
  addTree(folder: string, below = ''): void {
    for (const name of readdirSync(join(folder, below)).sort()) {
      const path = below === '' ? name : `${below}/${name}`;
      const full = join(folder, path);
      const stats = lstatSync(full);
      if (stats.isSymbolicLink()) this.#add({ kind: 'symlink', path, target: readlinkSync(full) });
      else if (stats.isDirectory()) this.addTree(folder, path);
      else this.addFile(path, readFileSync(full), stats.mode & 0o777);
    }
  }

  /** The regular files by path. */
  files(): [string, Uint8Array][] {
    const files: [string, Uint8Array][] = [];
    for (const entry of this.#entries.values()) {
      if (entry.kind === 'file') files.push([entry.path, entry.data]);
    }
    return files;
  }

  /** All members, in the order they came in. */
  entries(): CpioEntry[] {
    return [...this.#entries.values()];
  }

  #add(entry: CpioEntry): void {
    const parent = dirname(entry.path);
    if (parent !== '.' && !this.#entries.has(parent)) {
      this.#add({ kind: 'directory', path: parent, mode: 0o755 });
    }
    this.#entries.set(entry.path, entry);
  }
}
