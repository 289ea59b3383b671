// The image's places are vmd(8)'s; the reset vector is the SDM's, 3A 10.1.4.
import { expect, test } from 'vitest';
import { VmmError } from '../../base/errors.ts';
import { GuestRam } from '../guest-ram.ts';
import { detectImage } from './detect.ts';
import { isFirmwareImage, loadFirmware } from './firmware.ts';

const MB = 1 << 20;
const KIB = 1024;
const FAR_JUMP = [0xea, 0x5b, 0xe0, 0x00, 0xf0];

/** An image of numbered 32-bit words with a jump in its reset vector. */
function image(sizeBytes: number, vector: readonly number[] = FAR_JUMP): Uint8Array {
  const words = Uint32Array.from({ length: sizeBytes / 4 }, (_, index) => index);
  const bytes = new Uint8Array(words.buffer);
  bytes.set(vector, sizeBytes - 16);
  return bytes;
}

function ram(): GuestRam {
  const layout = { memoryBytes: 2 * MB, hasFirmware: true };
  const memory = new WebAssembly.Memory({ initial: (6 * MB) / 65536, maximum: 96 });
  return new GuestRam(memory, layout);
}

test('isFirmwareImage() takes a ROM that jumps from its reset vector, and nothing else', () => {
  expect(isFirmwareImage(image(128 * KIB))).toBe(true);
  expect(isFirmwareImage(image(128 * KIB, [0x90, 0x90, 0xe9, 0, 0xff]))).toBe(true);
  expect(isFirmwareImage(image(128 * KIB, [0xeb, 0xfe]))).toBe(true);
  expect(isFirmwareImage(image(128 * KIB, [0x55, 0xaa]))).toBe(false);
  expect(isFirmwareImage(image(128 * KIB, Array(16).fill(0x90)))).toBe(false);
  expect(isFirmwareImage(image(128 * KIB).subarray(4))).toBe(false);
  expect(isFirmwareImage(new Uint8Array(0))).toBe(false);
});

test('detectImage() tells a firmware from a kernel', () => {
  expect(detectImage({ name: 'bios', bytes: image(KIB) })).toBe('firmware');
  const elf = image(KIB);
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  expect(() => detectImage({ name: 'elf', bytes: elf })).toThrow(VmmError);
});

test.each([64 * KIB, 256 * KIB, 4 * MB])(
  'loadFirmware() puts all of %i bytes below 4 GiB, and of its end 388 KiB below 1 MiB',
  (sizeBytes) => {
    const memory = ram();
    const bytes = image(sizeBytes);
    memory.bytes.fill(0xcc);
    loadFirmware(memory, { name: 'bios', bytes });
    const high = memory.offset(0x1_0000_0000 - sizeBytes, sizeBytes);
    expect(Buffer.compare(memory.bytes.subarray(high, high + sizeBytes), bytes)).toBe(0);
    const lowBytes = Math.min(sizeBytes, 388 * KIB);
    const low = memory.bytes.subarray(MB - lowBytes, MB);
    expect(Buffer.compare(low, bytes.subarray(sizeBytes - lowBytes))).toBe(0);
    expect(memory.bytes[MB - lowBytes - 1]).toBe(0xcc);
    expect(memory.bytes[MB]).toBe(0xcc);
    // What a firmware before this one left is gone.
    if (sizeBytes < 4 * MB) expect(memory.bytes[high - 1]).toBe(0);
  },
);

test('loadFirmware() refuses more than 4 MiB', () => {
  const load = (): void => loadFirmware(ram(), { name: 'big', bytes: image(4 * MB + KIB) });
  expect(load).toThrow('Firmware big has 5 MB, more than the 4 MB that there are for it.');
});
