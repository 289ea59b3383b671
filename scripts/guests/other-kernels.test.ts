// Kernels that are no Linux, as Debian packages them, and Debian's own Linux entered by PVH: each
// to what it prints when it is well. GNU Mach must also read the time right, and Memtest86+ find no
// error in a memory that has none.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { COMMAND_LINE, prepareGuest } from '../guest.ts';
import { unpackVmlinux } from '../vmlinux.ts';
import { GuestConsole } from './guest-console.ts';
import { prepareGnuMach, prepareInvaders, prepareMemtest } from './kernels.ts';

const folder = mkdtempSync(join(tmpdir(), 'other-kernels-'));
afterAll(() => rmSync(folder, { recursive: true }));

let guest: GuestConsole | undefined;
afterEach(() => guest?.kill());

test('GNU Mach, gzipped Multiboot of ELF64, finds its memory, and no bootstrap task', async () => {
  const words = ['-m', '64M', '-b', prepareGnuMach(), '-a', 'console=com0'];
  guest = GuestConsole.vmctl(words);
  await guest.waitFor(/GNU Mach 1\.8/);
  await guest.waitFor(/biosmem: 0+100000:0+4000000, available/);
  const [, time] = await guest.waitFor(/RTC time is (\S+ \S+?)\r/);
  expect(Math.abs(Date.parse(`${time}Z`) - Date.now())).toBeLessThan(60_000);
  await guest.waitFor(/bootstrap_create: No bootstrap code loaded with the kernel!/);
});

test('GNU Mach loads a module that its command line calls a bootstrap task', async () => {
  // Not one that Mach can run: it says so, by the name that it has from the module's string.
  const task = join(folder, 'task');
  writeFileSync(task, 'no ELF file');
  const words = ['-m', '64M', '-b', prepareGnuMach(), '-a', 'console=com0'];
  guest = GuestConsole.vmctl([...words, '-I', `${task} $(task-create) $(task-resume)`]);
  await guest.waitFor(/\btask: \S*task \$\(task-create\) \$\(task-resume\)|module 0: .*task/);
});

test.each([32, 64] as const)(
  'Memtest86+ of %s bits tests a memory without errors',
  async (bits) => {
    guest = GuestConsole.vmctl(['-m', '16M', '-b', prepareMemtest(bits), '-a', COMMAND_LINE]);
    await guest.waitFor(/Memtest86\+ v\d/);
    // The screen is drawn now and then, so which tests it names is a matter of speed.
    await guest.waitFor(/#\d+ +\[[^\]]+\]/);
    await guest.waitFor(/Time: +0:00:0[3-9]/);
    const [, errors] = await guest.waitFor(/Errors: (\d+)/);
    expect(errors).toBe('0');
  },
);

test("Debian's vmlinux, entered by PVH, checks the machine", async () => {
  const linux = prepareGuest();
  const vmlinux = join(folder, 'vmlinux');
  writeFileSync(vmlinux, unpackVmlinux(linux.kernel, readFileSync(linux.kernel)));
  const disk = join(folder, 'disk.img');
  writeFileSync(disk, readFileSync(linux.disk));
  const words = ['-m', '256M', '-b', vmlinux, '-I', linux.initrd, '-d', disk, '--no-reboot'];
  guest = GuestConsole.vmctl([...words, '-a', `${COMMAND_LINE} panic=-1 selfcheck`]);
  await guest.waitFor(/selfcheck: ok/);
  expect(await guest.end()).toBe(0);
});

test('GRUB Invaders, a Multiboot kernel of 32 bits, runs without a display', async () => {
  guest = GuestConsole.vmctl([
    '-m',
    '16M',
    '-t',
    '20',
    '-v',
    '--no-reboot',
    '-b',
    prepareInvaders(),
  ]);
  const [, instructions] = await guest.waitFor(/instructions +(\d+)/);
  // It draws until it is ended: a crash would be a reset, or a halt, with another status.
  expect(Number(instructions)).toBeGreaterThan(10_000);
  expect(await guest.end()).toBe(124);
});
