// `npm run bench:network [-- runs [seconds]]`: how fast the guest's iperf3 moves bytes to the host
// and back, through `vmctl run -L` and through QEMU's user network under TCG: same kernel,
// initramfs and memory, and a virtio card each. The two take turns, so that a change in the host's
// load meets both.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { VmmError } from '../packages/vmm/src/base/errors.ts';
import { cpioArchive } from '../packages/vmm/src/machine/boot/cpio.ts';
import { prepareContender, startQemu } from './bench/contenders.ts';
import { median } from './bench/table.ts';
import { installPackage, updateFile } from './debian.ts';
import { COMMAND_LINE, type Guest } from './guest.ts';
import { prepareToolsGuest } from './guest-tools.ts';
import { root } from './root.ts';
import { startVmctl } from './vmctl-process.ts';

const RUNS_DEFAULT = 3;
const SECONDS_DEFAULT = 5;
/** A guest that has not come to its end by then is not going to. */
const SECONDS_MAX = 600;

type Start = (guest: Guest, commandLine: string) => ChildProcess;

const CONTENDERS: Record<string, Start> = {
  vmctl: (guest, commandLine) => {
    const options = ['-L', '--host-loopback', '--no-reboot'];
    return startVmctl(guest, guest.disk, commandLine, options, ['ignore', 'pipe', 'inherit']);
  },
  qemu: (guest, commandLine) =>
    startQemu(guest, commandLine, 'inherit', ['-nic', 'user,model=virtio-net-pci']),
};

/** What is measured, as the guest calls it. */
const DIRECTIONS = ['to-host', 'to-host-4', 'to-guest', 'to-guest-4'] as const;

type Rates = Record<string, number>;

/** The guest, whose session is the measurement. */
function prepareNetworkGuest(say: (text: string) => void): Guest {
  const guest = prepareToolsGuest(say);
  const data = readFileSync(join(root(), 'scripts/guest/network-session.sh'));
  const session = cpioArchive([
    { kind: 'directory', path: 'etc', mode: 0o755 },
    { kind: 'file', path: 'etc/session', mode: 0o755, data },
  ]);
  // One file, which QEMU takes as well.
  const parts = guest.initrd.split(',').map((path) => readFileSync(path));
  const path = join(root(), '.cache', 'tools', 'network.cpio');
  return { ...guest, initrd: updateFile(path, Buffer.concat([...parts, session])) };
}

async function startServer(): Promise<{ child: ChildProcess; port: number }> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  const words = ['-s', '-B', '127.0.0.1', '-p', `${port}`, '--forceflush'];
  const child = spawn('iperf3', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.stdout.resume();
  return { child, port };
}

/** Megabytes a second in each direction; rejects when the guest does not come to an end. */
async function measure(start: Start, guest: Guest, seconds: number): Promise<Rates> {
  const server = await startServer();
  const words = `${COMMAND_LINE} quiet panic=-1 port=${server.port} seconds=${seconds}`;
  const child = start(guest, words);
  const timeout = setTimeout(() => child.kill('SIGKILL'), SECONDS_MAX * 1000);
  let said = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    said += chunk.toString('latin1');
    // QEMU has no end of its own for a guest that halts without ACPI's help.
    if (said.includes(`network: ${DIRECTIONS.at(-1)} `)) setTimeout(() => child.kill(), 200);
  });
  await once(child, 'close');
  clearTimeout(timeout);
  server.child.kill();
  const rates: Rates = {};
  for (const [, name, rate] of said.matchAll(/network: (\S+) ([\d.]+)\r/g)) {
    rates[name!] = Number(rate) / 8000;
  }
  if (DIRECTIONS.some((name) => rates[name] === undefined)) {
    throw new VmmError('EIO', `the guest has not measured everything:\n${said.slice(-2000)}`);
  }
  return rates;
}

async function main(runs: number, seconds: number): Promise<number> {
  if (![runs, seconds].every((it) => Number.isInteger(it) && it >= 1)) {
    process.stderr.write('usage: npm run bench:network [-- runs [seconds]]\n');
    return 1;
  }
  const say = (text: string): void => void process.stderr.write(`${text} ...\n`);
  prepareContender('qemu', say);
  if (spawnSync('iperf3', ['--version']).status !== 0) installPackage('iperf3', say);
  const guest = prepareNetworkGuest(say);
  const all: Record<string, Rates[]> = { vmctl: [], qemu: [] };
  for (let run = 1; run <= runs; run++) {
    for (const [name, start] of Object.entries(CONTENDERS)) {
      const rates = await measure(start, guest, seconds);
      all[name]!.push(rates);
      const text = DIRECTIONS.map((it) => `${it} ${rates[it]!.toFixed(1)}`).join('  ');
      process.stdout.write(`run ${run} of ${runs}: ${name.padEnd(5)}  ${text}  MB/s\n`);
    }
  }
  for (const it of DIRECTIONS) {
    const [ours, theirs] = ['vmctl', 'qemu'].map((name) =>
      median(all[name]!.map((rates) => rates[it]!)),
    );
    process.stdout.write(
      `${it.padEnd(10)} vmctl ${ours!.toFixed(1)} MB/s, qemu ${theirs!.toFixed(1)} MB/s, ` +
        `ratio ${(ours! / theirs!).toFixed(2)}\n`,
    );
  }
  return 0;
}

try {
  process.exitCode = await main(
    Number(process.argv[2] ?? RUNS_DEFAULT),
    Number(process.argv[3] ?? SECONDS_DEFAULT),
  );
} catch (error) {
  process.stderr.write(`Cannot measure: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
