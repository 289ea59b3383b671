// The host's errors in words, for one sentence to the user.

import type { Errno } from 'vmm';

const REASONS: Partial<Record<string, readonly [code: Errno, text: string]>> = {
  ENOENT: ['ENOENT', 'there is no such file'],
  ENOTDIR: ['ENOTDIR', 'a part of its path is not a directory'],
  EACCES: ['EACCES', 'permission denied'],
  EPERM: ['EPERM', 'the operation is not permitted'],
  EROFS: ['EACCES', 'its file system is read-only'],
  EISDIR: ['EISDIR', 'it is a directory'],
  EBUSY: ['EBUSY', 'it is in use'],
  ETXTBSY: ['EBUSY', 'it is a program that is running'],
  ENXIO: ['ENODEV', 'its device does not exist'],
  ENODEV: ['ENODEV', 'its device does not exist'],
  ELOOP: ['EINVAL', 'its symbolic links form a loop'],
  ENAMETOOLONG: ['EINVAL', 'its path is too long'],
  EFBIG: ['EFBIG', 'it is too large'],
  EEXIST: ['EEXIST', 'it exists already'],
  ENOSPC: ['ENOSPC', 'there is no space left'],
  EDQUOT: ['ENOSPC', 'there is no space left'],
};

/** The errno and the words for an error of a file operation. */
export function reasonOf(error: unknown): { code: Errno; text: string } {
  const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
  const [errno, text] = REASONS[code] ?? (['EIO', message] as const);
  return { code: errno, text };
}
