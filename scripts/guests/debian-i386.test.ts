// Debian's 32-bit kernels, with page tables of three levels and of two, and a 32-bit busybox: the
// same checks as `npm run boot` makes.

import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { COMMAND_LINE, I386, I386_PAE, prepareGuest } from '../guest.ts';
import { GuestConsole } from './guest-console.ts';

const folder = mkdtempSync(join(tmpdir(), 'debian-i386-'));
afterAll(() => rmSync(folder, { recursive: true }));

let guest: GuestConsole | undefined;
afterEach(() => guest?.kill());

test.each([I386_PAE, I386])("Debian's $metapackage checks the machine", async (flavour) => {
  const { kernel, initrd, disk, release } = prepareGuest(() => {}, flavour);
  const copy = join(folder, 'disk.img');
  copyFileSync(disk, copy);
  const words = ['-m', '256M', '-b', kernel, '-I', initrd, '-d', copy, '--no-reboot'];
  guest = GuestConsole.vmctl([...words, '-a', `${COMMAND_LINE} panic=-1 selfcheck`]);
  const [line] = await guest.waitFor(/^Linux guest .*$/m);
  expect(line).toContain(release);
  expect(line).toContain(' i686 ');
  await guest.waitFor(/selfcheck: ok/);
  expect(await guest.end()).toBe(0);
});
