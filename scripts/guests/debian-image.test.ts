// The Debian disk of `npm run image`, started by its kernel: to the login prompt, into a shell, and
// off again in order, which e2fsck(8) then sees.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { type DebianImage, IMAGE_COMMAND_LINE, prepareImage } from '../debian-image.ts';
import { root } from '../root.ts';
import { GuestConsole } from './guest-console.ts';

const folder = mkdtempSync(join(tmpdir(), 'debian-image-'));
afterAll(() => rmSync(folder, { recursive: true }));

let guest: GuestConsole | undefined;
afterEach(() => guest?.kill());

const PROMPT = /root@debian:~# $/;

/** A command's output, without the line that was typed. */
async function shell(command: string): Promise<string> {
  guest!.type(`${command}; echo "status $?"\n`);
  const [, output] = await guest!.waitFor(/"status \$\?"\r\n([\s\S]*?)status 0\r\n/);
  // The shell writes a carriage return when it takes its terminal back from the line editor.
  return output!.trim();
}

/** Logs in, looks around, writes a file, and switches the machine off. */
async function session(image: DebianImage, disk: string): Promise<void> {
  const words = ['-m', '512M', '-L', '-b', image.kernel, '-I', image.initrd, '-d', disk];
  guest = GuestConsole.vmctl([...words, '-a', IMAGE_COMMAND_LINE, 'debian']);
  await guest.waitFor(/debian login: /);
  guest.type('root\n');
  await guest.waitFor(PROMPT);
  expect(await shell('uname -sm')).toContain('Linux x86_64');
  expect(await shell('findmnt -no SOURCE,FSTYPE /')).toMatch(/\/dev\/vda1\s+ext4/);
  expect(await shell('ip -4 -br address show eth0')).toMatch(/eth0\s+UP\s+100\.64\./);
  expect(await shell('cat /etc/debian_version')).toMatch(/^12\./);
  // Not a unit has failed.
  expect(await shell('systemctl list-units --failed --no-legend --plain')).toBe('');
  await shell('dpkg --verify coreutils bash libc6 systemd && echo kept > /root/file');
  guest.type('poweroff\n');
  await guest.waitFor(/reboot: (System halted|Power down)/);
  expect(await guest.end()).toBe(0);
}

test('the raw disk boots, is used, and is left clean', async () => {
  const image = prepareImage();
  const disk = join(folder, 'disk.raw');
  execFileSync('cp', ['--sparse=always', image.raw, disk]);
  await session(image, disk);
  const check = ['-f', '-n', `${disk}?offset=${2048 * 512}`];
  expect(execFileSync('e2fsck', check, { encoding: 'utf8' })).toContain('debian: ');
});

test('so does an overlay of qcow2, which has what the guest wrote', async () => {
  const image = prepareImage();
  const disk = join(folder, 'disk.qcow2');
  const vmctl = join(root(), 'packages/vmd/bin/vmctl.js');
  execFileSync(process.execPath, [vmctl, 'create', '-b', image.raw, disk]);
  await session(image, disk);
  expect(statSync(disk).size).toBeGreaterThan(1024 * 1024);
});
