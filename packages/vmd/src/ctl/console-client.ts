// The console of a machine under vmd(8) on the user's terminal, until the user leaves by "~." or
// the machine ends.

import { Terminal } from 'vmm-node/terminal';
import type { Conversation } from './conversation.ts';
import { expect, replyOf } from './conversation.ts';

/** Runs on a connection that becomes a console. Resolves when either side has left. */
export async function runConsole(
  conversation: Conversation,
  note: (text: string) => void,
): Promise<void> {
  const { id } = expect(await conversation.next(), 'console');
  note(`Connected to vm ${id} (leave with ~.)\n`);
  let left = false;
  const terminal = new Terminal(process.stdin, process.stdout, () => {
    left = true;
    conversation.close();
  });
  terminal.open();
  try {
    void carryInput(terminal, conversation);
    for (;;) {
      const frame = await conversation.nextFrame();
      if (frame === undefined) {
        if (!left) note(`\r\nvm ${id}: the connection was lost\r\n`);
        return;
      }
      if (frame.kind === 'bytes') {
        if (!terminal.output(frame.payload)) await terminal.drained();
      } else if (!expect(replyOf(frame), 'console').open) {
        await terminal.drained();
        note(`\r\nvm ${id} has ended\r\n`);
        return;
      }
    }
  } finally {
    terminal.close();
    conversation.close();
  }
}

/** The end of the input ends nothing: the guest may go on to say something. */
async function carryInput(terminal: Terminal, conversation: Conversation): Promise<void> {
  for await (const bytes of terminal.input) {
    if (!conversation.type(bytes)) await conversation.drained();
  }
}
