// Which boot loader takes an image. An image that none takes is refused with the reason that its
// first bytes suggest, since the usual mistakes (a compressed kernel, a vmlinux, another machine's
// kernel, a disk image) are easy to tell apart.

import { VmmError } from '../../base/errors.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import type { BootState } from './boot-state.ts';
import { EM_386, EM_X86_64, isElf, parseElf } from './elf.ts';
import { isFirmwareImage } from './firmware.ts';
import { type BootOptions, type KernelImage, viewOf } from './image.ts';
import { loadLinux } from './linux.ts';
import { isLinuxImage } from './linux-header.ts';
import { loadMultiboot } from './multiboot.ts';
import { isMultibootImage } from './multiboot-header.ts';

/** The kernels that can be loaded. */
export type KernelKind = 'linux' | 'multiboot';

const LOADERS: Record<KernelKind, typeof loadLinux> = {
  linux: loadLinux,
  multiboot: loadMultiboot,
};

/** What a machine can begin with. */
export type ImageKind = KernelKind | 'firmware';

/** The kind of an image; ENOEXEC with the reason when it is none that can be booted. */
export function detectImage(image: KernelImage): ImageKind {
  const kind = kernelKind(image);
  if (kind !== undefined) return kind;
  if (!isElf(image.bytes) && isFirmwareImage(image.bytes)) return 'firmware';
  throw new VmmError('ENOEXEC', refusal(image));
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

/** The kind of a kernel image; ENOEXEC with the reason when it is none that can be loaded. */
export function detectKernel(image: KernelImage): KernelKind {
  const kind = kernelKind(image);
  if (kind !== undefined) return kind;
  throw new VmmError('ENOEXEC', refusal(image));
}

function kernelKind({ bytes }: KernelImage): KernelKind | undefined {
  if (isLinuxImage(bytes)) return 'linux';
  return isMultibootImage(bytes) ? 'multiboot' : undefined;
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
  if (isElf(bytes)) return elfRefusal(image);
  // Documentation/arch/arm64/booting.rst: the magic number "ARM\x64" at offset 56.
  if (bytes.length >= 64 && viewOf(bytes).getUint32(56, true) === 0x644d_5241) {
    return `Kernel ${name} is for arm64 processors; this is an x86-64 machine.`;
  }
  if (bytes.length >= 512 && viewOf(bytes).getUint16(510, true) === 0xaa55) {
    return `File ${name} is not a kernel but has a boot sector: it may be a disk image (-d).`;
  }
  return (
    `File ${name} is not a kernel: it is neither a Linux bzImage, nor a Multiboot kernel, ` +
    'nor a firmware.'
  );
}

function elfRefusal(image: KernelImage): string {
  const { machine } = parseElf(image);
  if (machine !== EM_386 && machine !== EM_X86_64) {
    return `ELF file ${image.name} is for another processor (e_machine ${machine}).`;
  }
  return (
    `ELF file ${image.name} has no Multiboot header in its first 8192 bytes. ` +
    'Of Linux, give the bzImage, not the vmlinux.'
  );
}
