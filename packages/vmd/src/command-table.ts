// The commands of a control program as rows of a table, vmctl(8)'s idea: usage, abbreviation and
// the parsing of options all read the rows.

import { VmmError } from 'vmm/errors';
import { type Choices, getopt, type Option, optionText, type Parsed } from './getopt.ts';

/** A command. */
export interface Command {
  readonly name: string;
  readonly options: readonly Option[];
  /** The operands as the usage shows them, `[name]` for one that may be absent. */
  readonly operands: readonly string[];
  /** What the operands may be, for completion. */
  readonly operandChoices?: Choices;
  /**
   * It has to be written out. For commands of ours that would make an abbreviation ambiguous which
   * OpenBSD's vmctl(8) takes, such as "co" for "console".
   */
  readonly unabbreviated?: boolean;
  /** Runs the command and returns the process's exit status. */
  run(parsed: Parsed): Promise<number>;
}

/** A mistake in the choice of a command: the usage follows the message. */
export class UsageError extends VmmError {
  constructor(message: string) {
    super('EINVAL', message);
  }
}

/** The command that `word` names or abbreviates. */
export function findCommand(commands: readonly Command[], word: string): Command {
  const exact = commands.find(({ name }) => name === word);
  if (exact !== undefined) return exact;
  const matches = commands.filter(
    ({ name, unabbreviated }) => unabbreviated !== true && name.startsWith(word),
  );
  if (matches.length === 1 && word !== '') return matches[0]!;
  throw new UsageError(`${matches.length > 1 ? 'ambiguous' : 'unknown'} argument: ${word}`);
}

/** Parses `words` for `command`; EINVAL for options it does not have and operands too many. */
export function parseArguments(command: Command, words: readonly string[]): Parsed {
  const parsed = getopt(words, command.options);
  const extra = parsed.operands[command.operands.length];
  if (extra !== undefined) throw new VmmError('EINVAL', `too many arguments: ${extra}`);
  const needed = command.operands.filter((operand) => !operand.startsWith('['));
  const missing = needed[parsed.operands.length];
  if (missing !== undefined) throw new VmmError('EINVAL', `missing argument: ${missing}`);
  return parsed;
}

/** A command's synopsis: `run [-v] [-m size] [name]`. */
export function synopsis(command: Command): string {
  const flags = command.options.filter((o) => o.argument === undefined && o.name.length === 1);
  const cluster = flags.map(({ name }) => name).join('');
  const words = cluster === '' ? [] : [`[-${cluster}]`];
  for (const option of command.options) {
    if (flags.includes(option)) continue;
    const argument = option.argument === undefined ? '' : ` ${option.argument}`;
    const text = `${optionText(option)}${argument}`;
    // The other one's closing bracket comes after this one.
    if (option.insteadOf !== undefined) words.push(`${words.pop()!.slice(0, -1)} | ${text}]`);
    else words.push(`[${text}]${option.repeats === true ? '...' : ''}`);
  }
  return [command.name, ...words, ...command.operands].join(' ');
}

/** The usage of a program: a line for each command. */
export function usage(program: string, commands: readonly Command[]): string {
  const lines = commands.map((command) => `       ${program} ${synopsis(command)}\n`);
  return `usage: ${program} [-v] [-s socket] command [arg ...]\n${lines.join('')}`;
}
