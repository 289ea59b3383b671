// "vmctl run": a virtual machine in the foreground, without a daemon, its first serial port on the
// terminal.

import { constants } from 'node:os';
import { VmmError } from 'vmm/errors';
import type { EngineChoice, RunOutcome, RunVm } from 'vmm-node/options';
import { Terminal } from 'vmm-node/terminal';
import type { Parsed } from './getopt.ts';
import { runArguments } from './run-arguments.ts';
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
  const options = runArguments(parsed, environment.say);
  const verbose = options.verbose || environment.verbose;
  const isNamed = parsed.options.some(({ name }) => name === 'e');
  const onEngine = ({ engine, reason }: EngineChoice): void => {
    if (options.engine !== 'auto' || !(verbose || isNamed)) return;
    environment.say(`engine ${engine}: ${reason}`);
  };
  const runVm = await loadRunVm();
  const stop = new AbortController();
  let signal: (typeof SIGNALS)[number] | undefined;
  const onSignal = (name: (typeof SIGNALS)[number]): void => {
    // A second signal does not wait for the machine's disks to be closed.
    if (signal !== undefined) process.exit(128 + constants.signals[name]);
    signal = name;
    stop.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  const terminal = new Terminal(process.stdin, process.stdout, () => stop.abort());
  terminal.open();
  let outcome: RunOutcome;
  try {
    outcome = await runVm({ ...options, verbose, onEngine, console: terminal, stop: stop.signal });
    await terminal.drained();
  } finally {
    terminal.close();
    for (const name of SIGNALS) process.off(name, onSignal);
  }
  report(outcome, options.timeoutMs, environment);
  if (verbose && outcome.statistics) process.stderr.write(statisticsText(outcome.statistics));
  // As a shell reports a process that a signal ended.
  return signal === undefined ? outcome.status : 128 + constants.signals[signal];
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
