// What vmd(8) does for each request of vmctl(8), and for whom.

import type { Socket } from 'node:net';
import { VmmError } from 'vmm/errors';
import type { Accounts } from '../conf/accounts.ts';
import type { VmConfig } from '../conf/configuration.ts';
import { hasRights, makeInstance } from '../conf/instances.ts';
import { INTERFACE_DEFAULT } from '../conf/parse-interface.ts';
import { completeVm, emptyDraft, type VmDraft } from '../conf/vm-draft.ts';
import type { Reply, Request, StartOptions, Target, VmEvent } from '../control/protocol.ts';
import type { Connection, Peer } from './control-server.ts';
import type { BootOverride } from './run-plan.ts';
import type { VirtualMachine } from './virtual-machine.ts';

/** What requests act on. */
export interface Registry {
  readonly accounts: Accounts;
  readonly vms: readonly VirtualMachine[];
  find(target: Target): VirtualMachine | undefined;
  /** The machine that is meant; ENOENT when there is none. */
  get(target: Target): VirtualMachine;
  /** Makes a machine that lives until it stops. */
  define(config: VmConfig, draft: VmDraft): VirtualMachine;
  /** The configuration of a machine, to make instances of. */
  template(name: string): VmConfig | undefined;
  /**
   * Starts a machine for `peer`; resolves with warnings when its guest runs. With `incoming`, the
   * machine comes in by that connection.
   */
  start(
    vm: VirtualMachine,
    override: BootOverride,
    peer: Peer,
    incoming?: () => Socket,
  ): Promise<readonly string[]>;
  reload(): void;
  load(path: string): void;
  reset(what: 'all' | 'switches' | 'vms'): Promise<void>;
  setVerbose(verbose: boolean): void;
}

/** Answers `request`; VmmError for what cannot be, or may not. */
export async function answer(
  registry: Registry,
  request: Request,
  connection: Connection,
): Promise<void> {
  const { peer } = connection;
  switch (request.command) {
    case 'status':
      finish(connection, { type: 'status', vms: registry.vms.map((vm) => vm.status) });
      return;
    case 'reload':
    case 'load':
    case 'reset':
    case 'log':
      await administrate(registry, request, peer);
      finish(connection, { type: 'ok' });
      return;
    case 'start':
      await start(registry, request, connection);
      return;
    case 'console': {
      const vm = controlled(registry, request.target, peer);
      if (!vm.isRunning) throw new VmmError('ENOENT', 'console not found');
      vm.attach(connection.release(), []);
      return;
    }
    case 'wait': {
      const vm = controlled(registry, request.target, peer);
      await vm.whenStopped();
      finish(connection, eventReply(vm, 'terminated'));
      return;
    }
    case 'send':
      controlled(registry, request.target, peer).send(() => connection.release());
      return;
    case 'receive':
      await receive(registry, request, connection);
      return;
    case 'stop':
      await stop(registry, request, connection);
      return;
    case 'pause': {
      const vm = controlled(registry, request.target, peer);
      await vm.pause();
      finish(connection, eventReply(vm, 'paused'));
      return;
    }
    case 'unpause': {
      const vm = controlled(registry, request.target, peer);
      vm.unpause();
      finish(connection, eventReply(vm, 'unpaused'));
    }
  }
}

function finish(connection: Connection, reply: Reply): void {
  connection.reply(reply);
  connection.close();
}

function eventReply(vm: VirtualMachine, event: VmEvent, warnings: readonly string[] = []): Reply {
  return { type: 'vm', event, id: vm.id, name: vm.name, warnings };
}

/** The machine that is meant, if `peer` may control it; EPERM otherwise. */
function controlled(registry: Registry, target: Target, peer: Peer): VirtualMachine {
  const vm = registry.get(target);
  checkRights(registry, vm, peer);
  return vm;
}

function checkRights(registry: Registry, vm: VirtualMachine, peer: Peer): void {
  if (peer.isAdmin || vm.startedBy === peer.uid) return;
  if (hasRights(registry.accounts, vm.config.owner, peer.uid)) return;
  throw new VmmError('EPERM', `vm "${vm.name}" is not yours: permission denied.`);
}

type Administration = Extract<Request, { command: 'reload' | 'load' | 'reset' | 'log' }>;

async function administrate(
  registry: Registry,
  request: Administration,
  peer: Peer,
): Promise<void> {
  if (!peer.isAdmin) {
    throw new VmmError('EPERM', `Only root may ${request.command}: permission denied.`);
  }
  switch (request.command) {
    case 'reload':
      registry.reload();
      return;
    case 'load':
      registry.load(request.path);
      return;
    case 'reset':
      await registry.reset(request.what);
      return;
    case 'log':
      registry.setVerbose(request.how === 'verbose');
  }
}

async function stop(
  registry: Registry,
  { target, force, wait }: Request & { command: 'stop' },
  connection: Connection,
): Promise<void> {
  const vm = controlled(registry, target, connection.peer);
  const event = await vm.stop(force);
  connection.reply(eventReply(vm, event));
  if (wait) {
    await vm.whenStopped();
    connection.reply(eventReply(vm, 'terminated'));
  }
  connection.close();
}

async function start(
  registry: Registry,
  { target, options, console }: Request & { command: 'start' },
  connection: Connection,
): Promise<void> {
  const { peer } = connection;
  const known = registry.find(target);
  const vm = known ?? define(registry, target, options, peer);
  const override = known === undefined ? {} : overrideOf(options, known);
  // Who makes an instance has no rights to it before it runs, if its owner is the parent's.
  if (known !== undefined) checkRights(registry, vm, peer);
  const overrides = Object.values(override).some((value) => value !== undefined);
  if (overrides && !peer.isAdmin && vm.config.owner.uid !== peer.uid) {
    // Its process would read the file, as the machine's owner and not as who names it.
    throw new VmmError('EPERM', `Only its user may boot vm "${vm.name}" otherwise.`);
  }
  const bootDevice = known === undefined ? options.bootDevice : override.bootDevice;
  const warnings = await registry.start(vm, { ...override, bootDevice }, peer);
  const reply = eventReply(vm, 'started', warnings);
  if (console && vm.isRunning) vm.attach(connection.release(), [reply]);
  else finish(connection, reply);
}

/** Into a machine that there is, as it is configured; else into a new one, as the file says. */
async function receive(
  registry: Registry,
  { name, options }: Request & { command: 'receive' },
  connection: Connection,
): Promise<void> {
  const { peer } = connection;
  const known = registry.find(name);
  if (known !== undefined) checkRights(registry, known, peer);
  const vm = known ?? define(registry, name, options, peer);
  await registry.start(vm, {}, peer, () => connection.release());
}

/** A machine that is there already can only be booted otherwise for once. */
function overrideOf(options: StartOptions, vm: VirtualMachine): BootOverride {
  const { boot, bootDevice, initrd, cmdline, ...others } = options;
  for (const value of Object.values(others)) {
    if (value === undefined) continue;
    const text = `vm "${vm.name}" exists: only what it boots can be chosen for a start.`;
    throw new VmmError('EINVAL', text);
  }
  return { boot, bootDevice, initrd, cmdline };
}

function define(
  registry: Registry,
  target: Target,
  options: StartOptions,
  peer: Peer,
): VirtualMachine {
  if (typeof target === 'number') throw new VmmError('ENOENT', 'vm not found');
  const { template } = options;
  const draft = draftOf(target, options, peer);
  if (template === undefined) {
    if (!peer.isAdmin) throw new VmmError('ENOENT', 'vm not found');
    return registry.define(completeVm(draft), draft);
  }
  const parent = registry.template(template);
  if (parent === undefined) throw new VmmError('EINVAL', 'invalid template');
  const uid = peer.isAdmin ? 0 : peer.uid;
  return registry.define(makeInstance(parent, draft, uid, registry.accounts), draft);
}

function draftOf(name: string, options: StartOptions, peer: Peer): VmDraft {
  const draft = emptyDraft(name, options.template ?? null);
  const { memoryBytes, boot, bootDevice, cdrom, initrd, cmdline, engine, jit, cpu } = options;
  // By name: what is not said must stay undefined, for an instance takes it from its parent.
  if (memoryBytes !== undefined) draft.memoryBytes = memoryBytes;
  if (boot !== undefined) draft.boot = boot;
  if (bootDevice !== undefined) draft.bootDevice = bootDevice;
  if (cdrom !== undefined) draft.cdrom = cdrom;
  if (initrd !== undefined) draft.initrd = initrd;
  if (cmdline !== undefined) draft.cmdline = cmdline;
  if (engine !== undefined) draft.engine = engine;
  if (jit !== undefined) draft.jit = jit;
  if (cpu !== undefined) draft.cpu = cpu;
  draft.disks.push(...(options.disks ?? []));
  for (const name of options.switches ?? []) {
    draft.interfaces.push({ ...INTERFACE_DEFAULT, switch: name });
  }
  if (options.local === true) draft.interfaces.push({ ...INTERFACE_DEFAULT, local: true });
  if (options.interfaceCount !== undefined) draft.interfaceCount = options.interfaceCount;
  if (options.template === undefined) draft.owner = { uid: peer.uid, gid: null };
  return draft;
}
