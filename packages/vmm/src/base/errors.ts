// Refusals: what a caller or an operator asked for and cannot have. One class, a stable code, a
// sentence that names the thing and the reason.

/** The errno names that vmm(4) calls answer with (intro(2)); `code` of a {@link VmmError}. */
export type Errno =
  | 'EPERM'
  | 'ENOENT'
  | 'EINTR'
  | 'EIO'
  | 'ENOMEM'
  | 'EACCES'
  | 'EFAULT'
  | 'EBUSY'
  | 'EEXIST'
  | 'ENODEV'
  | 'ENOTDIR'
  | 'EISDIR'
  | 'EINVAL'
  | 'ENOTTY'
  | 'EFBIG'
  | 'ENOSPC'
  | 'ENOEXEC'
  | 'EAGAIN'
  | 'EALREADY';

/** A refusal. `message` is one clear sentence for the person who asked. */
export class VmmError extends Error {
  override readonly name = 'VmmError';
  readonly code: Errno;

  constructor(code: Errno, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
