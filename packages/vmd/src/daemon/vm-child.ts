// The process of a virtual machine as vmd(8) sees it: started, told what to do, and listened to.
// What happens to it is an event here and nothing worse: it may refuse, end, or die.

import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { VmmError } from 'vmm/errors';
import type { RunEnd } from 'vmm-node/options';
import type { Reply } from '../control/protocol.ts';
import type { VmPlan } from './run-plan.ts';
import type { OpenedTap } from './taps.ts';
import { type FromVm, fromVm, type TapDescriptor, type ToVm } from './vm-messages.ts';

const PROGRAM = fileURLToPath(new URL('./vm-main.js', import.meta.url));
/** A machine that is told to end does so in two seconds; then its disks are written and closed. */
const END_MS_MAX = 10_000;
/** After the standard streams and the channel. */
const FD_FIRST = 4;
/** Of what the process says on standard error; a crash of V8 says its reason first. */
const LAST_WORDS_MAX = 4096;

/** The user that a process runs as; undefined for vmd's own. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
}

/** How a process ended. */
export type VmEnd =
  | { readonly kind: RunEnd; readonly message: string | null }
  /** It was refused, before its guest started. */
  | { readonly kind: 'refused'; readonly error: VmmError }
  /** It crashed, or was killed: one sentence. */
  | { readonly kind: 'died'; readonly message: string };

/** What a process tells. */
export interface VmChildEvents {
  /** It has been told what to run, and takes links. */
  ready(): void;
  /** The guest runs. */
  running(): void;
  paused(): void;
  /** The guest was reset and starts anew. */
  restarted(): void;
  /** Whether the guest could be asked to shut down. */
  shutdownAsked(asked: boolean): void;
  /** It was not sent, and goes on as before. */
  notSent(): void;
  /** The process is gone; nothing comes after. */
  ended(end: VmEnd): void;
}

/** Of root's environment, what a process of somebody else may have. */
function userEnvironment(): NodeJS.ProcessEnv {
  const names = ['PATH', 'TZ', 'LANG', 'NODE_OPTIONS'];
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}

/** A running process. */
export class VmChild {
  private readonly process: ChildProcess;
  private readonly events: VmChildEvents;
  private readonly plan: VmPlan;
  private readonly taps: readonly TapDescriptor[];
  private end: VmEnd | undefined;
  private lastWords = '';
  private killTimer: NodeJS.Timeout | undefined;
  private incoming: Socket | undefined;

  /**
   * Starts the process, and in it the machine, which gets descriptors of `taps`, and comes in by
   * `incoming` if that is given.
   */
  constructor(
    plan: VmPlan,
    taps: readonly OpenedTap[],
    credentials: Credentials | undefined,
    events: VmChildEvents,
    incoming?: Socket,
  ) {
    this.plan = plan;
    this.incoming = incoming;
    this.taps = taps.map(({ index }, at) => ({ index, fd: FD_FIRST + at }));
    this.events = events;
    // In a session of its own, so that the keys that end vmd in a terminal leave it to vmd.
    this.process = fork(PROGRAM, [], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc', ...taps.map(({ fd }) => fd)],
      detached: true,
      // All that it is told is absolute, and it keeps no file system busy.
      cwd: '/',
      ...(credentials && { ...credentials, env: userEnvironment() }),
    });
    // There are no streams when the host is out of descriptors.
    this.process.stderr?.setEncoding('utf8');
    this.process.stderr?.on('data', (text: string) => {
      this.lastWords = (this.lastWords + text).slice(0, LAST_WORDS_MAX);
    });
    this.process.on('message', (message) => this.receive(message));
    this.process.on('error', (error) => this.gone(`it cannot be started: ${error.message}`));
    this.process.on('close', (status, signal) => {
      this.gone(signal === null ? `it exited with status ${status}` : `it was ended by ${signal}`);
    });
  }

  /** Undefined when it could not be started. */
  get pid(): number | undefined {
    return this.process.pid;
  }

  pause(): void {
    this.send({ kind: 'pause' });
  }

  unpause(): void {
    this.send({ kind: 'unpause' });
  }

  /** Asks whether the guest can be asked to shut down, and if so, asks it. */
  shutdown(): void {
    this.send({ kind: 'shutdown' });
  }

  /** Ends the machine; if the process does not comply, ends the process. */
  terminate(): void {
    this.send({ kind: 'end' });
    this.killTimer ??= setTimeout(() => this.process.kill('SIGKILL'), END_MS_MAX);
  }

  /** Gives the process a connection, to be the console after `replies`. */
  attach(socket: Socket, id: number, replies: readonly Reply[]): void {
    this.pass({ kind: 'attach', id, replies }, socket);
  }

  /** Has the machine go out by a connection. */
  sendBy(socket: Socket, id: number): void {
    this.pass({ kind: 'send', id }, socket);
  }

  /** Gives the process the end of a link of interface `index`. */
  link(socket: Socket, index: number, lockedMac: string | null): void {
    this.pass({ kind: 'link', index, lockedMac }, socket);
  }

  private pass(message: ToVm, socket: Socket): void {
    if (!this.process.connected) {
      socket.destroy();
      return;
    }
    this.process.send(message, socket, (error) => {
      if (error) socket.destroy();
    });
  }

  private send(message: ToVm): void {
    // One that has just ended is found out by its `close`.
    if (this.process.connected) this.process.send(message, () => {});
  }

  private receive(value: unknown): void {
    let message: FromVm;
    try {
      message = fromVm(value, 'message');
    } catch (error) {
      this.end ??= { kind: 'died', message: `it made no sense: ${(error as Error).message}` };
      this.process.kill('SIGKILL');
      return;
    }
    switch (message.kind) {
      case 'ready':
        this.begin();
        this.events.ready();
        return;
      case 'not-sent':
        this.events.notSent();
        return;
      case 'running':
        this.events.running();
        return;
      case 'paused':
        this.events.paused();
        return;
      case 'restarted':
        this.events.restarted();
        return;
      case 'shutdown':
        this.events.shutdownAsked(message.asked);
        return;
      case 'refused':
        this.end ??= { kind: 'refused', error: new VmmError(message.code, message.message) };
        this.dismiss();
        return;
      case 'ended':
        this.end ??= { kind: message.end, message: message.message };
        this.dismiss();
    }
  }

  private begin(): void {
    const { plan, taps, incoming } = this;
    this.incoming = undefined;
    if (incoming === undefined) this.send({ kind: 'start', plan, taps });
    else this.pass({ kind: 'receive', plan, taps }, incoming);
  }

  private dismiss(): void {
    this.send({ kind: 'bye' });
    this.killTimer ??= setTimeout(() => this.process.kill('SIGKILL'), END_MS_MAX);
  }

  private gone(how: string): void {
    clearTimeout(this.killTimer);
    this.incoming?.destroy();
    const end = this.end ?? { kind: 'died', message: `${how}${this.reason()}` };
    this.end = end;
    this.process.removeAllListeners();
    this.process.on('error', () => {});
    this.events.ended(end);
  }

  /** What it said last, if that is the end of V8 or an error's first line. */
  private reason(): string {
    const line = this.lastWords.split('\n').find((text) => /FATAL ERROR|Error\b/.test(text));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be logged
    return line === undefined ? '' : `: ${line.trim().replace(/[\x00-\x1f\x7f]/g, '?')}`;
  }
}
