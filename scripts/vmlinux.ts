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
  while (at < data.length) {
    const token = data[at++]!;
    const literals = lengthAt(data, at, token >> 4);
    at += lengthBytes(token >> 4, literals);
    out.set(data.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at >= data.length) break;
    const offset = data[at]! | (data[at + 1]! << 8);
    at += 2;
    const matched = lengthAt(data, at, token & 15);
    at += lengthBytes(token & 15, matched);
    const end = to + matched + MATCH_MIN;
    // Byte by byte: what is copied may be what this copy has just written.
    for (; to < end; to++) out[to] = out[to - offset]!;
  }
  return to;
}

/** The shortest match: what is written is what is beyond it. */
const MATCH_MIN = 4;

/** A length that does not fit into four bits goes on in bytes up to one that is not 255. */
function lengthAt(data: Uint8Array, at: number, nibble: number): number {
  let length = nibble;
  if (nibble !== 15) return length;
  for (let index = at; ; index++) {
    length += data[index]!;
    if (data[index] !== 255) return length;
  }
}

/** How many bytes of those {@link lengthAt} has read. */
function lengthBytes(nibble: number, length: number): number {
  return nibble === 15 ? Math.floor((length - 15) / 255) + 1 : 0;
}
