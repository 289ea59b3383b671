// Exclusive use of a disk image, as vmd(8) has it by open(2) with O_EXLOCK: a lock of flock(2),
// held by the open file. The kernel drops it when the file is closed, however the process ends, so
// there is no stale lock to detect, and every other program that locks with flock(2) sees it.
//
// Node has no call for flock(2). On BSD and macOS the flags of open(2) do it. On Linux util-linux's
// flock(1) does: it inherits the open file as descriptor 3 and locks it; as the lock belongs to the
// open file and not to a process, it stays when flock(1) is gone. QEMU has locks of another kind,
// which qemu-lock.ts adds. Files of locks beside the image would need neither, but go stale, and
// only programs that know of them respect them.

import { spawnSync } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { VmmError } from 'vmm';
import { lockAsQemu } from './qemu-lock.ts';

// sys/fcntl.h of OpenBSD, FreeBSD and macOS.
const BSD_O_NONBLOCK = 0x04;
const BSD_O_SHLOCK = 0x10;
const BSD_O_EXLOCK = 0x20;
const BSD_PLATFORMS: ReadonlySet<string> = new Set(['darwin', 'freebsd', 'openbsd', 'netbsd']);

/** flock(1) exits with this when somebody else has the lock. */
const FLOCK_CONFLICT = 1;

/**
 * Opens a disk image for reading and writing, alone, or for reading, together with other readers.
 * Throws VmmError with EBUSY when it is in use; rejects with the error of open(2) otherwise.
 */
export async function openLocked(path: string, readOnly: boolean): Promise<FileHandle> {
  const access = readOnly ? constants.O_RDONLY : constants.O_RDWR;
  if (BSD_PLATFORMS.has(process.platform)) return openLockedBsd(path, access, readOnly);
  const file = await open(path, access);
  try {
    lockOpenFile(file.fd, path, readOnly);
    if (!lockAsQemu(file.fd, readOnly)) throw inUse(path);
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
}

async function openLockedBsd(path: string, access: number, readOnly: boolean): Promise<FileHandle> {
  try {
    return await open(path, access | BSD_O_NONBLOCK | (readOnly ? BSD_O_SHLOCK : BSD_O_EXLOCK));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EAGAIN') throw inUse(path, { cause });
    throw cause;
  }
}

function lockOpenFile(fd: number, path: string, readOnly: boolean): void {
  const result = spawnSync('flock', ['-n', readOnly ? '-s' : '-x', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    encoding: 'utf8',
  });
  if (result.status === 0) return;
  if (result.status === FLOCK_CONFLICT && result.stderr === '') throw inUse(path);
  const missing = (result.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
  const reason = missing ? 'there is no program flock(1)' : result.stderr.trim();
  throw new VmmError('EIO', `Cannot lock disk ${path}: ${reason}.`, { cause: result.error });
}

function inUse(path: string, options?: { cause: unknown }): VmmError {
  const text = `Disk ${path} is locked: another virtual machine or program uses it.`;
  return new VmmError('EBUSY', text, options);
}
