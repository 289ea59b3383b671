// vmd(8): the virtual machines of a configuration and those that are started besides, each in a
// process of its own, and the sockets by which vmctl(8) asks for things.
//
// Left out of what OpenBSD's does: it needs no privileges, so nothing is separated from them; it
// has no SNMP.

import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { VmmError } from 'vmm/errors';
import { openLocked } from 'vmm-node/file-lock';
import { isHostBridge } from 'vmm-node/tap';
import type { Accounts } from '../conf/accounts.ts';
import { hostFiles } from '../conf/conf-files.ts';
import type {
  Configuration,
  GlobalConfig,
  Prefix,
  SwitchConfig,
  VmConfig,
} from '../conf/configuration.ts';
import { diagnosticText } from '../conf/diagnostics.ts';
import { hostAccounts } from '../conf/host-accounts.ts';
import { parseConfiguration } from '../conf/parse-configuration.ts';
import { GLOBAL_DEFAULT } from '../conf/parse-global.ts';
import { checkVm, type VmDraft } from '../conf/vm-draft.ts';
import type { ResetKind, Target } from '../control/protocol.ts';
import { prepareFolder } from '../control/socket-place.ts';
import { ControlServer, type Peer } from './control-server.ts';
import type { Log } from './log.ts';
import { answer, type Registry } from './requests.ts';
import type { BootOverride, LocalPrefixes, Surroundings } from './run-plan.ts';
import { type Stagger, StartQueue } from './start-queue.ts';
import { Switchboard } from './switchboard.ts';
import { openTaps } from './taps.ts';
import { UserSockets } from './user-sockets.ts';
import type { VirtualMachine, VmContext } from './virtual-machine.ts';
import { type Credentials, VmChild } from './vm-child.ts';
import { VmTable } from './vm-table.ts';

/** vm.conf(5), "staggered start": the delay unless it is given. */
const STAGGER_SECONDS = 30;
/** A vmd that vmctl(8) has started goes when it has had nothing to run for this long. */
const IDLE_MS_MAX = 60_000;
const MAC_PREFIX = [0xfe, 0xe1, 0xbb];
/** The first interface's fourth octet. */
const MAC_INTERFACE = 0xd1;
/** The group of processes of users who are in no file, "nobody"'s. */
const GID_UNKNOWN = 65534;

/** How a daemon is started. */
export interface DaemonOptions {
  readonly configurationPath: string;
  /** That there is no such file is no mistake. */
  readonly isOptional: boolean;
  readonly macros: ReadonlyMap<string, string>;
  readonly socketPath: string;
  readonly log: Log;
  /** Who it runs as. */
  readonly uid: number;
  /** It goes by itself when there is nothing for it to run. */
  readonly onDemand: boolean;
}

/** A configuration is no good. All that is wrong with it has been logged; this names the first. */
export class ConfigurationError extends VmmError {
  constructor(message: string) {
    super('EINVAL', message);
  }
}

/** The daemon of one process. */
export class Daemon implements Registry {
  private readonly options: DaemonOptions;
  private readonly table = new VmTable();
  private readonly queue: StartQueue;
  private readonly server: ControlServer;
  private readonly userSockets: UserSockets;
  private readonly context: VmContext;
  private readonly randomPrefix6 = uniqueLocalPrefix();
  private global: GlobalConfig = GLOBAL_DEFAULT;
  private readonly switches = new Map<string, SwitchConfig>();
  private idleTimer: NodeJS.Timeout | undefined;
  private lock: Awaited<ReturnType<typeof openLocked>> | undefined;
  private finished: () => void = () => {};
  private isStopping = false;
  /** Resolves when the daemon has stopped. */
  readonly done: Promise<void>;

  constructor(options: DaemonOptions) {
    const { log, uid } = options;
    this.options = options;
    this.done = new Promise((resolve) => {
      this.finished = resolve;
    });
    this.queue = new StartQueue((vm) => void this.startConfigured(vm));
    this.server = new ControlServer(
      (request, connection) => answer(this, request, connection),
      (error) => log.info(`A defect: ${error instanceof Error ? error.stack : String(error)}`),
    );
    this.userSockets = new UserSockets(this.server, options.socketPath, log);
    this.context = {
      log,
      surroundings: () => this.surroundings(),
      switchboard: new Switchboard(log),
      spawn: (plan, taps, credentials, events, incoming) =>
        new VmChild(plan, taps, credentials, events, incoming),
      openTaps,
      nowMs: () => performance.now(),
      stopped: (vm) => this.vmStopped(vm),
    };
    if (uid !== 0) log.debug(`every vm belongs to user ${uid}, whatever its owner in the file`);
  }

  // What requests act on.

  get accounts(): Accounts {
    return hostAccounts();
  }

  get vms(): readonly VirtualMachine[] {
    return this.table.list;
  }

  find(target: Target): VirtualMachine | undefined {
    return this.table.find(target);
  }

  get(target: Target): VirtualMachine {
    return this.table.get(target);
  }

  template(name: string): VmConfig | undefined {
    return this.table.find(name)?.config;
  }

  define(config: VmConfig, draft: VmDraft): VirtualMachine {
    checkVm(config, draft);
    return this.table.add(this.owned(config), true, this.context);
  }

  async start(
    vm: VirtualMachine,
    override: BootOverride,
    peer: Peer,
    incoming?: () => Socket,
  ): Promise<readonly string[]> {
    try {
      if (this.isStopping) throw new VmmError('EAGAIN', 'vmd is being stopped.');
      const credentials = this.credentials(vm, peer);
      return await vm.start({
        override,
        uid: peer.uid,
        credentials,
        ...(incoming && { incoming }),
      });
    } catch (error) {
      if (!vm.isRunning) this.vmStopped(vm);
      throw error;
    }
  }

  /** Starts to run: takes the socket, reads the configuration. VmmError when it cannot. */
  async run(): Promise<void> {
    const { socketPath, uid } = this.options;
    const configuration = this.read(this.options.configurationPath, this.options.isOptional);
    prepareFolder(socketPath, uid);
    await this.takeLock();
    await this.server.listen(socketPath, { uid, isAdmin: true }, undefined);
    if (uid === 0) this.userSockets.clear();
    this.adopt(configuration);
    this.watchIdleness();
  }

  /** Reads the configuration anew: what runs is left alone, all else is as the file says. */
  reload(): void {
    const { configurationPath, isOptional, log } = this.options;
    const configuration = this.read(configurationPath, isOptional);
    this.queue.clear();
    for (const vm of this.vms) if (!vm.isRunning) this.table.remove(vm);
    this.switches.clear();
    this.adopt(configuration);
    log.info('the configuration was read anew');
  }

  /** Adds what a file says to what there is. */
  load(path: string): void {
    this.adopt(this.read(path, false));
  }

  async reset(what: ResetKind): Promise<void> {
    this.options.log.info(`reset ${what}`);
    // As in vmd(8), machines that run stay in the switches that they are in.
    if (what !== 'vms') this.switches.clear();
    if (what === 'switches') return;
    this.queue.clear();
    await Promise.all(this.vms.map((vm) => (vm.isRunning ? vm.stop(true) : undefined)));
    for (const vm of this.vms) this.table.remove(vm);
  }

  setVerbose(verbose: boolean): void {
    this.options.log.verbose = verbose;
  }

  /** Stops everything in order: guests that can be asked to shut down are. */
  async stop(): Promise<void> {
    if (this.isStopping) return;
    this.isStopping = true;
    this.options.log.info('terminating');
    clearTimeout(this.idleTimer);
    this.queue.clear();
    await Promise.all(
      this.vms.map(async (vm) => {
        if (!vm.isRunning) return;
        // It may have stopped by itself just now.
        await vm.stop(false).catch((error: Error) => this.options.log.debug(error.message));
        await vm.whenStopped();
      }),
    );
    this.server.closeAll();
    if (this.options.uid === 0) this.userSockets.clear();
    await this.lock?.close();
    this.finished();
  }

  private read(path: string, isOptional: boolean): Configuration {
    const { log, macros } = this.options;
    const source = { path, isOptional, macros, files: hostFiles, accounts: this.accounts };
    const { configuration, diagnostics } = parseConfiguration(source);
    for (const diagnostic of diagnostics) {
      if (diagnostic.severity === 'note') log.debug(diagnosticText(diagnostic));
      else log.info(diagnosticText(diagnostic));
    }
    if (configuration !== null) return configuration;
    const errors = diagnostics.filter(({ severity }) => severity === 'error');
    const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
    throw new ConfigurationError(`${diagnosticText(errors[0]!)}${more}`);
  }

  private adopt({ global, switches, vms }: Configuration): void {
    this.global = global;
    for (const one of switches) {
      // As with machines: the first of a name is the one.
      if (!this.switches.has(one.name)) this.switches.set(one.name, one);
    }
    const added: VirtualMachine[] = [];
    for (const config of vms) {
      // As in vmd(8): the first machine of a name is the one.
      if (this.table.find(config.name) !== undefined) {
        this.options.log.debug(`vm "${config.name}" skipped (already exists)`);
        continue;
      }
      added.push(this.table.add(this.owned(config), false, this.context));
    }
    if (this.options.uid === 0) {
      this.userSockets.open(this.accounts, global, this.vms);
    }
    this.queue.add(
      added.filter((vm) => vm.config.enabled),
      this.stagger(),
    );
  }

  /** Who is not root can own and run things only as themself. */
  private owned(config: VmConfig): VmConfig {
    const { uid } = this.options;
    return uid === 0 ? config : { ...config, owner: { uid, gid: null } };
  }

  private surroundings(): Surroundings {
    return { local: this.localPrefixes(), switches: this.switches, isHostBridge, makeLladdr };
  }

  private localPrefixes(): LocalPrefixes {
    const { localPrefix: prefix, localInet6 } = this.global;
    return { prefix, prefix6: localInet6 && (localInet6.prefix ?? this.randomPrefix6) };
  }

  private stagger(): Stagger {
    const staggered = this.global.staggeredStart;
    return {
      parallel: staggered?.parallel ?? availableParallelism(),
      delayMs: (staggered?.delaySeconds ?? STAGGER_SECONDS) * 1000,
    };
  }

  private async startConfigured(vm: VirtualMachine): Promise<void> {
    try {
      await this.start(vm, {}, { uid: this.options.uid, isAdmin: true });
    } catch (error) {
      const { message, stack } = error as Error;
      const reason = error instanceof VmmError ? message : stack;
      this.options.log.info(`vm ${vm.id} (${vm.name}) cannot be started: ${reason}`);
    }
  }

  /**
   * Under root, a machine's process is its owner's: it opens the files that its owner may open. A
   * machine that somebody else made, an instance, is theirs.
   */
  private credentials(vm: VirtualMachine, peer: Peer): Credentials | undefined {
    if (this.options.uid !== 0) return undefined;
    const uid = vm.isTransient && !peer.isAdmin ? peer.uid : vm.config.owner.uid;
    if (uid === 0) return undefined;
    const user = this.accounts.users.find((candidate) => candidate.uid === uid);
    return { uid, gid: user?.gid ?? GID_UNKNOWN };
  }

  private vmStopped(vm: VirtualMachine): void {
    if (vm.isTransient) this.table.remove(vm);
    this.watchIdleness();
  }

  private watchIdleness(): void {
    if (!this.options.onDemand || this.isStopping) return;
    clearTimeout(this.idleTimer);
    this.idleTimer = setTimeout(() => {
      const isIdle = this.vms.every(({ state }) => state === 'stopped');
      if (isIdle && this.server.connectionCount === 0) void this.stop();
      else this.watchIdleness();
    }, IDLE_MS_MAX);
  }

  /** There is one vmd at a socket, also while another one is about to start. */
  private async takeLock(): Promise<void> {
    const { socketPath } = this.options;
    const path = `${socketPath}.lock`;
    closeSync(openSync(path, 'a', 0o600));
    try {
      this.lock = await openLocked(path, false);
    } catch (error) {
      if (!(error instanceof VmmError) || error.code !== 'EBUSY') throw error;
      throw new VmmError('EBUSY', `vmd is already running at ${socketPath}.`);
    }
  }
}

/** As vmd(8) makes them up: its prefix, with the number of the interface, and random octets. */
function makeLladdr(index: number): string {
  return [...MAC_PREFIX, MAC_INTERFACE + index, ...randomBytes(2)]
    .map((octet) => octet.toString(16).padStart(2, '0'))
    .join(':');
}

/** A random prefix within fd00::/8: RFC 4193, section 3.2. */
function uniqueLocalPrefix(): Prefix {
  const groups = randomBytes(8).fill(0xfd, 0, 1).toString('hex').match(/.{4}/g);
  return { address: `${groups!.join(':')}::`, length: 64 };
}
