// Writer of cpio archives in the "newc" format, which Linux unpacks as its initramfs: the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst, and cpio(5). Written: regular files,
// directories, symbolic links, device nodes. The same entries always give the same bytes. Not
// written: checksums ("crc" format), hard links, owners other than root.

import { VmmError } from '../../base/errors.ts';

/** A member of the archive; `path` is relative to the root, without a leading slash. */
export type CpioEntry =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly data: Uint8Array;
    }
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'device';
      readonly path: string;
      readonly mode: number;
      readonly device: 'char' | 'block';
      readonly major: number;
      readonly minor: number;
    };

const MAGIC = '070701';
const HEADER_BYTES = 110;
const TRAILER = 'TRAILER!!!';
/** GNU cpio writes archives in blocks of this size; the kernel does not mind. */
const BLOCK = 512;

// The file types of stat(2), and the bits beside them.
const PERMISSIONS = 0o7777;
const S_IFCHR = 0o020000;
const S_IFDIR = 0o040000;
const S_IFBLK = 0o060000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

interface Member {
  readonly name: Uint8Array;
  readonly data: Uint8Array;
  readonly mode: number;
  readonly links: number;
  readonly major: number;
  readonly minor: number;
}

/**
 * The archive of `entries`, in their order; a directory must come before what it contains, as the
 * kernel creates nothing by itself. All members belong to root and bear the time `mtimeSeconds`.
 * EINVAL for a path that is empty, absolute, repeated or without its directory; EFBIG from 4 GiB.
 */
export function cpioArchive(entries: readonly CpioEntry[], mtimeSeconds = 0): Uint8Array {
  checkPaths(entries);
  const members = entries.map(toMember);
  const trailer = { name: encode(TRAILER), data: NOTHING, mode: 0, links: 1, major: 0, minor: 0 };
  const sizes = [...members, trailer].map(memberBytes);
  const used = sizes.reduce((sum, size) => sum + size, 0);
  const archive = new Uint8Array(Math.ceil(used / BLOCK) * BLOCK);
  let at = 0;
  members.forEach((member, index) => {
    writeMember(archive, at, member, index + 1, mtimeSeconds);
    at += sizes[index]!;
  });
  writeMember(archive, at, trailer, 0, 0);
  return archive;
}

const NOTHING = new Uint8Array(0);

function checkPaths(entries: readonly CpioEntry[]): void {
  const seen = new Set<string>();
  const directories = new Set<string>(['']);
  for (const { kind, path } of entries) {
    const parts = path.split('/');
    if (parts.some((part) => part === '' || part === '.' || part === '..') || path.includes('\0')) {
      throw new VmmError('EINVAL', `Archive path "${path}" is not a plain relative path.`);
    }
    if (seen.has(path)) throw new VmmError('EINVAL', `Archive path ${path} is given twice.`);
    if (path === TRAILER) throw new VmmError('EINVAL', `Archive path ${path} ends an archive.`);
    const parent = parts.slice(0, -1).join('/');
    if (!directories.has(parent)) {
      throw new VmmError('EINVAL', `Archive path ${path} comes before its directory ${parent}.`);
    }
    seen.add(path);
    if (kind === 'directory') directories.add(path);
  }
}

function toMember(entry: CpioEntry): Member {
  const common = { name: encode(entry.path), data: NOTHING, links: 1, major: 0, minor: 0 };
  switch (entry.kind) {
    case 'file':
      if (entry.data.length > 0xffff_ffff) {
        throw new VmmError('EFBIG', `File ${entry.path} is too large for a newc archive.`);
      }
      return { ...common, mode: S_IFREG | (entry.mode & PERMISSIONS), data: entry.data };
    case 'directory':
      return { ...common, mode: S_IFDIR | (entry.mode & PERMISSIONS), links: 2 };
    case 'symlink':
      return { ...common, mode: S_IFLNK | 0o777, data: encode(entry.target) };
    case 'device': {
      const type = entry.device === 'char' ? S_IFCHR : S_IFBLK;
      const { major, minor } = entry;
      return { ...common, mode: type | (entry.mode & PERMISSIONS), major, minor };
    }
  }
}

function memberBytes(member: Member): number {
  return align(HEADER_BYTES + member.name.length + 1) + align(member.data.length);
}

function writeMember(
  archive: Uint8Array,
  at: number,
  member: Member,
  inode: number,
  mtimeSeconds: number,
): void {
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
  // namesize with its zero, check.
  const fields = [
    inode,
    member.mode,
    0,
    0,
    member.links,
    mtimeSeconds,
    member.data.length,
    0,
    0,
    member.major,
    member.minor,
    member.name.length + 1,
    0,
  ];
  const hex = fields.map((value) => value.toString(16).toUpperCase().padStart(8, '0'));
  archive.set(encode(MAGIC + hex.join('')), at);
  archive.set(member.name, at + HEADER_BYTES);
  archive.set(member.data, at + align(HEADER_BYTES + member.name.length + 1));
}

function align(size: number): number {
  return Math.ceil(size / 4) * 4;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
