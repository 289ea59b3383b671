// vmctl(8). Commands come from a table and may be abbreviated, as in OpenBSD. Exit status: 1 and
// one sentence for a mistake of the user's, else the command's own.

import { VmmError } from 'vmm/errors';
import { type Command, findCommand, parseArguments, UsageError, usage } from './command-table.ts';
import { completionCommand } from './completion.ts';
import { createCommand } from './create-command.ts';
import { getopt } from './getopt.ts';
import { type Environment, runCommand } from './run-command.ts';

const PROGRAM = 'vmctl';

function print(text: string): void {
  process.stdout.write(text);
}

function commandTable(environment: Environment): readonly Command[] {
  const commands: readonly Command[] = [
    createCommand(environment),
    runCommand(environment),
    completionCommand(PROGRAM, () => commands, print),
  ];
  return commands;
}

function say(text: string): void {
  process.stderr.write(`${PROGRAM}: ${text}\n`);
}

async function main(words: readonly string[]): Promise<number> {
  let commands = commandTable({ verbose: false, say });
  try {
    const { options, operands } = getopt(words, [{ name: 'v', repeats: true }]);
    const [word, ...rest] = operands;
    if (word === undefined) throw new UsageError('missing command');
    commands = commandTable({ verbose: options.length > 0, say });
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
