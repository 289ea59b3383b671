// The guest as Debian ships it: facts about the kernel come from objdump(1), which reads the
// bzImage as the EFI executable it also is, and about modules from the kernel's own module tree.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { detectKernel, loadKernel } from '../packages/vmm/src/machine/boot/detect.ts';
import { parseLinuxHeader } from '../packages/vmm/src/machine/boot/linux-header.ts';
import { TestMemory, testEntropy } from '../packages/vmm/test/boot-memory.ts';
import { COMMAND_LINE, FIRST_LINE, type Guest, prepareGuest } from './guest.ts';

const MB = 0x10_0000;
let guest: Guest;
beforeAll(() => {
  guest = prepareGuest();
}, 300_000);

test("parseLinuxHeader() agrees with objdump about Debian's kernel", () => {
  const bytes = readFileSync(guest.kernel);
  const header = parseLinuxHeader({ name: guest.kernel, bytes });
  const sections = execFileSync('objdump', ['-h', guest.kernel], { encoding: 'utf8' });
  const text = / \.text +(\S+) +\S+ +\S+ +(\S+)/.exec(sections)!;
  const [size, offset] = [Number.parseInt(text[1]!, 16), Number.parseInt(text[2]!, 16)];
  expect(
    Buffer.compare(header.kernel.subarray(0, 4096), bytes.subarray(offset, offset + 4096)),
  ).toBe(0);
  expect(header.kernel.length).toBeGreaterThanOrEqual(size);
  expect(offset + header.kernel.length).toBeLessThanOrEqual(bytes.length);
  expect(header.has64BitEntry).toBe(true);
  const version = 0x200 + new DataView(bytes.buffer, bytes.byteOffset).getUint16(0x20e, true);
  const text0 = new TextDecoder().decode(bytes.subarray(version, version + 100));
  expect(text0.split(' ')[0]).toBe(guest.release);
});

test("loadKernel() loads Debian's kernel with its initramfs, and refuses it cut short", () => {
  const memoryBytes = 256 * MB;
  const memory = new TestMemory(memoryBytes);
  const initrd = readFileSync(guest.initrd);
  const modules = [{ commandLine: guest.initrd, bytes: initrd }];
  const image = { name: guest.kernel, bytes: readFileSync(guest.kernel) };
  const options = { memoryBytes, commandLine: COMMAND_LINE, modules, entropy: testEntropy };
  expect(detectKernel(image)).toBe('linux');
  const state = loadKernel(memory, image, options);
  const start = memory.view.getUint32(state.gprs.rsi + 0x218, true);
  expect(Buffer.compare(memory.bytes.subarray(start, start + initrd.length), initrd)).toBe(0);
  const cut = { name: 'cut', bytes: image.bytes.subarray(0, 5_000_000) };
  expect(() => loadKernel(memory, cut, options)).toThrow(/^Kernel cut is truncated/);
  expect(() => loadKernel(memory, image, { ...options, memoryBytes: 32 * MB })).toThrow(
    /needs \d+ MB/,
  );
});

test('prepareGuest() makes an initramfs that cpio reads and whose modules come in order', () => {
  const read = (path: string): string =>
    execFileSync('cpio', ['-i', '--quiet', '--to-stdout', path], {
      input: readFileSync(guest.initrd),
      encoding: 'utf8',
    });
  expect(read('init').split('\n')).toContain(`echo '${FIRST_LINE}'`);
  const order = read('etc/modules').trim().split('\n');
  for (const name of ['virtio_pci.ko', 'virtio_blk.ko', 'virtio_rng.ko', 'virtio_net.ko']) {
    expect(order.indexOf(name)).toBeGreaterThan(order.indexOf('virtio_ring.ko'));
    expect(order.indexOf('virtio_ring.ko')).toBeGreaterThanOrEqual(0);
  }
  const sum = createHash('md5').update(readFileSync(guest.disk)).digest('hex');
  expect(read('etc/selfcheck/disk.md5')).toBe(`${sum}  /dev/vda\n`);
});
