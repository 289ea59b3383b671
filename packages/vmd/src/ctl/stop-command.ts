// "vmctl stop": asks guests to shut down, or ends them.

import { type Command, UsageError } from '../command-table.ts';
import type { Target } from '../control/protocol.ts';
import { type ControlContext, parseTarget, refusedAs } from './context.ts';
import { expect } from './conversation.ts';

/** How to stop. */
interface StopOptions {
  readonly force: boolean;
  readonly wait: boolean;
}

/** The row of "stop". */
export function stopCommand(context: ControlContext): Command {
  return {
    name: 'stop',
    options: [{ name: 'a' }, { name: 'f' }, { name: 'w' }],
    operands: ['[id]'],
    async run({ options, operands: [word] }) {
      const has = (option: string): boolean => options.some(({ name }) => name === option);
      const how = { force: has('f'), wait: has('w') };
      if (has('a') !== (word === undefined)) {
        throw new UsageError(has('a') ? 'conflicting -a and id' : 'missing vmid argument');
      }
      if (word !== undefined) return await stop(context, parseTarget(word), word, how);
      const reply = await context.link.request({ command: 'status' });
      const running = expect(reply, 'status').vms.filter(({ state }) => state !== 'stopped');
      const results = [];
      // One after the other, so that lines stay whole; vmd asks the guests all the same.
      for (const { id, name } of running) results.push(await stopOne(context, id, name, how));
      return Math.max(0, ...results);
    },
  };
}

/** As {@link stop}, but a refusal is only said. */
async function stopOne(
  context: ControlContext,
  target: Target,
  word: string,
  how: StopOptions,
): Promise<number> {
  try {
    return await stop(context, target, word, how);
  } catch (error) {
    context.note(`${(error as Error).message}\n`);
    return 1;
  }
}

async function stop(
  { link, note }: ControlContext,
  target: Target,
  word: string,
  { force, wait }: StopOptions,
): Promise<number> {
  const conversation = await link.converse({ command: 'stop', target, force, wait });
  try {
    return await refusedAs(`stopping vm ${word}`, async () => {
      const { event, id } = expect(await conversation.next(), 'vm');
      const what = {
        requested: `requested to shutdown vm ${id}`,
        forced: `forced to terminate vm ${id}`,
      };
      const text = event in what ? what[event as keyof typeof what] : `terminated vm ${id}`;
      note(`stopping vm ${word}: ${text}\n`);
      if (!wait) return 0;
      expect(await conversation.next(), 'vm');
      if (event === 'requested') note(`terminated vm ${id}\n`);
      return 0;
    });
  } finally {
    conversation.close();
  }
}
