// "vmctl start": a virtual machine of the configuration, or a new one that lives until it stops.

import type { Command } from '../command-table.ts';
import { type ControlContext, parseTarget, refusedAs } from './context.ts';
import { expect } from './conversation.ts';
import { START_OPTIONS, startOptions } from './start-options.ts';

/** The row of "start". */
export function startCommand(context: ControlContext): Command {
  return {
    name: 'start',
    options: START_OPTIONS,
    operands: ['name'],
    async run(parsed) {
      const target = parseTarget(parsed.operands[0]!);
      const options = startOptions(parsed, context.say);
      const console = parsed.options.some(({ name }) => name === 'c');
      const conversation = await context.link.converseOnDemand({
        command: 'start',
        target,
        options,
        console,
      });
      const { id, warnings } = await refusedAs('start vm command failed', async () => {
        return expect(await conversation.next(), 'vm');
      });
      for (const warning of warnings) context.say(warning);
      context.say(`started vm ${id} successfully`);
      if (console) {
        const { runConsole } = await import('./console-client.ts');
        await runConsole(conversation, context.note);
      }
      conversation.close();
      return 0;
    },
  };
}
