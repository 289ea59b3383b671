// A virtual machine that vmd(8) knows: its configuration, and its life from start to stop. Its
// process comes and goes; its number stays.

import type { Socket } from 'node:net';
import { VmmError } from 'vmm/errors';
import { SHUTDOWN_MS_MAX } from 'vmm-node/orderly-stop';
import type { VmConfig } from '../conf/configuration.ts';
import type { Reply, VmEvent, VmState, VmStatus } from '../control/protocol.ts';
import type { Log } from './log.ts';
import { residentBytes } from './resident-bytes.ts';
import { RestartLimiter } from './restart-limiter.ts';
import { type BootOverride, planOf, type Surroundings, type VmPlan } from './run-plan.ts';
import type { Switchboard } from './switchboard.ts';
import { closeTaps, type OpenedTap, type OpenedTaps } from './taps.ts';
import type { Credentials, VmChild, VmChildEvents, VmEnd } from './vm-child.ts';

/** How a machine is started. */
export interface StartRequest {
  readonly override: BootOverride;
  /** Who starts it: while it runs, they have an owner's rights. */
  readonly uid: number;
  /** What its process runs as; undefined for vmd's own user. */
  readonly credentials: Credentials | undefined;
  /** The machine is not booted: it comes in by this connection, which its process answers. */
  readonly incoming?: () => Socket;
}

/** The process of a machine. */
export type VmHandle = Pick<
  VmChild,
  'pid' | 'pause' | 'unpause' | 'shutdown' | 'terminate' | 'attach' | 'sendBy' | 'link'
>;

/** What a virtual machine needs around it. */
export interface VmContext {
  /** Starts a process. */
  spawn(
    plan: VmPlan,
    taps: readonly OpenedTap[],
    credentials: Credentials | undefined,
    events: VmChildEvents,
    incoming?: Socket,
  ): VmHandle;
  /** Opens the taps of a plan; VmmError when one that is required cannot be had. */
  openTaps(plan: VmPlan): OpenedTaps;
  readonly log: Log;
  /** What machines that start now are planned for. */
  surroundings(): Surroundings;
  readonly switchboard: Pick<Switchboard, 'join' | 'leave'>;
  /** Real time that does not go back. */
  nowMs(): number;
  /** It has stopped. */
  stopped(vm: VirtualMachine): void;
}

/** How a guest ends that was asked to shut down. */
const COMPLIANCE: readonly VmEnd['kind'][] = ['halt', 'poweroff', 'reset'];

type Resolve<T> = (value: T) => void;

/** A virtual machine. */
export class VirtualMachine {
  readonly id: number;
  readonly config: VmConfig;
  /** It is forgotten when it stops: it is not from the configuration. */
  readonly isTransient: boolean;
  /** Who started it; undefined while it does not run. */
  startedBy: number | undefined;
  readonly context: VmContext;
  private child: VmHandle | undefined;
  private currentState: VmState = 'stopped';
  private stateBeforeSending: VmState = 'running';
  private limiter: RestartLimiter | undefined;
  private shutdownTimer: NodeJS.Timeout | undefined;
  private onStarted: ((error: VmmError | undefined) => void) | undefined;
  private readonly onPaused: (() => void)[] = [];
  /** Its guest is shutting down because it was asked to. */
  private isAsked = false;
  private onShutdownAsked: Resolve<boolean>[] = [];
  private readonly onStopped: (() => void)[] = [];

  constructor(id: number, config: VmConfig, isTransient: boolean, context: VmContext) {
    this.id = id;
    this.config = config;
    this.isTransient = isTransient;
    this.context = context;
  }

  get name(): string {
    return this.config.name;
  }

  get state(): VmState {
    return this.currentState;
  }

  /** It has a process. */
  get isRunning(): boolean {
    return this.child !== undefined;
  }

  get status(): VmStatus {
    const pid = this.child?.pid ?? null;
    return {
      id: this.id,
      name: this.name,
      state: this.state,
      pid,
      vcpus: 1,
      memoryBytes: this.config.memoryBytes,
      residentBytes: pid === null ? null : residentBytes(pid),
      owner: this.config.owner,
    };
  }

  /** It is to be started later. */
  await(): void {
    this.currentState = 'waiting';
  }

  /**
   * Starts it; resolves with what is left out when its guest runs. EALREADY when it runs; what its
   * process refuses.
   */
  async start(request: StartRequest): Promise<readonly string[]> {
    const { override, uid, credentials, incoming } = request;
    if (this.child !== undefined) {
      throw new VmmError('EALREADY', `vm "${this.name}" is running already.`);
    }
    this.currentState = 'stopped';
    const { surroundings, openTaps } = this.context;
    const { plan, warnings: without } = planOf(this.id, this.config, override, surroundings());
    const { taps, warnings: lacks } = openTaps(plan);
    const warnings = [...without, ...lacks];
    const started = new Promise<VmmError | undefined>((resolve) => {
      this.onStarted = resolve;
    });
    this.child = this.spawn(plan, taps, credentials, incoming?.());
    this.startedBy = uid;
    this.currentState = 'running';
    this.limiter = new RestartLimiter(this.context.nowMs());
    const error = await started;
    if (error !== undefined) throw error;
    this.say(incoming === undefined ? 'started successfully' : 'received');
    for (const { index, name } of taps) this.say(`has ${name} as its interface ${index}`);
    for (const warning of warnings) this.context.log.info(warning);
    return warnings;
  }

  /**
   * Stops it. `requested`: the guest was asked to shut down, and is ended when it does not;
   * `terminated` and `forced`: it has ended. EINVAL when it does not run.
   */
  async stop(force: boolean): Promise<VmEvent> {
    const { child } = this;
    if (child === undefined) {
      if (this.state !== 'waiting') {
        throw new VmmError('EINVAL', 'cannot stop vm that is not running');
      }
      this.currentState = 'stopped';
      this.context.stopped(this);
      return 'terminated';
    }
    if (this.state === 'paused') child.unpause();
    if (force) {
      await this.terminate(child);
      return 'forced';
    }
    if (this.state === 'stopping') return 'requested';
    this.currentState = 'stopping';
    const asked = await new Promise<boolean>((resolve) => {
      this.onShutdownAsked.push(resolve);
      child.shutdown();
    });
    if (this.child !== child) return 'terminated';
    if (!asked) {
      // As in vmd(8) when the guest has no vmmci(4).
      await this.terminate(child);
      return 'terminated';
    }
    this.isAsked = true;
    this.say('is asked to shut down');
    this.shutdownTimer = setTimeout(() => {
      this.say(`did not shut down in ${SHUTDOWN_MS_MAX / 1000} seconds, and is ended`);
      child.terminate();
    }, SHUTDOWN_MS_MAX);
    return 'requested';
  }

  /** Holds it and its time; resolves when they stand still. EINVAL unless it runs. */
  async pause(): Promise<void> {
    const { child, state } = this;
    if (state !== 'running' || child === undefined || this.onStarted !== undefined) {
      const what = this.onStarted === undefined ? state : 'being started';
      throw new VmmError('EINVAL', `vm "${this.name}" is ${what}, not running.`);
    }
    this.currentState = 'paused';
    await new Promise<void>((resolve) => {
      this.onPaused.push(resolve);
      child.pause();
    });
    if (this.child !== child) throw new VmmError('EINVAL', `vm "${this.name}" has just ended.`);
    this.say('paused');
  }

  /** Lets it go on. EINVAL unless it is paused. */
  unpause(): void {
    if (this.state !== 'paused') {
      throw new VmmError('EINVAL', `vm "${this.name}" is ${this.state}, not paused.`);
    }
    this.currentState = 'running';
    this.child?.unpause();
    this.say('unpaused');
  }

  /**
   * Gives its process a connection, by which the machine goes out; it ends when it is all there,
   * and goes on as before when it does not get there. EINVAL unless it runs or is paused.
   */
  send(release: () => Socket): void {
    const { child, state } = this;
    const stands = state === 'running' || state === 'paused';
    if (!stands || child === undefined || this.onStarted !== undefined) {
      throw new VmmError('EINVAL', `vm "${this.name}" is ${state}, not running or paused.`);
    }
    this.stateBeforeSending = state;
    this.currentState = 'sending';
    this.say('is sent');
    child.sendBy(release(), this.id);
  }

  /** Gives its process a connection as the console, after `replies`. ENOENT unless it runs. */
  attach(socket: Socket, replies: readonly Reply[]): void {
    if (this.child === undefined) throw new VmmError('ENOENT', 'console not found');
    this.child.attach(socket, this.id, replies);
  }

  /** Resolves when it has stopped; at once when it does not run. */
  whenStopped(): Promise<void> {
    if (this.child === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.onStopped.push(resolve);
    });
  }

  private spawn(
    plan: VmPlan,
    taps: readonly OpenedTap[],
    credentials: Credentials | undefined,
    incoming: Socket | undefined,
  ): VmHandle {
    const events: VmChildEvents = {
      ready: () => this.plugIn(plan),
      running: () => this.settleStart(undefined),
      paused: () => {
        for (const resolve of this.onPaused.splice(0)) resolve();
      },
      restarted: () => this.restarted(),
      shutdownAsked: (asked) => this.answerShutdown(asked),
      notSent: () => this.notSent(),
      ended: (end) => this.ended(end),
    };
    try {
      return this.context.spawn(plan, taps, credentials, events, incoming);
    } catch (cause) {
      this.onStarted = undefined;
      const reason = (cause as Error).message;
      throw new VmmError('EAGAIN', `vm "${this.name}" gets no process: ${reason}.`, { cause });
    } finally {
      closeTaps(taps);
    }
  }

  private plugIn({ interfaces }: VmPlan): void {
    const handle = this.child;
    if (handle === undefined) return;
    for (const [index, it] of interfaces.entries()) {
      if (it.switch === null) continue;
      const lockedMac = it.isLocked ? it.lladdr : null;
      this.context.switchboard.join({ switch: it.switch, handle, index, lockedMac });
    }
  }

  private async terminate(child: VmHandle): Promise<void> {
    this.currentState = 'stopping';
    const stopped = this.whenStopped();
    child.terminate();
    await stopped;
  }

  private restarted(): void {
    if (this.limiter?.allows(this.context.nowMs()) !== false) {
      this.context.log.debug(`vm ${this.id} (${this.name}) rebooted`);
      return;
    }
    this.say('restarted too quickly, and is ended');
    this.currentState = 'stopping';
    this.child?.terminate();
  }

  private settleStart(error: VmmError | undefined): void {
    this.onStarted?.(error);
    this.onStarted = undefined;
  }

  private notSent(): void {
    if (this.state !== 'sending') return;
    this.currentState = this.stateBeforeSending;
    this.say('was not sent, and goes on');
  }

  private answerShutdown(asked: boolean): void {
    for (const resolve of this.onShutdownAsked.splice(0)) resolve(asked);
  }

  private ended(end: VmEnd): void {
    clearTimeout(this.shutdownTimer);
    if (this.child !== undefined) this.context.switchboard.leave(this.child);
    this.child = undefined;
    this.startedBy = undefined;
    this.currentState = 'stopped';
    this.settleStart(
      end.kind === 'refused'
        ? end.error
        : new VmmError('EIO', `vm "${this.name}" ended while it was started: ${endText(end)}.`),
    );
    const complied = this.isAsked && COMPLIANCE.includes(end.kind);
    this.isAsked = false;
    if (end.kind !== 'refused') {
      this.say(`stopped: ${complied ? 'its guest shut down' : endText(end)}`);
    }
    // Whoever asked it to do something is answered by its end.
    this.answerShutdown(true);
    for (const resolve of this.onPaused.splice(0)) resolve();
    for (const resolve of this.onStopped.splice(0)) resolve();
    this.context.stopped(this);
  }

  private say(what: string): void {
    this.context.log.info(`vm ${this.id} (${this.name}) ${what}`);
  }
}

function endText(end: VmEnd): string {
  switch (end.kind) {
    case 'refused':
      return end.error.message;
    case 'died':
      return `its process failed, ${end.message}`;
    case 'error':
      return end.message ?? 'the guest cannot go on';
    case 'left':
      return 'it was ended';
    case 'reset':
      return 'its guest rebooted';
    case 'suspended':
      return 'it was sent';
    case 'poweroff':
      return 'its guest switched it off';
    default:
      return 'its guest halted';
  }
}
