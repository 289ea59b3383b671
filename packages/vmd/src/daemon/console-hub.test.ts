import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bytesFrame, FrameReader, parseMessage } from '../control/frame.ts';
import { ConsoleHub, KEPT_BYTES } from './console-hub.ts';

let folder: string;
let server: Server;
let accepted: (socket: Socket) => void;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'console-hub-'));
  server = createServer((socket) => accepted(socket));
  await new Promise<void>((resolve) => server.listen(join(folder, 's'), resolve));
});
afterEach(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

/** A connection: its end for the hub, and the other one. */
async function pair(): Promise<{ near: Socket; far: Socket }> {
  const near = new Promise<Socket>((resolve) => {
    accepted = resolve;
  });
  const far = createConnection(join(folder, 's'));
  return { near: await near, far };
}

/** What a client gets until its connection closes: its messages and its bytes. */
function collect(far: Socket): Promise<{ messages: unknown[]; bytes: Buffer }> {
  const reader = new FrameReader(1 << 20);
  const messages: unknown[] = [];
  const pieces: Uint8Array[] = [];
  far.on('data', (chunk: Uint8Array) => {
    for (const { kind, payload } of reader.push(chunk)) {
      if (kind === 'bytes') pieces.push(payload);
      else messages.push(parseMessage(payload));
    }
  });
  return new Promise((resolve) => {
    far.on('close', () => resolve({ messages, bytes: Buffer.concat(pieces) }));
  });
}

/** Bytes that show their place: a period that divides no power of two. */
const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i % 251);

test('what nobody has seen is kept, the last of it, and shown once', async () => {
  const hub = new ConsoleHub();
  const text = pattern(3 * KEPT_BYTES + 12_345);
  for (let at = 0; at < text.length; at += 1000) {
    expect(hub.output(text.subarray(at, at + 1000))).toBe(true);
  }
  const first = await pair();
  const seen = collect(first.far);
  hub.attach(first.near, 7, []);
  await hub.finish();
  const { messages, bytes } = await seen;
  expect(messages).toEqual([
    { type: 'console', id: 7, open: true },
    { type: 'console', id: 7, open: false },
  ]);
  expect(bytes.equals(text.subarray(text.length - KEPT_BYTES))).toBe(true);
});

test('a reader gets all of it, however much, while the guest waits for it', async () => {
  const hub = new ConsoleHub();
  const { near, far } = await pair();
  const seen = collect(far);
  hub.attach(near, 1, []);
  const text = pattern(5 * KEPT_BYTES);
  for (let at = 0; at < text.length; at += 5000) {
    if (!hub.output(text.subarray(at, at + 5000))) await hub.drained();
  }
  await hub.finish();
  expect((await seen).bytes.equals(text)).toBe(true);
});

test('the guest does not wait long for a reader who takes nothing', async () => {
  const hub = new ConsoleHub();
  const { near, far } = await pair();
  hub.attach(near, 1, []);
  // Nobody listens at the far end: the connection fills up.
  const chunk = pattern(KEPT_BYTES / 4);
  while (hub.output(chunk)) await new Promise((resolve) => setImmediate(resolve));
  await hub.drained();
  for (let i = 0; i < 100; i++) expect(hub.output(chunk)).toBe(true);
  far.destroy();
  await new Promise((resolve) => near.on('close', resolve));
  const next = await pair();
  const seen = collect(next.far);
  hub.attach(next.near, 1, []);
  await hub.finish();
  expect((await seen).bytes.length).toBe(KEPT_BYTES);
});

test('there is one reader at a time, and what it types arrives', async () => {
  const hub = new ConsoleHub();
  const first = await pair();
  hub.attach(first.near, 1, []);
  const second = await pair();
  const seen = collect(second.far);
  hub.attach(second.near, 1, []);
  expect((await seen).messages).toEqual([
    { type: 'error', code: 'EBUSY', message: 'The console of vm 1 is in use.' },
  ]);
  first.far.write(bytesFrame(Buffer.from('typed')));
  const input = hub.input[Symbol.asyncIterator]();
  expect(Buffer.from((await input.next()).value).toString()).toBe('typed');
  first.far.destroy();
  await new Promise((resolve) => first.near.on('close', resolve));
  const third = await pair();
  hub.attach(third.near, 1, []);
  third.far.write(bytesFrame(Buffer.from('again')));
  expect(Buffer.from((await input.next()).value).toString()).toBe('again');
  third.far.destroy();
});
