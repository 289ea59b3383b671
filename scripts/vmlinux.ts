// The vmlinux inside a bzImage: what the kernel's own decompressor would unpack, an ELF file that
// can be entered by PVH. "The Linux/x86 Boot Protocol" (Documentation/arch/x86/boot.rst) says where
// it lies (payload_offset, payload_length); Debian compresses it by LZ4 or by xz.

import { execFileSync } from 'node:child_process';
import { VmmError } from '../packages/vmm/src/base/errors.ts';
import { parseLinuxHeader } from '../packages/vmm/src/machine/boot/linux-header.ts';

const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
/** Four bytes behind the compressed data: its size when uncompressed. */
const SIZE_BYTES = 4;
/** Magic number of LZ4's legacy frames (lz4_Frame_format.md). */
const LZ4_LEGACY = 0x184c_2102;
/** The first four bytes of an xz file (The .xz File Format, 2.1.1.1). */
const XZ = 0x587a_37fd;

/** Unpacks the payload of the bzImage `bytes`; ENOEXEC when it is compressed otherwise. */
export function unpackVmlinux(name: string, bytes: Uint8Array): Uint8Array {
  const { kernel } = parseLinuxHeader({ name, bytes });
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const start = header.getUint32(PAYLOAD_OFFSET, true);
  const payload = kernel.subarray(start, start + header.getUint32(PAYLOAD_LENGTH, true));
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const data = payload.subarray(0, payload.length - SIZE_BYTES);
  const size = view.getUint32(payload.length - SIZE_BYTES, true);
  switch (view.getUint32(0, true)) {
    case LZ4_LEGACY:
      return unpackLz4(data, size);
    case XZ:
      return execFileSync('xz', ['-dc', '--single-stream'], { input: data, maxBuffer: size });
    default:
      throw new VmmError('ENOEXEC', `Kernel ${name} is compressed in a way not known here.`);
  }
}

/** Blocks of LZ4, each with its size before it, behind the magic number. */
function unpackLz4(data: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let to = 0;
  for (let at = 4; at + 4 <= data.length; ) {
    const end = at + 4 + view.getUint32(at, true);
    to = unpackBlock(data.subarray(at + 4, end), out, to);
    at = end;
  }
  return out;
}

/** One block (lz4_Block_format.md): literals, a copy of what is `offset` bytes back, and so on. */
function unpackBlock(data: Uint8Array, out: Uint8Array, start: number): number {
  let to = start;
  let at = 0;
  /** A length that does not fit into four bits goes on in bytes up to one that is not 255. */
  const length = (nibble: number): number => {
    let value = nibble;
    if (nibble === 15) {
      let byte: number;
      do {
        byte = data[at++]!;
        value += byte;
      } while (byte === 255);
    }
    return value;
  };
  while (at < data.length) {
    const token = data[at++]!;
    const literals = length(token >> 4);
    out.set(data.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at >= data.length) break;
    const offset = data[at]! | (data[at + 1]! << 8);
    at += 2;
    const end = to + length(token & 15) + 4;
    // Byte by byte: what is copied may be what this copy has just written.
    for (; to < end; to++) out[to] = out[to - offset]!;
  }
  return to;
}
