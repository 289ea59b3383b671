// QEMU's locks on images, so that its programs and we keep out of each other's images. They are not
// of flock(2), which file-lock.ts takes, but of fcntl(2) with F_OFD_SETLK, for single bytes of the
// file, as block/file-posix.c of QEMU describes and `lslocks` shows: whoever has permission N of an
// image holds a read lock on byte 100 + N, and whoever lets nobody else have it one on byte 200 +
// N. Two exclude each other when one has what the other allows nobody. Node has no fcntl(2), so
// that this takes koffi, an optional dependency, and 64-bit Linux; without, only flock(2) protects.

import { createRequire } from 'node:module';

// Permissions of QEMU.
const CONSISTENT_READ = 0;
const WRITE = 1;
const RESIZE = 3;
const AT_HELD = 100;
const AT_NOT_SHARED = 200;

// asm-generic/fcntl.h of Linux.
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** struct flock where off_t has 64 bits: type, whence, start, length, pid. */
const FLOCK = { type: 0, start: 8, length: 16, bytes: 32 } as const;

type Fcntl = (fd: number, command: number, lock: Uint8Array) => number;

let loaded: Fcntl | undefined;
let isLoaded = false;

/** The call, if this host has it. Loaded when it is first wanted. */
function fcntl(): Fcntl | undefined {
  if (!isLoaded) loaded = load();
  isLoaded = true;
  return loaded;
}

function load(): Fcntl | undefined {
  const is64Bit = process.arch === 'x64' || process.arch === 'arm64';
  if (process.platform !== 'linux' || !is64Bit) return undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as {
      load(path: null): { func(prototype: string): Fcntl };
    };
    return koffi.load(null).func('int fcntl(int fd, int command, _Inout_ uint8_t *lock)');
  } catch {
    return undefined;
  }
}

function lockOf(type: number, start: number): Uint8Array {
  const lock = new Uint8Array(FLOCK.bytes);
  const view = new DataView(lock.buffer);
  view.setInt16(FLOCK.type, type, true);
  view.setBigInt64(FLOCK.start, BigInt(start), true);
  view.setBigInt64(FLOCK.length, 1n, true);
  return lock;
}

/**
 * Takes QEMU's locks for an open image, which go with the open file: to write, alone, or to read,
 * together with other readers. False when a program of QEMU's uses the image in a way that does not
 * go together with that. True also where there are no such locks, as on some network file systems.
 */
export function lockAsQemu(fd: number, readOnly: boolean): boolean {
  const call = fcntl();
  if (call === undefined) return true;
  const held = readOnly ? [CONSISTENT_READ] : [CONSISTENT_READ, WRITE, RESIZE];
  const notShared = [WRITE, RESIZE];
  const bytes = [...held.map((it) => AT_HELD + it), ...notShared.map((it) => AT_NOT_SHARED + it)];
  if (bytes.some((at) => call(fd, F_OFD_SETLK, lockOf(F_RDLCK, at)) !== 0)) return true;
  const others = [...held.map((it) => AT_NOT_SHARED + it), ...notShared.map((it) => AT_HELD + it)];
  const isFree = others.every((at) => {
    const lock = lockOf(F_WRLCK, at);
    const answered = call(fd, F_OFD_GETLK, lock) === 0;
    return !answered || new DataView(lock.buffer).getInt16(FLOCK.type, true) === F_UNLCK;
  });
  return isFree;
}
