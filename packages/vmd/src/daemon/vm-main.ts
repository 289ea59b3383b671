// The process of one virtual machine under vmd(8). It is told what to run, runs it as "vmctl run"
// would, and ends with it. When the channel to vmd closes, because vmd was killed, the machine ends
// too: nobody could stop it any more.

import { writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { VmmError } from 'vmm/errors';
import type { SwitchMember } from 'vmm-node';
import type { RunControl, RunOptions, RunOutcome } from 'vmm-node/options';
import { OrderlyStop } from 'vmm-node/orderly-stop';
import { asSentence } from '../control/protocol.ts';
import { firmwarePath } from '../firmware-file.ts';
import { readKernel, readModules } from '../read-images.ts';
import { ConsoleHub } from './console-hub.ts';
import type { VmPlan } from './run-plan.ts';
import type { FromVm, TapDescriptor, ToVm } from './vm-messages.ts';
import { VmTransfer } from './vm-transfer.ts';

/** A machine that is told to end does so in two seconds; its disks are then closed. */
const ORPHAN_MS_MAX = 5000;
const COMMAND_LINE_DEFAULT = 'console=ttyS0';
/** Of the kernel's choice when memory runs out: this process rather than vmd, or the user's. */
const OOM_SCORE = 500;

const consoleHub = new ConsoleHub();
const stop = new OrderlyStop();
let control: RunControl | undefined;
let outgoing: VmTransfer | undefined;
let name = '';
let memoryBytes = 0;
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

async function run(
  plan: VmPlan,
  taps: readonly TapDescriptor[],
  incoming: VmTransfer | undefined,
): Promise<RunOutcome> {
  const kernelPath = plan.boot ?? firmwarePath();
  const { kernel, modules, noReboot } = images(plan, kernelPath, incoming !== undefined);
  const adapters = await Promise.all([
    import('vmm-node'),
    import('./vm-interfaces.ts'),
    import('./receive-machine.ts'),
  ]);
  const [{ runVm, SwitchMember: Member }, { macOf, runInterfaces }, { receiveMachine }] = adapters;
  const uplinks = plan.interfaces.map((it, index) => {
    const tap = taps.find((one) => one.index === index);
    if (it.switch === null && tap === undefined) return undefined;
    const member = new Member(it.isLocked ? macOf(it.lladdr) : undefined);
    if (tap !== undefined) member.addTap(tap.fd);
    return member;
  });
  foundMembers(uplinks);
  const restored = incoming && (await receiveMachine(plan, uplinks, incoming));
  return runVm({
    name: plan.name,
    memoryBytes: plan.memoryBytes,
    kernel,
    kernelPath,
    modules,
    commandLine: plan.cmdline ?? COMMAND_LINE_DEFAULT,
    disks: plan.disks,
    ...(plan.cdrom !== null && { cdrom: plan.cdrom }),
    bootDevice: plan.bootDevice,
    interfaces: restored?.interfaces ?? runInterfaces(plan, uplinks),
    ...(restored && { restore: restored.reader }),
    engine: plan.engine,
    jit: plan.jit,
    cpu: restored?.model ?? plan.cpu,
    exitPort: false,
    noReboot,
    verbose: false,
    console: consoleHub,
    stop: stop.signal,
    onRunning: (it) => {
      control = it;
      stop.started(it);
      tell({ kind: 'running' });
      incoming?.finish('received');
    },
    onRestart: () => tell({ kind: 'restarted' }),
  });
}

/** What a reset boots: a machine that comes in can do without, and then ends when it is reset. */
function images(
  { initrd, memoryBytes, noReboot }: VmPlan,
  kernelPath: string,
  isIncoming: boolean,
): Pick<RunOptions, 'kernel' | 'modules' | 'noReboot'> {
  try {
    const kernel = readKernel(kernelPath, memoryBytes);
    return { kernel, modules: readModules(initrd ?? undefined, memoryBytes), noReboot };
  } catch (error) {
    if (!isIncoming || !(error instanceof VmmError)) throw error;
    return { kernel: new Uint8Array(0), modules: [], noReboot: true };
  }
}

async function start(
  plan: VmPlan,
  taps: readonly TapDescriptor[],
  incoming?: VmTransfer,
): Promise<void> {
  process.title = `vmd: vm/${plan.name}`;
  ({ name, memoryBytes } = plan);
  try {
    const { kind, message } = await run(plan, taps, incoming);
    if (kind === 'suspended') outgoing?.finish('sent');
    else outgoing?.fail(new VmmError('EIO', 'The machine has ended while it was sent.'));
    tell({ kind: 'ended', end: kind, message: message === undefined ? null : asSentence(message) });
  } catch (error) {
    // A defect ends the process, which vmd reports.
    if (!(error instanceof VmmError)) throw error;
    incoming?.fail(error);
    tell({ kind: 'refused', code: error.code, message: asSentence(error.message) });
  }
  await dismissal;
  await consoleHub.finish();
  process.exit(0);
}

/** Has the machine go out; it ends when it is all there. */
async function send(transfer: VmTransfer): Promise<void> {
  try {
    if (control === undefined) throw new VmmError('EINVAL', 'The machine does not run.');
    outgoing = transfer;
    await control.suspend((pieces) => {
      transfer.begin(memoryBytes);
      return transfer.send(pieces);
    });
  } catch (error) {
    outgoing = undefined;
    if (!(error instanceof VmmError)) throw error;
    transfer.fail(error);
    tell({ kind: 'not-sent' });
  }
}

async function shutDown(): Promise<void> {
  tell({ kind: 'shutdown', asked: (await control?.requestShutdown()) ?? false });
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
      void shutDown();
      return;
    case 'end':
      stop.now();
      return;
    case 'attach':
      // The connection may have closed on its way.
      if (handle instanceof Socket) consoleHub.attach(handle, message.id, message.replies);
      return;
    case 'send':
      if (handle instanceof Socket) void send(new VmTransfer(handle, message.id, name));
      else tell({ kind: 'not-sent' });
      return;
    case 'receive': {
      const { plan, taps } = message;
      if (!(handle instanceof Socket)) process.exit(1);
      void start(plan, taps, new VmTransfer(handle, plan.id, plan.name));
      return;
    }
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
  stop.now();
  setTimeout(() => process.exit(1), ORPHAN_MS_MAX).unref();
});
// Whoever ends all processes, as a system that goes down, leaves them time.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => void stop.request());
}
tell({ kind: 'ready' });
