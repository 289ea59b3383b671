// The process of one virtual machine under vmd(8). It is told what to run, runs it as "vmctl run"
// would, and ends with it. When the channel to vmd closes, because vmd was killed, the machine ends
// too: nobody could stop it any more.

import { writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { VmmError } from 'vmm/errors';
import type { SwitchMember } from 'vmm-node';
import type { RunControl, RunOutcome } from 'vmm-node/options';
import { asSentence } from '../control/protocol.ts';
import { readImage, readModules } from '../read-images.ts';
import { ConsoleHub } from './console-hub.ts';
import type { VmPlan } from './run-plan.ts';
import type { FromVm, TapDescriptor, ToVm } from './vm-messages.ts';

/** A machine that is told to end does so in two seconds; its disks are then closed. */
const ORPHAN_MS_MAX = 5000;
const COMMAND_LINE_DEFAULT = 'console=ttyS0';
/** Of the kernel's choice when memory runs out: this process rather than vmd, or the user's. */
const OOM_SCORE = 500;

const consoleHub = new ConsoleHub();
const stop = new AbortController();
let control: RunControl | undefined;
/** The interfaces that are in a switch, by their index; links to others may come before. */
let foundMembers: (members: readonly (SwitchMember | undefined)[]) => void = () => {};
const members = new Promise<readonly (SwitchMember | undefined)[]>((resolve) => {
  foundMembers = resolve;
});
let dismissed: () => void = () => {};
const dismissal = new Promise<void>((resolve) => {
  dismissed = resolve;
});

function tell(message: FromVm): void {
  if (process.connected) process.send!(message);
}

async function run(plan: VmPlan, taps: readonly TapDescriptor[]): Promise<RunOutcome> {
  const kernel = readImage('kernel', plan.boot, plan.memoryBytes);
  const modules = readModules(plan.initrd ?? undefined, plan.memoryBytes);
  const [{ runVm, SwitchMember: Member }, { macOf, runInterfaces }] = await Promise.all([
    import('vmm-node'),
    import('./vm-interfaces.ts'),
  ]);
  const uplinks = plan.interfaces.map((it, index) => {
    const tap = taps.find((one) => one.index === index);
    if (it.switch === null && tap === undefined) return undefined;
    const member = new Member(it.isLocked ? macOf(it.lladdr) : undefined);
    if (tap !== undefined) member.addTap(tap.fd);
    return member;
  });
  foundMembers(uplinks);
  return runVm({
    name: plan.name,
    memoryBytes: plan.memoryBytes,
    kernel,
    kernelPath: plan.boot,
    modules,
    commandLine: plan.cmdline ?? COMMAND_LINE_DEFAULT,
    disks: plan.disks,
    interfaces: runInterfaces(plan, uplinks),
    engine: plan.engine,
    jit: plan.jit,
    exitPort: false,
    noReboot: plan.noReboot,
    verbose: false,
    console: consoleHub,
    stop: stop.signal,
    onRunning: (it) => {
      control = it;
      tell({ kind: 'running' });
    },
    onRestart: () => tell({ kind: 'restarted' }),
  });
}

async function start(plan: VmPlan, taps: readonly TapDescriptor[]): Promise<void> {
  process.title = `vmd: vm/${plan.name}`;
  try {
    const { kind, message } = await run(plan, taps);
    tell({ kind: 'ended', end: kind, message: message === undefined ? null : asSentence(message) });
  } catch (error) {
    // A defect ends the process, which vmd reports.
    if (!(error instanceof VmmError)) throw error;
    tell({ kind: 'refused', code: error.code, message: asSentence(error.message) });
  }
  await dismissal;
  await consoleHub.finish();
  process.exit(0);
}

async function pause(): Promise<void> {
  await control?.pause();
  tell({ kind: 'paused' });
}

async function link(socket: Socket, index: number, lockedMac: string | null): Promise<void> {
  const member = (await members)[index];
  const { macOf } = await import('./vm-interfaces.ts');
  if (member === undefined) socket.destroy();
  else member.add(socket, lockedMac === null ? undefined : macOf(lockedMac));
}

function receive(message: ToVm, handle: unknown): void {
  switch (message.kind) {
    case 'start':
      void start(message.plan, message.taps);
      return;
    case 'pause':
      void pause();
      return;
    case 'unpause':
      control?.unpause();
      return;
    case 'shutdown':
      tell({ kind: 'shutdown', asked: control?.requestShutdown?.() ?? false });
      return;
    case 'end':
      stop.abort();
      return;
    case 'attach':
      // The connection may have closed on its way.
      if (handle instanceof Socket) consoleHub.attach(handle, message.id, message.replies);
      return;
    case 'link':
      if (handle instanceof Socket) void link(handle, message.index, message.lockedMac);
      return;
    case 'bye':
      dismissed();
  }
}

function preferForOom(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', String(OOM_SCORE));
  } catch {
    // Not Linux, or not allowed: the kernel's own choice does.
  }
}

preferForOom();
process.on('message', receive);
process.on('disconnect', () => {
  dismissed();
  stop.abort();
  setTimeout(() => process.exit(1), ORPHAN_MS_MAX).unref();
});
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => stop.abort());
}
tell({ kind: 'ready' });
