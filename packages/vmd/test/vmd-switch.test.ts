// Two of Debian's kernels under one vmd(8), by the configuration of the README: in one switch, and
// with gateways of their own to the host.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Guest, prepareGuest } from '../../../scripts/guest.ts';
import { BOOT_MS_MAX, GuestShell, hostAddress } from './guest-shell.ts';
import { eventually, lives, VmdProcess } from './vmd-process.ts';

const ONE = '100.64.1.3';
const TWO = '100.64.2.3';
const LOCKED_MAC = '02:00:00:00:00:07';

let guest: Guest;
let vmd: VmdProcess;

let one: GuestShell;
let two: GuestShell;

beforeAll(async () => {
  guest = prepareGuest();
  vmd = new VmdProcess();
  const vm = (name: string, ...lines: string[]): string =>
    vmd.configurationOf(name, guest, ['memory 128M', 'engine soft', ...lines]);
  writeFileSync(
    vmd.conf,
    `local inet6 prefix fd12:3456:789a:bcde::/64
switch "lan" { interface veb0
}
switch "dark" { interface veb1
down
}
${vm('one', 'local interface switch "lan"', 'interface switch "dark"')}
${vm('two', `local interface { switch "lan" locked lladdr ${LOCKED_MAC} }`)}
`,
  );
  await vmd.start();
  await vmd.logged(/\(one\) started/);
  await vmd.logged(/\(two\) started/);
  one = new GuestShell(vmd, 'one');
  two = new GuestShell(vmd, 'two');
  await Promise.all([one.ready(), two.ready()]);
}, BOOT_MS_MAX);
afterAll(() => vmd?.dispose());

test('each gets its address by DHCP, and they ping each other', async () => {
  expect(await one.run('ip addr show eth0')).toContain(`inet ${ONE}/10`);
  expect(await two.run('ip addr show eth0')).toContain(`inet ${TWO}/10`);
  expect(await one.run(`ping -c 3 ${TWO}`)).toContain('3 packets received');
  expect(await two.run(`ping -c 3 -s 1400 ${ONE}`)).toContain('3 packets received');
  // On the link, and not by way of a router.
  expect(await one.run('arp -n')).toContain(`(${TWO}) at ${LOCKED_MAC}`);
}, 120_000);

test('they are on one link of IPv6', async () => {
  const address =
    "ip -6 addr show dev eth0 scope global | sed -n 's/.*inet6 \\(fd12[^/]*\\).*/\\1/p'";
  await two.run(`until [ -n "$(${address})" ]; do :; done`);
  const said = await two.run(`echo address $(${address})`);
  const found = /^address (fd12:3456:789a:bcde:\S+)/m.exec(said)?.[1];
  expect(await one.run(`ping -6 -c 2 ${found}`)).toContain('2 packets received');
}, 120_000);

test('what one sends the other reaches it unharmed, and large', async () => {
  await two.run('nc -l -p 7000 </etc/selfcheck/file >/tmp/got &');
  await two.run("until netstat -ltn | grep -q ':7000 '; do :; done");
  const before = await one.run('cat /sys/class/net/eth0/statistics/tx_packets');
  const sent = await one.run(
    `nc ${TWO} 7000 </etc/selfcheck/file | md5sum; md5sum </etc/selfcheck/file`,
  );
  const [sum, expected] = said(sent, /^[0-9a-f]{32}/gm);
  expect(sum).toBe(expected);
  const after = await one.run('cat /sys/class/net/eth0/statistics/tx_packets');
  const packets = Number(said(after, /^\d+/gm)[0]) - Number(said(before, /^\d+/gm)[0]);
  // A megabyte is 700 frames of 1500 bytes, each way.
  expect(packets).toBeLessThan(700);
  expect(said(await two.run('md5sum </tmp/got'), /^[0-9a-f]{32}/gm)[0]).toBe(expected);
}, 120_000);

test('they reach the host’s network', async () => {
  const address = hostAddress();
  if (address === undefined) return;
  const content = randomBytes(1 << 20).toString('base64');
  const server = createServer((_, response) => response.end(content)).listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const digest = createHash('md5').update(content).digest('hex');
  for (const shell of [one, two]) {
    expect(await shell.run(`wget -q -O - http://${address}:${port}/ | md5sum`)).toContain(digest);
  }
  server.close();
}, 120_000);

test('a locked interface sends from its own address only', async () => {
  await two.run('ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:08');
  await two.run(`ip link set eth0 up; ip addr add ${TWO}/10 dev eth0`);
  expect(await two.run(`ping -c 1 -W 2 ${ONE}`)).toContain('0 packets received');
  await two.run(`ip link set eth0 down; ip link set eth0 address ${LOCKED_MAC}`);
  await two.run(`ip link set eth0 up; ip addr add ${TWO}/10 dev eth0`);
  expect(await two.run(`ping -c 2 ${ONE}`)).toMatch(/[12] packets received/);
}, 120_000);

test('a switch that is down is no cable', async () => {
  await one.run('ip link set eth1 up');
  expect(await one.run('cat /sys/class/net/eth1/carrier')).toMatch(/^0\r?$/m);
  expect(vmd.log).toContain('vm "one": switch "dark" is down.');
});

test(
  'one that is paused, or killed, takes nothing but itself out of the switch',
  async () => {
    expect((await vmd.ctl('pause', 'two')).status).toBe(0);
    // More than all buffers hold.
    const flood = `dd if=/dev/zero bs=60k count=500 2>/dev/null | nc -u -w 1 ${TWO} 9`;
    await one.run(`${flood}; echo flooded`);
    expect((await vmd.ctl('unpause', 'two')).status).toBe(0);
    await one.run(`ping -c 1 -W 2 ${TWO}`);
    expect(await one.run(`ping -c 2 -W 10 ${TWO}`)).toMatch(/[12] packets received/);

    const { pid } = (await vmd.status()).find(({ name }) => name === 'two')!;
    process.kill(pid, 'SIGKILL');
    await eventually('the end of two', () => !lives(pid));
    expect(await one.run('ping -c 2 100.64.1.2')).toContain('2 packets received');
    expect((await vmd.ctl('start', 'two')).status).toBe(0);
    two = new GuestShell(vmd, 'two');
    await two.ready();
    expect(await two.run(`ping -c 2 ${ONE}`)).toContain('2 packets received');
  },
  BOOT_MS_MAX,
);

function said(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([match]) => match);
}
