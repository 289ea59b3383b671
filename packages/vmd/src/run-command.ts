// "vmctl run": a virtual machine in the foreground, without a daemon, its first serial port on the
// terminal.

import { constants } from 'node:os';
import { VmmError } from 'vmm/errors';
import type { EngineChoice, RunControl, RunOutcome, RunVm } from 'vmm-node/options';
import { OrderlyStop } from 'vmm-node/orderly-stop';
import { type LeaveReason, Terminal } from 'vmm-node/terminal';
import type { Parsed } from './getopt.ts';
import { type RunArguments, runArguments } from './run-arguments.ts';
import { statisticsText } from './run-statistics.ts';

/** What a command may use of the process around it. */
export interface Environment {
  /** The options before the command included -v. */
  readonly verbose: boolean;
  /** Says something to the user, on standard error, as a line of the program's. */
  say(text: string): void;
}

const SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const;

/** Runs a machine as `parsed` says, and returns the exit status. */
export async function run(parsed: Parsed, environment: Environment): Promise<number> {
  const optionValue = (option: string): string | undefined =>
    parsed.options.find(({ name }) => name === option)?.value;
  const restoredFrom = optionValue('restore');
  const options = await (restoredFrom === undefined
    ? runArguments(parsed, environment.say)
    : loadRestored(restoredFrom, parsed));
  const suspension = new Suspension(optionValue('suspend'), environment.say);
  const verbose = options.verbose || environment.verbose;
  const isNamed = parsed.options.some(({ name }) => name === 'e');
  const onEngine = ({ engine, reason }: EngineChoice): void => {
    if (options.engine !== 'auto' || !(verbose || isNamed)) return;
    environment.say(`engine ${engine}: ${reason}`);
  };
  const runVm = await loadRunVm();
  const stop = new OrderlyStop();
  const leave = async (): Promise<void> => {
    if (await stop.request()) {
      environment.say('The guest is asked to shut down; asked again, it is ended at once.');
    }
  };
  let signal: (typeof SIGNALS)[number] | undefined;
  const onSignal = (name: (typeof SIGNALS)[number]): void => {
    // When the machine is being ended, another signal does not wait for its disks to be closed.
    if (stop.signal.aborted) process.exit(128 + constants.signals[name]);
    signal = name;
    void leave();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  const onLeave = (why: LeaveReason): void => {
    if (why === 'closed') stop.now();
    else void leave();
  };
  const terminal = new Terminal(process.stdin, process.stdout, onLeave, suspension.command);
  terminal.open();
  let outcome: RunOutcome;
  try {
    outcome = await runVm({
      ...options,
      verbose,
      onEngine,
      onRunning: (control) => {
        stop.started(control);
        suspension.running(control);
      },
      console: terminal,
      stop: stop.signal,
    });
    await terminal.drained();
  } finally {
    terminal.close();
    for (const name of SIGNALS) process.off(name, onSignal);
  }
  report(outcome, options.timeoutMs, environment);
  if (verbose && outcome.statistics) process.stderr.write(statisticsText(outcome.statistics));
  // As a shell reports a process that a signal ended, unless the guest has shut down for it.
  const isForced = signal !== undefined && outcome.kind === 'left';
  return isForced ? 128 + constants.signals[signal!] : outcome.status;
}

/** What reads the file of a machine is loaded only when there is one to restore. */
async function loadRestored(path: string, parsed: Parsed): Promise<RunArguments> {
  const { restoreArguments } = await import('./restore-arguments.ts');
  return restoreArguments(path, parsed);
}

/** The command "~s" of a run: the machine goes to a file. */
class Suspension {
  /** Undefined when there is no file to go to. */
  readonly command: (() => void) | undefined;
  private control: RunControl | undefined;

  constructor(path: string | undefined, say: (text: string) => void) {
    if (path === undefined) return;
    this.command = () => void this.suspend(path, say);
  }

  running(control: RunControl): void {
    this.control = control;
  }

  private async suspend(path: string, say: (text: string) => void): Promise<void> {
    const { writeSuspendFile } = await import('vmm-node');
    try {
      await this.control?.suspend((pieces) => writeSuspendFile(path, pieces));
    } catch (error) {
      if (!(error instanceof VmmError)) throw error;
      say(`The machine goes on: ${error.message}`);
    }
  }
}

/** The engine is loaded only when a machine is started: a mistake is answered at once. */
async function loadRunVm(): Promise<RunVm> {
  const adapters: object = await import('vmm-node');
  if ('runVm' in adapters) return adapters.runVm as RunVm;
  throw new VmmError('ENODEV', 'This build contains no engine.');
}

function report(
  outcome: RunOutcome,
  timeoutMs: number | undefined,
  environment: Environment,
): void {
  if (outcome.kind === 'error') {
    environment.say(outcome.message ?? 'The virtual machine cannot go on.');
  } else if (outcome.kind === 'timeout') {
    environment.say(`The virtual machine was ended after ${(timeoutMs ?? 0) / 1000} seconds.`);
  } else if (environment.verbose) {
    environment.say(`The run ended: ${outcome.kind}.`);
  }
}
