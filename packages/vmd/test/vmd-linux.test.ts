// Debian's kernel under vmd(8), by a configuration as the README shows, with a qcow2 disk and a
// local interface: boot, console, reboot with the console kept, pause, and a clean stop.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_LINE, type Guest, prepareGuest } from '../../../scripts/guest.ts';
import { eventually, freePort, VmdProcess } from './vmd-process.ts';

const BOOT_MS_MAX = 240_000;

let guest: Guest;
let vmd: VmdProcess;
let port: number;

beforeAll(async () => {
  guest = prepareGuest();
  vmd = new VmdProcess();
  const disk = join(vmd.folder, 'disk.qcow2');
  expect(await vmd.ctl('create', '-i', `raw:${guest.disk}`, disk)).toMatchObject({ status: 0 });
  port = await freePort();
  writeFileSync(
    vmd.conf,
    `local prefix 10.192.0.0/10
local inet6 prefix fd12:3456:789a:bcde::/64
vm "other" {
	boot "${guest.kernel}"
	disable
}
vm "debian" {
	memory 256M
	boot "${guest.kernel}"
	initrd "${guest.initrd}"
	cmdline "console=ttyS0 quiet"
	disk "${disk}" format qcow2
	local interface lladdr 02:00:00:00:00:07
	interface down
	forward ${port}:8000
}
`,
  );
  await vmd.start();
}, 300_000);
afterAll(() => vmd?.dispose());

test(
  'Debian boots, is typed at, pauses, reboots on the same console, and shuts down when it is asked',
  async () => {
    await vmd.logged(/\(debian\) started/);
    const console = vmd.spawnCtl('console', 'debian');
    const shows = (pattern: RegExp): Promise<void> =>
      eventually(`${pattern} in ${console.text.stdout}`, () => pattern.test(console.text.stdout));
    const type = (line: string): boolean => console.process.stdin!.write(`${line}\n`);
    const pidOf = async () => (await vmd.status()).find(({ name }) => name === 'debian')!.pid;
    await shows(/guest:\/root# /);
    type('md5sum /dev/vda | diff - /etc/selfcheck/disk.md5 && echo same $((6 * 7))');
    await shows(/^same 42/m);

    // As the second machine of the prefix, and its first interface.
    type(
      'ip link set eth1 up; ip addr show eth0; cat /etc/resolv.conf /sys/class/net/eth1/carrier',
    );
    await shows(/ether 02:00:00:00:00:07[\s\S]*inet 10\.192\.2\.3\/31/);
    await shows(/^nameserver 10\.192\.2\.2\s+0\s/m);
    type('until ip -6 addr show eth0 | grep fd12:; do :; done');
    await shows(/inet6 fd12:3456:789a:bcde:[0-9a-f:]+\/64/);
    type('nc -l -p 8000 -e cat &');
    type("until netstat -ltn | grep -q ':8000 '; do :; done; echo listens $((50 + 2))");
    await shows(/^listens 52/m);
    const socket = connect(port, '127.0.0.1');
    socket.write('hello');
    expect(String((await once(socket, 'data'))[0])).toBe('hello');
    socket.destroy();

    expect((await vmd.ctl('pause', 'debian')).status).toBe(0);
    const length = console.text.stdout.length;
    type('echo awake $((40 + 2))');
    expect(await vmd.state('debian')).toBe('paused');
    expect(console.text.stdout.length).toBe(length);
    expect((await vmd.ctl('unpause', 'debian')).status).toBe(0);
    await shows(/^awake 42/m);

    const pid = await pidOf();
    type('reboot -f');
    const again = new RegExp(`${FIRST_LINE}[\\s\\S]*${FIRST_LINE}[\\s\\S]*guest:/root# `);
    await shows(again);
    expect(vmd.log).toMatch(/\(debian\) rebooted/);
    expect(await pidOf()).toBe(pid);

    const waiting = vmd.ctl('wait', 'debian');
    expect((await vmd.ctl('stop', '-w', 'debian')).stderr).toBe(
      'stopping vm debian: requested to shutdown vm 2\nterminated vm 2\n',
    );
    expect((await waiting).stderr).toBe('waiting for vm debian: terminated vm 2\n');
    expect((await console.finished).stderr).toContain('vm 2 has ended');
    await shows(/The system is going down NOW![\s\S]*reboot: Power down/);
    await vmd.logged(/^vm 2 \(debian\) stopped: its guest shut down$/m);
    expect(await vmd.state('debian')).toBe('stopped');
  },
  BOOT_MS_MAX,
);
