// What people do with the network of a guest, by their own programs in it: iperf3 between two
// guests in a switch, curl from a server of the host's, DNS, and ssh by a forwarded port.
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Guest } from '../../../scripts/guest.ts';
import { prepareToolsGuest } from '../../../scripts/guest-tools.ts';
import { BOOT_MS_MAX, GuestShell, hostAddress } from './guest-shell.ts';
import { freePort, VmdProcess } from './vmd-process.ts';

const TWO = '100.64.2.3';
const MB = 1 << 20;

let guest: Guest;
let vmd: VmdProcess;
let one: GuestShell;
let two: GuestShell;
let port: number;

beforeAll(async () => {
  guest = prepareToolsGuest();
  vmd = new VmdProcess();
  port = await freePort();
  const vm = (name: string, ...lines: string[]): string =>
    vmd.configurationOf(name, guest, ['memory 192M', 'engine soft', ...lines]);
  writeFileSync(
    vmd.conf,
    `switch "lan" { interface veb0
}
${vm('one', 'local interface switch "lan"', `forward ${port}:22`)}
${vm('two', 'local interface switch "lan"')}
`,
  );
  await vmd.start();
  await vmd.logged(/\(one\) started/);
  await vmd.logged(/\(two\) started/);
  one = new GuestShell(vmd, 'one');
  two = new GuestShell(vmd, 'two');
  await Promise.all([one.ready(), two.ready()]);
}, 2 * BOOT_MS_MAX);
afterAll(() => vmd?.dispose());

test('iperf3 between two guests, either way', async () => {
  await two.run('iperf3 -s -D');
  for (const words of ['', '-R', '-u -b 20M']) {
    const said = await one.run(`iperf3 -c ${TWO} -t 2 -f k ${words}`);
    const rate = Number(/ ([\d.]+) Kbits\/sec.*receiver/.exec(said)?.[1]) / 8000;
    process.stdout.write(`iperf3 ${words}: ${rate.toFixed(1)} MB/s\n`);
    expect(rate, said).toBeGreaterThan(0);
  }
}, 240_000);

test('curl gets from a server of the host, and puts to it', async () => {
  const address = hostAddress();
  if (address === undefined) return;
  const content = randomBytes(8 * MB);
  const digest = createHash('sha256').update(content).digest('hex');
  const server = createServer((request, response) => {
    const hash = createHash('sha256');
    request.on('data', (bytes: Buffer) => hash.update(bytes));
    request.on('end', () => response.end(request.method === 'PUT' ? hash.digest('hex') : content));
  }).listen(0, address);
  await once(server, 'listening');
  const url = `http://${address}:${(server.address() as AddressInfo).port}/`;
  expect(await one.run(`curl -sS -o /tmp/got ${url}; sha256sum /tmp/got`)).toContain(digest);
  expect(await one.run(`curl -sS -T /tmp/got ${url}`)).toContain(digest);
  server.close();
}, 240_000);

test('DNS is answered, if only that there is no such name', async () => {
  // RFC 6761: it does not exist.
  const said = await one.run('nslookup name.invalid');
  expect(said).toMatch(/NXDOMAIN|SERVFAIL|REFUSED|can't find/);
}, 120_000);

test('ssh enters by a forwarded port', async () => {
  await one.run('dropbear -R -B -p 22');
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
  const words = options.flatMap((option) => ['-o', option]);
  const { stdout } = await promisify(execFile)('ssh', [
    ...words,
    ...['-o', 'PreferredAuthentications=none', '-p', `${port}`],
    ...['root@127.0.0.1', 'hostname; cat /proc/cmdline'],
  ]);
  expect(stdout).toContain('console=ttyS0');
}, 240_000);
