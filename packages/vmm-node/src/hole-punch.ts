// Giving storage back to the host: fallocate(2) of Linux with FALLOC_FL_PUNCH_HOLE, after which a
// range of a file takes no room and reads zeroes. Node has no call for it, so that it goes through
// koffi, an optional dependency. Without that, and on file systems that have no holes, files keep
// their storage.

import { createRequire } from 'node:module';
import { constants } from 'node:os';

// linux/falloc.h.
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/** fallocate(2): 0, or the errno that it failed with. */
type Fallocate = (fd: number, mode: number, offset: number, length: number) => Promise<number>;

/** What is used of koffi. */
interface Koffi {
  load(path: null): {
    func(
      name: string,
      result: string,
      args: readonly string[],
    ): { async(...args: (number | ((error: unknown, result: number) => void))[]): void };
  };
  errno(): number;
}

let loaded: Fallocate | undefined;
let isLoaded = false;

/** The call, if this host has it. Loaded when it is first wanted. */
function fallocate(): Fallocate | undefined {
  if (!isLoaded) loaded = load();
  isLoaded = true;
  return loaded;
}

function load(): Fallocate | undefined {
  // off_t has 64 bits there.
  const is64Bit = process.arch === 'x64' || process.arch === 'arm64';
  if (process.platform !== 'linux' || !is64Bit) return undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const call = koffi.load(null).func('fallocate', 'int', ['int', 'int', 'int64', 'int64']);
    return (fd, mode, offset, length) =>
      new Promise((resolve) => {
        call.async(fd, mode, offset, length, (error, result) => {
          const isDone = !error && result === 0;
          resolve(isDone ? 0 : error ? constants.errno.EIO : koffi.errno());
        });
      });
  } catch {
    return undefined;
  }
}

/** The file system, or the kernel, has no holes: it is no use to try again. */
const IMPOSSIBLE: readonly number[] = [constants.errno.EOPNOTSUPP, constants.errno.ENOSYS];

/** Punches holes into one file. */
export class HolePunch {
  private isPossible = true;

  /**
   * Gives the storage of a range back, which reads zeroes from then on; the file keeps its size.
   * False when the range is as it was. Never rejects.
   */
  async punch(fd: number, offset: number, length: number): Promise<boolean> {
    const call = this.isPossible ? fallocate() : undefined;
    if (call === undefined) return false;
    const errno = await call(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    if (IMPOSSIBLE.includes(errno)) this.isPossible = false;
    return errno === 0;
  }
}
