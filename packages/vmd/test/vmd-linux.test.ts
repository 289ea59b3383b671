// Debian's kernel under vmd(8), by the configuration that the README shows: boot, console, reboot
// with the console kept, pause, and the end.
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_LINE, type Guest, prepareGuest } from '../../../scripts/guest.ts';
import { eventually, VmdProcess } from './vmd-process.ts';

const BOOT_MS_MAX = 240_000;

let guest: Guest;
let vmd: VmdProcess;
beforeAll(async () => {
  guest = prepareGuest();
  vmd = new VmdProcess();
  const disk = join(vmd.folder, 'disk.img');
  copyFileSync(guest.disk, disk);
  writeFileSync(
    vmd.conf,
    `vm "debian" {
	memory 256M
	boot "${guest.kernel}"
	initrd "${guest.initrd}"
	cmdline "console=ttyS0 quiet"
	disk "${disk}"
	jit on
}
`,
  );
  await vmd.start();
}, 300_000);
afterAll(() => vmd?.dispose());

test(
  'Debian boots, is typed at, pauses, reboots on the same console, and halts',
  async () => {
    await vmd.logged(/\(debian\) started/);
    const console = vmd.spawnCtl('console', 'debian');
    const shows = (pattern: RegExp): Promise<void> =>
      eventually(`${pattern} in ${console.text.stdout}`, () => pattern.test(console.text.stdout));
    const type = (line: string): boolean => console.process.stdin!.write(`${line}\n`);
    await shows(/guest:\/root# /);
    type('md5sum /dev/vda | diff - /etc/selfcheck/disk.md5 && echo same $((6 * 7))');
    await shows(/^same 42/m);

    expect((await vmd.ctl('pause', 'debian')).status).toBe(0);
    const length = console.text.stdout.length;
    type('echo awake $((40 + 2))');
    expect(await vmd.state('debian')).toBe('paused');
    expect(console.text.stdout.length).toBe(length);
    expect((await vmd.ctl('unpause', 'debian')).status).toBe(0);
    await shows(/^awake 42/m);

    const [{ pid }] = await vmd.status();
    type('reboot -f');
    const again = new RegExp(`${FIRST_LINE}[\\s\\S]*${FIRST_LINE}[\\s\\S]*guest:/root# `);
    await shows(again);
    expect(vmd.log).toMatch(/\(debian\) rebooted/);
    expect((await vmd.status())[0]!.pid).toBe(pid);

    const waiting = vmd.ctl('wait', 'debian');
    type('poweroff -f');
    expect((await waiting).stderr).toBe('waiting for vm debian: terminated vm 1\n');
    expect((await console.finished).stderr).toContain('vm 1 has ended');
    await vmd.logged(/^vm 1 \(debian\) stopped: its guest halted$/m);
    expect(await vmd.state('debian')).toBe('stopped');
  },
  BOOT_MS_MAX,
);
