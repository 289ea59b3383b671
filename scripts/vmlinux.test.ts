// Against lz4(1), which unpacks the same payload.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { VmmError } from '../packages/vmm/src/base/errors.ts';
import { parseLinuxHeader } from '../packages/vmm/src/machine/boot/linux-header.ts';
import { prepareGuest } from './guest.ts';
import { unpackVmlinux } from './vmlinux.ts';

const hasLz4 = spawnSync('lz4', ['--version']).status === 0;

test.skipIf(!hasLz4)("unpackVmlinux() unpacks Debian's kernel as lz4 does", () => {
  const { kernel: path } = prepareGuest();
  const bytes = readFileSync(path);
  const { kernel } = parseLinuxHeader({ name: path, bytes });
  const start = bytes.readUInt32LE(0x248);
  const input = kernel.subarray(start, start + bytes.readUInt32LE(0x24c) - 4);
  const expected = execFileSync('lz4', ['-dc'], { input, maxBuffer: 1 << 30 });
  expect(Buffer.compare(unpackVmlinux(path, bytes), expected)).toBe(0);
});

test('unpackVmlinux() refuses a payload that is compressed otherwise', () => {
  const { kernel: path } = prepareGuest();
  const bytes = Uint8Array.from(readFileSync(path));
  const { kernel } = parseLinuxHeader({ name: path, bytes });
  const start = new DataView(bytes.buffer).getUint32(0x248, true);
  kernel.fill(0, start, start + 4);
  expect(() => unpackVmlinux('vmlinuz', bytes)).toThrow(VmmError);
});
