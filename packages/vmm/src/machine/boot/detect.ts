// Which boot loader takes an image. An image that none takes is refused with the reason that its
// first bytes suggest, since the usual mistakes (a compressed kernel, a program, another machine's
// kernel, a disk image) are easy to tell apart.

import { VmmError } from '../../base/errors.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import type { BootState } from './boot-state.ts';
import {
  EM_386,
  EM_X86_64,
  ET_EXEC,
  elfNotes,
  elfSegments,
  isElf,
  PT_INTERP,
  PT_LOAD,
  parseElf,
} from './elf.ts';
import { isFirmwareImage } from './firmware.ts';
import { type BootOptions, type KernelImage, viewOf } from './image.ts';
import { loadLinux } from './linux.ts';
import { isLinuxImage } from './linux-header.ts';
import { loadMultiboot } from './multiboot.ts';
import { isMultibootImage } from './multiboot-header.ts';
import { loadMultiboot2 } from './multiboot2.ts';
import { isMultiboot2Image } from './multiboot2-header.ts';
import { loadOpenbsd } from './openbsd.ts';
import { hasPvhEntry, loadPvh } from './pvh.ts';

/** The kernels that can be loaded. */
export type KernelKind = 'linux' | 'multiboot2' | 'multiboot' | 'pvh' | 'openbsd';

const LOADERS: Record<KernelKind, typeof loadLinux> = {
  linux: loadLinux,
  multiboot2: loadMultiboot2,
  multiboot: loadMultiboot,
  pvh: loadPvh,
  openbsd: loadOpenbsd,
};

/** What a machine can begin with. */
export type ImageKind = KernelKind | 'firmware';

/** The kind of an image; ENOEXEC with the reason when it is none that can be booted. */
export function detectImage(image: KernelImage): ImageKind {
  const kind = kernelKind(image);
  if (kind !== undefined) return kind;
  if (!isElf(image.bytes) && isFirmwareImage(image.bytes)) return 'firmware';
  throw new VmmError(
    'ENOEXEC',
    (isElf(image.bytes) ? elfRefusal(image) : undefined) ?? refusal(image),
  );
}

/**
 * Loads a kernel of any known kind into `memory` and returns the state in which it starts.
 * Throws VmmError with ENOEXEC, ENOMEM or EINVAL, having written nothing.
 */
export function loadKernel(
  memory: GuestMemory,
  image: KernelImage,
  options: BootOptions,
): BootState {
  return LOADERS[detectKernel(image)](memory, image, options);
}

/**
 * The kind of a kernel image; ENOEXEC with the reason when it is none that can be loaded. A kernel
 * of several kinds is taken for the first of them in the order above.
 */
export function detectKernel(image: KernelImage): KernelKind {
  const kind = kernelKind(image);
  if (kind !== undefined) return kind;
  throw new VmmError(
    'ENOEXEC',
    (isElf(image.bytes) ? elfRefusal(image) : undefined) ?? refusal(image),
  );
}

function kernelKind(image: KernelImage): KernelKind | undefined {
  const { bytes } = image;
  if (isLinuxImage(bytes)) return 'linux';
  if (isMultiboot2Image(bytes)) return 'multiboot2';
  if (isMultibootImage(bytes)) return 'multiboot';
  if (hasPvhEntry(image)) return 'pvh';
  return isElf(bytes) && elfRefusal(image) === undefined ? 'openbsd' : undefined;
}

const COMPRESSED: ReadonlyArray<readonly [magic: readonly number[], name: string]> = [
  [[0x1f, 0x8b], 'gzip'],
  [[0x42, 0x5a, 0x68], 'bzip2'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'xz'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'zstd'],
];

function refusal(image: KernelImage): string {
  const { bytes, name } = image;
  if (bytes.length === 0) return `File ${name} is not a kernel: it is empty.`;
  for (const [magic, format] of COMPRESSED) {
    if (magic.every((byte, index) => bytes[index] === byte)) {
      return `File ${name} is compressed with ${format}; decompress it first.`;
    }
  }
  // Documentation/arch/arm64/booting.rst: the magic number "ARM\x64" at offset 56.
  if (bytes.length >= 64 && viewOf(bytes).getUint32(56, true) === 0x644d_5241) {
    return `Kernel ${name} is for arm64 processors; this is an x86-64 machine.`;
  }
  if (bytes.length >= 512 && viewOf(bytes).getUint16(510, true) === 0xaa55) {
    return `File ${name} is not a kernel but has a boot sector: it may be a disk image (-d).`;
  }
  return (
    `File ${name} is not a kernel: it is neither a Linux bzImage, nor an ELF file, ` +
    'nor a firmware.'
  );
}

/** Why an ELF file of no protocol cannot be OpenBSD's kernel; undefined when it can. */
function elfRefusal(image: KernelImage): string | undefined {
  const { name } = image;
  const { machine, type } = parseElf(image);
  if (machine !== EM_386 && machine !== EM_X86_64) {
    return `ELF file ${name} is for another processor (e_machine ${machine}).`;
  }
  const segments = elfSegments(parseElf(image));
  if (type !== ET_EXEC || segments.some((segment) => segment.type === PT_INTERP)) {
    return `ELF file ${name} is not a kernel: it is a program, a library or an object file.`;
  }
  // Its notes are those of include/linux/elfnote.h, and Xen's when it can be Xen's guest otherwise.
  const owners = elfNotes(segments).map(({ owner }) => owner);
  if (owners.includes('Linux') || owners.includes('Xen')) {
    return `ELF file ${name} has no entry for PVH; of Linux, give the bzImage, not the vmlinux.`;
  }
  if (!segments.some((segment) => segment.type === PT_LOAD)) {
    return `ELF file ${name} is not a kernel: it contains nothing to load.`;
  }
  return undefined;
}
