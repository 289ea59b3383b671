// vmctl(8). Commands come from a table and may be abbreviated, as in OpenBSD. Exit status: 1 and
// one sentence for a mistake of the user's, else the command's own.
//
// The commands that talk to vmd(8) are quick: what others need is loaded when they run.

import { VmmError } from 'vmm/errors';
import { type Command, findCommand, parseArguments, UsageError, usage } from './command-table.ts';
import { completionCommand } from './completion.ts';
import { CREATE_OPTIONS } from './create-options.ts';
import type { ControlContext } from './ctl/context.ts';
import { DaemonLink } from './ctl/daemon-link.ts';
import { startCommand } from './ctl/start-command.ts';
import { statusCommand } from './ctl/status-command.ts';
import { stopCommand } from './ctl/stop-command.ts';
import { vmCommands } from './ctl/vm-commands.ts';
import { getopt, type Option } from './getopt.ts';
import type { Environment } from './run-command.ts';
import { RUN_OPTIONS } from './run-options.ts';

const PROGRAM = 'vmctl';
const OPTIONS: readonly Option[] = [
  { name: 'v', repeats: true },
  { name: 's', argument: 'socket' },
];

function print(text: string): void {
  process.stdout.write(text);
}

function say(text: string): void {
  process.stderr.write(`${PROGRAM}: ${text}\n`);
}

function note(text: string): void {
  process.stderr.write(text);
}

/** The row of "run". The engine is loaded only when a machine is run. */
function runCommand(environment: Environment): Command {
  return {
    name: 'run',
    options: RUN_OPTIONS,
    operands: ['[name]'],
    run: async (parsed) => {
      const { run } = await import('./run-command.ts');
      return run(parsed, environment);
    },
  };
}

/** The row of "create", likewise. */
function createCommand(environment: Environment): Command {
  return {
    name: 'create',
    options: CREATE_OPTIONS,
    operands: ['disk'],
    run: async (parsed) => {
      const { createDisk } = await import('./create-command.ts');
      return createDisk(parsed, environment);
    },
  };
}

/** The rows of "send" and "receive", which load what reads a machine's file. */
function transferRows(context: ControlContext): readonly Command[] {
  const load = async (name: 'send' | 'receive'): Promise<Command> => {
    const commands = await import('./ctl/transfer-commands.ts');
    return name === 'send' ? commands.sendCommand(context) : commands.receiveCommand(context);
  };
  return [
    {
      name: 'receive',
      options: [],
      operands: ['name'],
      run: async (parsed) => (await load('receive')).run(parsed),
    },
    {
      name: 'send',
      options: [],
      operands: ['id'],
      run: async (parsed) => (await load('send')).run(parsed),
    },
  ];
}

function commandTable(environment: Environment, link: DaemonLink): readonly Command[] {
  const context: ControlContext = { link, say, note, print };
  const rows: readonly Command[] = [
    ...vmCommands(context),
    createCommand(environment),
    runCommand(environment),
    statusCommand('show', context),
    ...transferRows(context),
    startCommand(context),
    statusCommand('status', context),
    stopCommand(context),
    completionCommand(PROGRAM, () => commands, print),
  ];
  const commands = [...rows].sort((a, b) => (a.name < b.name ? -1 : 1));
  return commands;
}

async function main(words: readonly string[]): Promise<number> {
  const uid = process.getuid?.() ?? 0;
  let commands = commandTable({ verbose: false, say }, new DaemonLink(uid, undefined));
  try {
    const { options, operands } = getopt(words, OPTIONS);
    const [word, ...rest] = operands;
    if (word === undefined) throw new UsageError('missing command');
    const verbose = options.some(({ name }) => name === 'v');
    const socket = options.find(({ name }) => name === 's')?.value;
    commands = commandTable({ verbose, say }, new DaemonLink(uid, socket));
    const command = findCommand(commands, word);
    return await command.run(parseArguments(command, rest));
  } catch (error) {
    if (!(error instanceof VmmError)) throw error;
    say(error.message);
    if (error instanceof UsageError) process.stderr.write(usage(PROGRAM, commands));
    return 1;
  }
}

// Workers of the machine may still be alive, and must not keep the process.
process.exit(await main(process.argv.slice(2)));
