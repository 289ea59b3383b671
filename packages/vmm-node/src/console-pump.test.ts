import { expect, test } from 'vitest';
import { ConsolePump } from './console-pump.ts';
import type { RunConsole } from './run-options.ts';
import { createLinkMemory, ThreadLink } from './thread-link.ts';

const MEMORY_BYTES = 1 << 20;

/** Lets everything that waits for no more than promises happen. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A console that takes output only as fast as the test says. */
class SlowConsole implements RunConsole {
  readonly chunks: string[] = [];
  readonly input: AsyncIterable<Uint8Array>;
  flowing = true;
  release: () => void = () => {};

  constructor(typed: readonly string[] = []) {
    this.input = (async function* () {
      for (const text of typed) yield new TextEncoder().encode(text);
    })();
  }

  output(bytes: Uint8Array): boolean {
    this.chunks.push(new TextDecoder().decode(bytes.slice()));
    return this.flowing;
  }

  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.release = resolve;
    });
  }
}

function build(console: SlowConsole) {
  const link = new ThreadLink(createLinkMemory(MEMORY_BYTES), MEMORY_BYTES);
  const pump = new ConsolePump(console, link);
  const say = (text: string): void => {
    link.output.write(new TextEncoder().encode(text));
    pump.attend();
  };
  const heard = (): string => {
    const text = new TextDecoder().decode(link.input.peek().slice());
    link.input.advance(text.length);
    return text;
  };
  return { link, pump, say, heard };
}

test('output reaches the console each time that the pump is told', async () => {
  const console = new SlowConsole();
  const { say } = build(console);
  say('one');
  await settled();
  say('two');
  await settled();
  expect(console.chunks).toEqual(['one', 'two']);
});

test('a console that is behind gets no more until it has drained, then all of it', async () => {
  const console = new SlowConsole();
  console.flowing = false;
  const { say, link } = build(console);
  say('one');
  say('two');
  say('three');
  await settled();
  expect(console.chunks).toEqual(['one']);
  expect(link.output.used).toBe('twothree'.length);
  console.flowing = true;
  console.release();
  await settled();
  expect(console.chunks).toEqual(['one', 'twothree']);
});

test('a guest that waits for room is woken when output has been taken', () => {
  const { say, link } = build(new SlowConsole());
  const before = link.rings;
  say('nobody waits');
  expect(link.rings).toBe(before);
  link.outputWaits = true;
  say('somebody waits');
  expect(link.rings).toBe(before + 1);
});

test('input reaches the ring and rings the bell', async () => {
  const { pump, heard, link } = build(new SlowConsole(['ls\n', 'exit\n']));
  pump.start();
  await settled();
  expect(heard()).toBe('ls\nexit\n');
  expect(link.rings).toBe(2);
});

test('input that does not fit waits until there is room', async () => {
  const text = 'abcdefgh'.repeat(1024);
  const { pump, heard, link } = build(new SlowConsole([text]));
  pump.start();
  await settled();
  let seen = heard();
  expect(seen.length).toBeLessThan(text.length);
  expect(link.inputWaits).toBe(true);
  while (seen.length < text.length) {
    pump.attend();
    await settled();
    seen += heard();
  }
  expect(seen).toBe(text);
});

test('finish() shows what is left', async () => {
  const console = new SlowConsole();
  const { pump, link } = build(console);
  link.output.write(new TextEncoder().encode('last words'));
  await pump.finish(Infinity);
  expect(console.chunks).toEqual(['last words']);
});

test('finish() does not wait for ever for a console that takes nothing', async () => {
  const console = new SlowConsole();
  console.flowing = false;
  const { pump, say } = build(console);
  say('one');
  say('two');
  await pump.finish(1);
  expect(console.chunks).toEqual(['one']);
});
