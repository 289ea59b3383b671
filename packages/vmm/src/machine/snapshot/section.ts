// The frame of a suspended machine's file: a header, sections with a name and a checksum each, and
// the end. docs/suspend-format.md is the description byte by byte.

import { assert } from '../../base/assert.ts';
import { VmmError } from '../../base/errors.ts';
import { crc32 } from './crc32.ts';
import { NAME_LENGTH_MAX } from './wire.ts';

/** As PNG's: not text, and damaged by whatever takes it for text. */
const MAGIC: readonly number[] = [0x89, 0x56, 0x4d, 0x4d, 0x0d, 0x0a, 0x1a, 0x0a];
/** The version of the frame: what is in sections goes by names. */
export const FORMAT_VERSION = 1;
export const HEADER_BYTES = 16;

/** What is in a section. */
export const SECTION = { STATE: 1, MEMORY: 2, END: 3 } as const;
/** Length of the payload, kind, length of the name. */
export const PREFIX_BYTES = 6;
export const CRC_BYTES = 4;
/** A reader holds a section as a whole. */
export const PAYLOAD_BYTES_MAX: number = 2 << 20;

/** The header of a file. */
export function header(): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint16(8, FORMAT_VERSION, true);
  view.setUint32(12, crc32(bytes.subarray(0, 12)), true);
  return bytes;
}

/** Checks a header. EINVAL for anything but one of a version that is known. */
export function checkHeader(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (MAGIC.some((byte, index) => bytes[index] !== byte)) {
    throw new VmmError('EINVAL', 'This is not a suspended machine: it does not begin as one.');
  }
  if (view.getUint32(12, true) !== crc32(bytes.subarray(0, 12))) {
    throw damaged('its header has the wrong checksum');
  }
  const version = view.getUint16(8, true);
  if (version !== FORMAT_VERSION || view.getUint16(10, true) !== 0) {
    throw new VmmError(
      'EINVAL',
      `The suspended machine is in version ${version} of the format; this reads version ` +
        `${FORMAT_VERSION}.`,
    );
  }
}

/** A refusal of a file that is not as it was written. */
export function damaged(how: string): VmmError {
  return new VmmError('EINVAL', `The suspended machine is damaged: ${how}.`);
}

/** A section that is being written: its payload is filled in, then it is sealed. */
export class SectionDraft {
  private readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Room for the payload. */
  readonly payload: Uint8Array;

  constructor(kind: number, name: string, payloadBytesMax: number) {
    const start = PREFIX_BYTES + name.length;
    assert(name.length <= NAME_LENGTH_MAX, `"${name}" is too long for a name`);
    assert(payloadBytesMax <= PAYLOAD_BYTES_MAX, `section "${name}" is too long`);
    this.bytes = new Uint8Array(start + payloadBytesMax + CRC_BYTES);
    this.view = new DataView(this.bytes.buffer, start);
    this.payload = this.bytes.subarray(start, start + payloadBytesMax);
    this.bytes[4] = kind;
    this.bytes[5] = name.length;
    this.bytes.set(new TextEncoder().encode(name), PREFIX_BYTES);
  }

  /** The whole section, whose payload has `length` bytes. */
  seal(length: number): Sealed {
    const end = this.payload.byteOffset + length;
    const whole = new DataView(this.bytes.buffer);
    whole.setUint32(0, length, true);
    const crc = crc32(this.bytes.subarray(0, end));
    whole.setUint32(end, crc, true);
    return { bytes: this.bytes.subarray(0, end + CRC_BYTES), crc };
  }
}

/** A section as it is written. */
export interface Sealed {
  readonly bytes: Uint8Array;
  readonly crc: number;
}

/** Counts sections, so that the end can tell whether all are there and in order. */
export class SectionCount {
  private readonly word = new DataView(new ArrayBuffer(4));
  /** How many there were. */
  count = 0;
  /** The CRC of their CRCs. */
  crc = 0;

  add(crc: number): void {
    this.word.setUint32(0, crc, true);
    this.crc = crc32(new Uint8Array(this.word.buffer), this.crc);
    this.count++;
  }
}
