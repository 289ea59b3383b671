// `npm run bench:network [-- runs [seconds]]`: how fast the guest's iperf3 moves bytes to the host
// and back, through `vmctl run -L` and through QEMU's user network under TCG: same kernel,
// initramfs and memory, and a virtio card each. The two take turns, so that a change in the host's
// load meets both. A first pass in each direction does not count.

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
    startQemu(guest, commandLine, 'inherit', {
      more: ['-nic', 'user,model=virtio-net-pci'],
    }),
};

/** What is measured, as the guest calls it. */
const DIRECTIONS = ['to-host', 'to-host-4', 'to-guest', 'to-guest-4'] as const;

type Rates = Record<string, number>;

/** What was measured of one machine. */
interface Results {
  /** Megabytes a second. */
  readonly rates: Rates;
  /** Milliseconds of processor time for a megabyte, which others' load changes little. */
  readonly costs: Rates;
}

/** The guest, whose session is the measurement. */
function prepareNetworkGuest(say: (text: string) => void): Guest {
  const guest = prepareToolsGuest(say);
  const data = readFileSync(join(root(), 'scripts/guest/network-session.sh'));
  const session = cpioArchive([
    { kind: 'directory', path: 'etc', mode: 0o755 },
    { kind: 'file', path: 'etc/session', mode: 0o755, data },
  ]);
  const path = join(root(), '.cache', 'tools', 'network.cpio');
  const archives = [readFileSync(guest.initrd), session];
  return { ...guest, initrd: updateFile(path, Buffer.concat(archives)) };
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

/** Seconds of processor time that a process has used: proc(5), in ticks of a hundredth. */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Counts what a guest uses from one result to the next. */
class Watch {
  readonly used: Record<string, number> = {};
  private readonly pid: number;
  private seconds = 0;

  constructor(pid: number) {
    this.pid = pid;
  }

  /** `name` has just ended. */
  mark(name: string): void {
    const seconds = processorSeconds(this.pid);
    this.used[name] = seconds - this.seconds;
    this.seconds = seconds;
  }
}

/** Rejects when the guest does not come to an end. */
async function measure(start: Start, guest: Guest, seconds: number): Promise<Results> {
  const server = await startServer();
  const words = `${COMMAND_LINE} quiet panic=-1 port=${server.port} seconds=${seconds}`;
  const child = start(guest, words);
  const timeout = setTimeout(() => child.kill('SIGKILL'), SECONDS_MAX * 1000);
  const watch = new Watch(child.pid!);
  let said = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    said += chunk.toString('latin1');
    const [, last] = /network: (\S+)(?: [\d.]+)?\r\n$/.exec(said) ?? [];
    if (last !== undefined && watch.used[last] === undefined) watch.mark(last);
    // QEMU has no end of its own for a guest that halts without ACPI's help.
    if (said.includes(`network: ${DIRECTIONS.at(-1)} `)) setTimeout(() => child.kill(), 200);
  });
  await once(child, 'close');
  clearTimeout(timeout);
  server.child.kill();
  const rates: Rates = {};
  const costs: Rates = {};
  for (const [, name, rate] of said.matchAll(/network: (\S+) ([\d.]+)\r/g)) {
    rates[name!] = Number(rate) / 8000;
    // The first second is left out of the rate, and not of this.
    costs[name!] = ((watch.used[name!] ?? NaN) * 1000) / (rates[name!]! * (seconds + 1));
  }
  if (DIRECTIONS.some((name) => rates[name] === undefined)) {
    throw new VmmError('EIO', `the guest has not measured everything:\n${said.slice(-2000)}`);
  }
  return { rates, costs };
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
  const all: Record<string, Results[]> = { vmctl: [], qemu: [] };
  for (let run = 1; run <= runs; run++) {
    for (const [name, start] of Object.entries(CONTENDERS)) {
      const results = await measure(start, guest, seconds);
      all[name]!.push(results);
      const { rates, costs } = results;
      const text = DIRECTIONS.map(
        (it) => `${it} ${rates[it]!.toFixed(1)} (${costs[it]!.toFixed(1)})`,
      ).join('  ');
      process.stdout.write(`run ${run} of ${runs}: ${name.padEnd(5)}  ${text}  MB/s (ms/MB)\n`);
    }
  }
  for (const it of DIRECTIONS) {
    const of = (name: string, what: keyof Results): number =>
      median(all[name]!.map((results) => results[what][it]!));
    const [ours, theirs] = [of('vmctl', 'rates'), of('qemu', 'rates')];
    const [oursMs, theirsMs] = [of('vmctl', 'costs'), of('qemu', 'costs')];
    process.stdout.write(
      `${it.padEnd(10)} vmctl ${ours.toFixed(1)} MB/s, qemu ${theirs.toFixed(1)} MB/s, ` +
        `ratio ${(ours / theirs).toFixed(2)}; processor time for a MB ` +
        `${oursMs.toFixed(1)} and ${theirsMs.toFixed(1)} ms, ` +
        `ratio ${(oursMs / theirsMs).toFixed(2)}\n`,
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
