// "vmctl send" and "vmctl receive": a machine out to standard output, or in from standard input.
// What goes through is the file of docs/suspend-format.md, as it is.

import { fsync, writeSync } from 'node:fs';
import { SnapshotReader } from 'vmm';
import { VmmError } from 'vmm/errors';
import type { Command } from '../command-table.ts';
import type { Request } from '../control/protocol.ts';
import { type ControlContext, parseTarget, refusedAs } from './context.ts';
import { type Conversation, expect, replyOf } from './conversation.ts';
import { receiveOptions } from './receive-options.ts';
import { RecordedSource } from './recorded-source.ts';
import { TransferProgress } from './transfer-progress.ts';

const STDOUT = 1;

/** The row of "send". */
export function sendCommand(context: ControlContext): Command {
  return {
    name: 'send',
    options: [],
    operands: ['id'],
    async run({ operands }) {
      const target = parseTarget(operands[0]!);
      if (process.stdout.isTTY) {
        throw new VmmError('EINVAL', 'send writes a file: standard output is a terminal');
      }
      const conversation = await context.link.converse({ command: 'send', target });
      try {
        const id = await refusedAs('send vm command failed', () => send(conversation));
        context.say(`sent vm ${id} successfully`);
      } finally {
        conversation.close();
      }
      return 0;
    },
  };
}

async function send(conversation: Conversation): Promise<number> {
  const { memoryBytes } = expect(await conversation.next(), 'transfer');
  const progress = new TransferProgress('sent', memoryBytes);
  for (;;) {
    const frame = await conversation.nextFrame();
    if (frame === undefined) throw new VmmError('EIO', 'the connection was lost');
    if (frame.kind === 'message') {
      expect(replyOf(frame), 'ok');
      break;
    }
    writeAll(frame.payload);
    progress.add(frame.payload.length);
  }
  await synchronize();
  progress.finish();
  // Now that it is safe here, the machine may end there.
  conversation.type(new Uint8Array(0));
  return expect(await conversation.next(), 'vm').id;
}

/** Writes to standard output, whatever that is; what cannot be written is an error at once. */
function writeAll(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(STDOUT, bytes, at);
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      // A pipe that somebody else has made non-blocking.
      if (code === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      else throw new VmmError('EIO', `cannot write the machine: ${message}`, { cause });
    }
  }
}

/** On stable storage, where standard output is a file. */
function synchronize(): Promise<void> {
  return new Promise((resolve, reject) => {
    fsync(STDOUT, (error) => {
      // A pipe or a socket cannot be synchronized.
      if (error === null || error.code === 'EINVAL' || error.code === 'EROFS') resolve();
      else reject(new VmmError('EIO', `cannot write the machine: ${error.message}`));
    });
  });
}

/** The row of "receive". */
export function receiveCommand(context: ControlContext): Command {
  return {
    name: 'receive',
    options: [],
    operands: ['name'],
    async run({ operands }) {
      const target = parseTarget(operands[0]!);
      if (typeof target === 'number') throw new VmmError('EINVAL', 'invalid VM name');
      if (process.stdin.isTTY) {
        throw new VmmError('EINVAL', 'receive reads a file: standard input is a terminal');
      }
      const id = await refusedAs('receive vm command failed', () => receive(target, context));
      context.say(`received vm ${id} successfully`);
      return 0;
    },
  };
}

async function receive(name: string, { link }: ControlContext): Promise<number> {
  const source = new RecordedSource(process.stdin);
  const reader = await SnapshotReader.open(source);
  const options = receiveOptions(reader.machine, await reader.host());
  const request: Request = { command: 'receive', name, options };
  const conversation = await link.converseOnDemand(request);
  try {
    const { memoryBytes } = expect(await conversation.next(), 'transfer');
    const progress = new TransferProgress('received', memoryBytes);
    // When the other side refuses, it says why; so that is read, whatever writing comes to.
    const answer = conversation.next();
    answer.catch(() => {});
    for await (const bytes of source.replay()) {
      if (!conversation.type(bytes)) await conversation.drained();
      if (conversation.isClosed) break;
      progress.add(bytes.length);
    }
    conversation.type(new Uint8Array(0));
    progress.finish();
    return expect(await answer, 'vm').id;
  } finally {
    conversation.close();
  }
}
