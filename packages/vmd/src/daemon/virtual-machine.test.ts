// The life of a machine with a process that is pretended: what a guest that can be asked to shut
// down would do, for there is none yet, and what happens when things end in the middle of others.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SHUTDOWN_MS_MAX } from 'vmm-node/orderly-stop';
import { GLOBAL_DEFAULT } from '../conf/parse-global.ts';
import { completeVm, emptyDraft } from '../conf/vm-draft.ts';
import { Log } from './log.ts';
import { VirtualMachine, type VmHandle } from './virtual-machine.ts';
import type { VmChildEvents } from './vm-child.ts';

class Pretended implements VmHandle {
  readonly pid = 99;
  readonly told: string[] = [];
  readonly events: VmChildEvents;

  constructor(events: VmChildEvents) {
    this.events = events;
  }

  pause = (): void => void this.told.push('pause');
  unpause = (): void => void this.told.push('unpause');
  shutdown = (): void => void this.told.push('shutdown');
  terminate = (): void => void this.told.push('terminate');
  attach = (): void => void this.told.push('attach');
  sendBy = (): void => void this.told.push('send');
  link = (): void => void this.told.push('link');
}

let child: Pretended;
let log: string[];
let stoppedCount: number;
let vm: VirtualMachine;
beforeEach(() => {
  vi.useFakeTimers();
  log = [];
  stoppedCount = 0;
  const config = { ...completeVm(emptyDraft('a', null)), boot: '/kernel' };
  vm = new VirtualMachine(1, config, false, {
    log: new Log((line) => log.push(line), true),
    surroundings: () => ({
      local: { prefix: GLOBAL_DEFAULT.localPrefix, prefix6: null },
      switches: new Map(),
      isHostBridge: () => false,
      makeLladdr: () => '02:00:00:00:00:00',
    }),
    switchboard: { join: () => {}, leave: () => {} },
    openTaps: () => ({ taps: [], warnings: [] }),
    spawn: (_plan, _taps, _credentials, events) => {
      child = new Pretended(events);
      return child;
    },
    nowMs: () => 0,
    stopped: () => {
      stoppedCount++;
    },
  });
});
afterEach(() => vi.useRealTimers());

const HALT = { kind: 'halt', message: null } as const;

async function start(): Promise<void> {
  const started = vm.start({ override: {}, uid: 7, credentials: undefined });
  child.events.running();
  await started;
}

test('a guest that is asked to shut down, and does, is not ended', async () => {
  await start();
  const stop = vm.stop(false);
  child.events.shutdownAsked(true);
  expect(await stop).toBe('requested');
  expect(vm.state).toBe('stopping');
  expect(await vm.stop(false)).toBe('requested');
  child.events.ended(HALT);
  await vi.advanceTimersByTimeAsync(SHUTDOWN_MS_MAX);
  expect(child.told).toEqual(['shutdown']);
  expect([vm.state, stoppedCount]).toEqual(['stopped', 1]);
});

test('a guest that is asked to shut down, and does not, is ended in time', async () => {
  await start();
  const stop = vm.stop(false);
  child.events.shutdownAsked(true);
  await stop;
  await vi.advanceTimersByTimeAsync(SHUTDOWN_MS_MAX - 1);
  expect(child.told).toEqual(['shutdown']);
  await vi.advanceTimersByTimeAsync(1);
  expect(child.told).toEqual(['shutdown', 'terminate']);
  expect(log.at(-1)).toBe('vm 1 (a) did not shut down in 120 seconds, and is ended');
});

test('a guest that cannot be asked is ended at once', async () => {
  await start();
  const stop = vm.stop(false);
  child.events.shutdownAsked(false);
  await vi.advanceTimersByTimeAsync(0);
  expect(child.told).toEqual(['shutdown', 'terminate']);
  child.events.ended({ kind: 'left', message: null });
  expect(await stop).toBe('terminated');
});

test('what ends in the middle of something answers it', async () => {
  await start();
  const stop = vm.stop(false);
  const waiting = vm.whenStopped();
  child.events.ended(HALT);
  expect(await stop).toBe('terminated');
  await waiting;
  await vi.advanceTimersByTimeAsync(SHUTDOWN_MS_MAX);
  expect(child.told).toEqual(['shutdown']);

  await start();
  const pause = vm.pause();
  child.events.ended({ kind: 'died', message: 'it was ended by SIGKILL' });
  await expect(pause).rejects.toThrow('vm "a" has just ended.');
  expect(vm.state).toBe('stopped');

  const started = vm.start({ override: {}, uid: 7, credentials: undefined });
  await expect(vm.pause()).rejects.toThrow('vm "a" is being started, not running.');
  child.events.ended({ kind: 'died', message: 'it exited with status 1' });
  await expect(started).rejects.toThrow(/ended while it was started: .*it exited with status 1/);
  expect(vm.startedBy).toBeUndefined();
});

test('a machine that gets no process is stopped, and can be started later', async () => {
  const { context, config } = vm;
  let fails = true;
  const spawn: typeof context.spawn = (...words) => {
    if (fails) throw new Error('spawn EPERM');
    return context.spawn(...words);
  };
  const other = new VirtualMachine(2, config, false, { ...context, spawn });
  const request = { override: {}, uid: 0, credentials: undefined };
  await expect(other.start(request)).rejects.toThrow('vm "a" gets no process: spawn EPERM.');
  expect([other.state, other.startedBy]).toEqual(['stopped', undefined]);
  fails = false;
  const started = other.start(request);
  child.events.running();
  await started;
  expect(other.state).toBe('running');
});

test('a machine that waits and cannot be started does not wait any more', async () => {
  const config = { ...vm.config, sev: 'sev' } as const;
  const other = new VirtualMachine(2, config, false, vm.context);
  other.await();
  const start = other.start({ override: {}, uid: 0, credentials: undefined });
  await expect(start).rejects.toThrow('asks for sev');
  expect(other.state).toBe('stopped');
});
