// The commands of vmctl(8) that name one virtual machine and no options: console, pause, unpause
// and wait; and those by which root administrates vmd(8): load, log, reload and reset.

import { resolve } from 'node:path';
import { VmmError } from 'vmm/errors';
import { type Command, UsageError } from '../command-table.ts';
import { LOG_KINDS, RESET_KINDS, type Request } from '../control/protocol.ts';
import { type ControlContext, parseTarget, refusedAs } from './context.ts';
import { expect } from './conversation.ts';

/** The rows of these commands. */
export function vmCommands(context: ControlContext): readonly Command[] {
  return [
    consoleCommand(context),
    loadCommand(context),
    logCommand(context),
    pauseCommand('pause', context),
    reloadCommand(context),
    resetCommand(context),
    pauseCommand('unpause', context),
    waitCommand(context),
  ];
}

function consoleCommand({ link, note }: ControlContext): Command {
  return {
    name: 'console',
    options: [],
    operands: ['id'],
    async run({ operands }) {
      const target = parseTarget(operands[0]!);
      const conversation = await link.converse({ command: 'console', target });
      const { runConsole } = await import('./console-client.ts');
      await runConsole(conversation, note);
      return 0;
    },
  };
}

function pauseCommand(command: 'pause' | 'unpause', context: ControlContext): Command {
  return {
    name: command,
    options: [],
    operands: ['id'],
    async run({ operands }) {
      const target = parseTarget(operands[0]!);
      const { id } = await refusedAs(`${command} vm command failed`, async () =>
        expect(await context.link.request({ command, target }), 'vm'),
      );
      context.say(`${command}d vm ${id} successfully`);
      return 0;
    },
  };
}

function waitCommand({ link, note }: ControlContext): Command {
  return {
    name: 'wait',
    options: [],
    operands: ['id'],
    async run({ operands: [word] }) {
      const target = parseTarget(word!);
      const { id } = await refusedAs(`waiting for vm ${word}`, async () =>
        expect(await link.request({ command: 'wait', target }), 'vm'),
      );
      note(`waiting for vm ${word}: terminated vm ${id}\n`);
      return 0;
    },
  };
}

/** Asks for what has no answer but that it is done. */
async function administrate({ link }: ControlContext, request: Request): Promise<number> {
  await refusedAs('command failed', async () => expect(await link.request(request), 'ok'));
  return 0;
}

function reloadCommand(context: ControlContext): Command {
  return {
    name: 'reload',
    options: [],
    operands: [],
    run: () => administrate(context, { command: 'reload' }),
  };
}

function loadCommand(context: ControlContext): Command {
  return {
    name: 'load',
    options: [],
    operands: ['filename'],
    operandChoices: 'path',
    run: ({ operands }) => administrate(context, { command: 'load', path: resolve(operands[0]!) }),
  };
}

function resetCommand(context: ControlContext): Command {
  return {
    name: 'reset',
    options: [],
    operands: ['[all | switches | vms]'],
    operandChoices: RESET_KINDS,
    run: async ({ operands: [word] }) => {
      const what = word === undefined ? 'all' : keyword(word, RESET_KINDS);
      return administrate(context, { command: 'reset', what });
    },
  };
}

function logCommand(context: ControlContext): Command {
  return {
    name: 'log',
    options: [],
    operands: ['[brief | verbose]'],
    operandChoices: LOG_KINDS,
    run: async ({ operands: [word] }) => {
      if (word === undefined) throw new UsageError('missing argument: brief | verbose');
      return administrate(context, { command: 'log', how: keyword(word, LOG_KINDS) });
    },
  };
}

/** One of `words`, which may be abbreviated. */
function keyword<T extends string>(word: string, words: readonly T[]): T {
  const found = words.filter((candidate) => candidate.startsWith(word));
  if (found.length === 1) return found[0]!;
  throw new VmmError('EINVAL', `${found.length > 1 ? 'ambiguous' : 'unknown'} argument: ${word}`);
}
